"""Locustfiles as people write them: they print, listen, have options, end users and tests, and fail.

Inputs that go back to public reports or published files are rebuilt, and say of what.
"""

from __future__ import annotations

import csv
import json

import pytest

import swarm  # noqa: F401  # has gevent patch this process, so that the server runs while a test waits
from tests.patience import LONG_S
from tests.swarm.processes import GET, locustfile
from tests.swarm.scripted import reply


@pytest.fixture
def server(serve):
    return serve({"/": reply()})


def exceptions(folder):
    with (folder / "locust_exceptions.csv").open(newline="") as file:
        return {row["Message"]: int(row["Count"]) for row in csv.DictReader(file)}


# -- What is printed

PRINTS = {
    # Nine of ten published listeners of test_start print.
    "a line at each start": """
@events.test_start.add_listener
def begin(environment, **_):
    print("Load test starting. Target:", environment.host)
""",
    # A dashboard that draws over its own line, and so never ends it (a published live monitor of metrics).
    "a line that never ends": """
@events.request.add_listener
def draw(**_):
    sys.stdout.write("\\r[####    ] 50 %")
    sys.stdout.flush()
""",
    # A summary of the test in JSON, as `locust --json` prints one (locustio/locust#2269), with names of ours.
    "events": """
@events.test_start.add_listener
def begin(environment, **_):
    for event in ("progress", "failed", "finished", "ready"):
        print(json.dumps({"event": event, "window": {"start": 1, "end": 2}, "requests": 7, "reason": "x"}))
""",
    # Most published listeners log, and say nothing themselves of a level (locust has INFO).
    "what is logged": """
@events.test_start.add_listener
def begin(environment, **_):
    logging.info("seeded %d accounts at %s", 7, environment.host)
""",
    "bytes, by programs and by descriptor": """
@events.test_start.add_listener
def begin(environment, **_):
    os.write(1, bytes(range(256)) * 100)
    subprocess.run(["echo", "from a program"])
    assert sys.stdin.read() == ""
""",
}


def test_what_is_printed_goes_to_the_log_and_no_figure_into_another_cell(
    server, share_session, files, tmp_path
):
    session = share_session(files.values())
    for number, case in enumerate(PRINTS):
        before = len(server.asked)
        session.cell(files[case], server.url, tmp_path / str(number), users=2, cell=f"cell {number}")
        event = session.wait_for("finished", "failed")  # reads nothing but JSON on the way
        assert (event["event"], event["cell"]) == ("finished", f"cell {number}"), event
        assert 0 < event["requests"] <= len(server.asked) - before
    log = session.errors
    assert "Load test starting. Target: http" in log and "50 %" in log and "from a program" in log
    assert "seeded 7 accounts at http" in log and "Ramping to" not in log
    assert exceptions(tmp_path / "3") == exceptions(tmp_path / "4") == {}


# -- What a listener and a user see

SEEN = """
SEEN = {}
@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--record", default="mine")
    parser.add_argument("--arrival_rate", type=float, default=20.0)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--out", env_var="LOCUST_OUT_OF_MINE")
@events.init.add_listener
def init(environment, **_):
    SEEN["classes at init"] = [each.__name__ for each in environment.user_classes]
    SEEN["argv"] = sys.argv
@events.test_start.add_listener
def begin(environment, **_):
    options, runner = environment.parsed_options, environment.runner
    SEEN.update(host=environment.host, option=options.host, users=options.num_users)
    SEEN.update(target=runner.target_user_count, tags=options.tags, record=options.record)
    SEEN.update(rate=options.spawn_rate, time=options.run_time)
    SEEN.update(arrivals=options.arrival_rate, trace=options.trace, variable=os.environ.get("LOCUST_USERS"))
    with open(options.out + type(runner).__name__, "w") as file:
        json.dump(SEEN, file)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_listeners_see_the_cell(server, open_session, write, tmp_path, processes):
    """Accounts made in test_start, as many as users were asked for (locustio/locust#1939); options with names
    of ours (a published shape has --arrival_rate); Locust's own variables are for other tests.
    """
    seen = write("seen", locustfile(SEEN))
    out = str(tmp_path / "seen-")
    variables = {"LOCUST_OUT_OF_MINE": out, "LOCUST_USERS": "7", "LOCUST_TAGS": "no"}
    session = open_session(seen, processes=processes, variables=variables)
    settings = session.wait_for("ready")["settings"]
    assert {"LOCUST_USERS", "LOCUST_TAGS"} <= set(settings["variables"]) and "locust.conf" in settings[
        "files"
    ]
    session.cell(seen, server.url, tmp_path / "a", users=100, warmup_s=0.2, measured_s=1)
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    runners = ["LocalRunner"] if processes == 1 else ["MasterRunner", "WorkerRunner"]
    for runner in runners:
        told = json.loads((tmp_path / f"seen-{runner}").read_text())
        assert (told["host"], told["option"]) == (server.url, server.url)
        assert told["users"] == 100 and told["time"] == 2 and told["rate"] > 100
        assert told["target"] == (100 if runner != "WorkerRunner" else told["target"])
        assert (told["record"], told["arrivals"], told["trace"]) == ("mine", 20.0, False)
        assert (told["tags"], told["variable"], told["argv"]) == (None, None, ["locust"])
        assert told["classes at init"] == ["Visitor"]


NAMED = """
@events.init_command_line_parser.add_listener
def _(parser):
    parser.add_argument("--place", default="{place}")
@events.test_start.add_listener
def begin(environment, **_):
    names = [each.__name__ for each in environment.user_classes]
    print("start", "{place}", environment.parsed_options.place, names)
"""


def test_two_files_may_have_classes_options_and_listeners_of_one_name(server, open_session, write, tmp_path):
    """Two files with a class WebsiteUser each (locustio/locust#2160)."""
    files = [
        write(place, locustfile(NAMED.format(place=place), "WebsiteUser", f'self.client.get("/?{place}")'))
        for place in ("browse", "order")
    ]
    session = open_session(*files)
    assert session.wait_for("ready")["scenarios"] == {str(file): ["WebsiteUser"] for file in files}
    for number, file in enumerate([files[0], files[1], files[0]]):
        before = len(server.asked)
        session.cell(file, server.url, tmp_path / str(number), users=2)
        assert session.wait_for("finished", "failed")["event"] == "finished"
        assert set(server.targets[before:]) == {f"/?{file.stem}"}
    told = [line for line in session.errors.splitlines() if line.startswith("start")]
    assert told == [f"start {p} {p} ['WebsiteUser']" for p in ("browse", "order", "browse")]


# -- Users and tests that end, code that raises

ENDS = {
    # A published file ends users at the end of their list of songs.
    "StopUser": (locustfile(body=f"{GET}; raise StopUser()"), "4 raised StopUser", False),
    "on_start": (
        locustfile("class Base(HttpUser):\n    abstract = True\n    def on_start(self): {}['token']").replace(
            "Visitor(HttpUser)", "Visitor(Base)"
        ),
        "4 ended by KeyError: 'token'",
        False,
    ),
    "killed": (
        locustfile(body=f"{GET}; import gevent; gevent.getcurrent().kill()"),
        "4 killed",
        False,
    ),
    # Published files quit where their log-in fails, in on_start, and where a listener has counted enough.
    "quit": (
        locustfile(body=f"{GET}; self.environment.runner.quit()"),
        "the locustfile ended the test: it called runner.quit()",
        True,
    ),
    "quit at the start": (
        locustfile("@events.test_start.add_listener\ndef _(environment, **k): environment.runner.quit()"),
        "the locustfile ended the test: it called runner.quit()",
        True,
    ),
    "sys.exit": (locustfile(body="sys.exit(3)"), "sys.exit(3) was called", True),
}


@pytest.mark.parametrize(("case", "processes"), [*((case, 1) for case in ENDS), ("StopUser", 2), ("quit", 2)])
def test_users_and_tests_that_end_say_why(
    server, open_session, share_session, files, tmp_path, case, processes
):
    _, reason, over = ENDS[case]
    if over:
        session = open_session(files[case], processes=processes)
        session.wait_for("ready")
    else:
        session = share_session(files.values(), processes)
    session.cell(files[case], server.url, tmp_path / "a", users=4, measured_s=2, cell="x")
    failed = session.wait_for("finished", "failed")
    assert failed["event"] == "failed" and reason in failed["reason"], failed
    assert (failed["cell"], failed["see_log"], failed["over"]) == ("x", True, over)
    if over:
        assert session.process.wait(LONG_S) == 0  # whoever waits for the next cell is not kept waiting


RAISES = """
@events.test_start.add_listener
def log_in(environment, **_):
    raise RuntimeError("no accounts, no service")
@events.request.add_listener
def stop_at_target(environment, **_):
    environment.runner.quit()
@events.test_stop.add_listener
def summary(**_):
    1 / 0
"""


FAST = locustfile("from swarm import SwarmUser\n" + RAISES, body='yield self.get("/"); raise KeyError("it")')
RAISING = {
    "raises": locustfile(RAISES, body=f"{GET}; raise RuntimeError('it \\ud800' + 'x' * 200_000)"),
    "raises, swarm user": FAST.replace("Visitor(HttpUser)", "Visitor(SwarmUser)"),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files of PRINTS, ENDS and RAISING, for sessions that tests share."""
    folder = tmp_path_factory.mktemp("files")
    texts = {case: locustfile(head) for case, head in PRINTS.items()}
    texts |= {case: text for case, (text, _, _) in ENDS.items()} | RAISING
    made = {case: folder / f"file{number}.py" for number, case in enumerate(texts)}
    for case, path in made.items():
        path.write_text(texts[case])
    return made


@pytest.mark.parametrize("processes", [1, 2])
def test_what_tasks_and_listeners_raise_is_counted(server, share_session, files, tmp_path, processes):
    """A listener of `request` wants an argument that Locust does not give (a published file, which was to
    stop at a number of requests); test_stop divides by nought (locustio/locust#1461).
    """
    session = share_session(files.values(), processes)
    for file in (files["raises"], files["raises, swarm user"]):
        session.cell(file, server.url, tmp_path / file.stem, users=2)
        finished = session.wait_for("finished", "failed")
        assert finished["event"] == "finished" and finished["requests"] > 0
        counted = exceptions(tmp_path / file.stem)
        [raised] = [
            text for text in counted if text.startswith(("KeyError: 'it'", "RuntimeError: it \\ud800xxx"))
        ]
        assert counted[raised] > 2 and len(raised) < 20_000
        missing = [
            text for text in counted if text.startswith("listener stop_at_target of request: TypeError")
        ]
        assert len(missing) == 1 and counted[missing[0]] > 2, counted
        assert "listener log_in of test_start: RuntimeError: no accounts, no service" in counted
        if processes == 1:  # of two the master has written the file by then
            assert "listener summary of test_stop: ZeroDivisionError: division by zero" in counted


GOODBYE = """
@events.quitting.add_listener
def gate(environment, **_):
    environment.process_exit_code = 3 if environment.stats.total.num_requests else 4
@events.quitting.add_listener
def metric(environment, **_):
    stats = environment.stats.entries["first token", "METRIC"]
    print("mean", stats.total_response_time / stats.num_requests)
"""


def test_locustfiles_say_goodbye(server, open_session, write, tmp_path):
    """A gate for continuous integration sets the exit status; another one reads a row that is empty."""
    file = write("gate", locustfile(GOODBYE))
    session = open_session(file)
    session.wait_for("ready")
    session.cell(file, server.url, tmp_path / "a", users=2)
    session.wait_for("finished")
    session.process.stdin.close()
    goodbye = session.wait_for("quit")
    assert goodbye["exit_status"] == 3
    assert goodbye["raised"] == ["listener metric of quitting: ZeroDivisionError: division by zero"]
