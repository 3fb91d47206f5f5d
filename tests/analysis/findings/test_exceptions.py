"""What users' own code raised is read from every cell, and told with how often, what and where.

Locust counts an exception of a task apart from failed requests, so that a run looks sound
(locustio/locust#1065, locustio/locust#1172); those of listeners it only logs (locustio/locust#1461).
"""

import pytest

from analysis.reading.frames import place as place_of
from analysis.report import exports
from analysis.report.digest import digest, noted
from analysis.report.page import page
from analysis.study import study
from tests.analysis.report_page import Page
from tests.fixtures.spoil import TRACEBACK, raise_in

# locustio/locust#1065: a check of the answer that raises, here through the users of Locust itself.
CHECK = (
    '  File "/opt/venv/lib/python3.11/site-packages/locust/user/task.py", line 347, in run\n'
    "    self.execute_next_task()\n"
    '  File "/home/someone/checks/locustfile.py", line 31, in basket\n'
    "    assert answer.json()['total'] > 0\n"
)
# locustio/locust#1461: a listener that divides by zero; the library it calls is not users' own.
LISTENER = (
    '  File "/suite/swarm/listeners.py", line 9, in heard\n    listener(**said)\n'
    '  File "/home/someone/checks/report.py", line 8, in publish\n    json.dumps(1 / 0)\n'
    '  File "/usr/lib/python3.11/json/__init__.py", line 231, in dumps\n    return encode(value)\n'
)


@pytest.fixture
def raising(run):
    """A run of two configurations with exceptions in the cells of its first repeat, and in one more."""
    folder = run()
    for cell in folder.glob("*/index/c64-w1/r*"):
        raise_in(cell, [])
    for cell in folder.glob("*/index/c64-w1/r1"):
        raise_in(cell, [(900, "'item'", TRACEBACK), (45, "", CHECK)])
    raise_in(
        folder / "sanic/index/c64-w1/r2",
        [(2, "listener publish of test_stop: division by zero", LISTENER)],
    )
    return folder


def found(folder):
    return [finding for finding in study(folder).findings if finding.kind == "exceptions"]


def test_they_are_a_tidy_frame(raising):
    frame = study(raising).results.exceptions
    assert len(frame) == 5 and set(frame["scenario"]) == {"index"}
    first = frame[(frame["configuration"] == "sanic") & (frame["repeat"] == 1)]
    columns = ["source", "message", "count", "place", "code"]
    assert first[columns].to_numpy().tolist() == [
        ["task", "'item'", 900, "/home/someone/shop/load.py:20", 'return answer["item"]'],
        ["task", "", 45, "/home/someone/checks/locustfile.py:31", "assert answer.json()['total'] > 0"],
    ]
    (heard,) = frame[frame["source"] == "listener"].to_dict("records")
    assert (heard["repeat"], heard["count"]) == (2, 2) and heard["place"].endswith("report.py:8")


def test_tasks_that_raise_are_a_warning_with_count_message_place_and_files(raising):
    listeners, tasks = sorted(found(raising), key=lambda finding: finding.message)
    assert tasks.severity == "warning" and tasks.configurations == ("sanic", "uvicorn")
    assert tasks.message == (
        "tasks raised 1,890 exceptions in 2 of 6 cells, most often (1,800 times) “'item'” at load.py:20 "
        '(“return answer["item"]”)'
    )
    assert "sanic/index/c64-w1/r1/locust_exceptions.csv" in tasks.advice
    assert tasks.advice.endswith("/generator.log")
    assert listeners.message.startswith(
        "listeners raised 2 exceptions in 1 of 6 cells of sanic, each time “listener publish of test_stop: "
    )


def test_the_finding_is_on_the_page_in_its_summary_and_in_the_ranking(raising, tmp_path):
    analysed = study(raising)
    text = Page(page(analysed, tmp_path)).text
    assert "tasks raised 1,890 exceptions in 2 of 6 cells" in text and "users' code raised" in text
    (spoils,) = [
        point.lines
        for point in digest(analysed, noted(analysed.findings), "")
        if point.label == "What spoils it"
    ]
    assert any("tasks raised 1,890 exceptions" in line.text for line in spoils)
    kept = exports.exceptions(analysed)
    assert list(kept["count"]) == sorted(kept["count"], reverse=True) and "cell" not in kept


def test_an_exception_without_a_message_or_a_place_is_one_all_the_same(run):
    folder = run(repeats=1, configurations=("sanic",))
    raise_in(folder / "sanic/index/c64-w1/r1", [(7, "", ""), (2, " \n ", "")])
    (finding,) = found(folder)
    assert (
        "tasks raised 9 exceptions in 1 of 1 cell, most often (7 times) without a message" in finding.message
    )


def test_of_cells_without_the_file_nothing_is_known(run):
    analysed = study(run(repeats=1))
    frame = analysed.results.exceptions
    assert frame.empty and {"configuration", "source", "message", "place"} <= set(frame)
    assert exports.exceptions(analysed).empty


@pytest.mark.parametrize(
    "content", [b"", b"Count,Message\r\n1,one\r\n", b"\x00\x01\x02", b"Count\r\nmany\r\n"]
)
def test_a_file_that_is_none_is_named_and_its_cell_left_out(run, content):
    folder = run(repeats=1)
    (folder / "sanic/index/c64-w1/r1/locust_exceptions.csv").write_bytes(content)
    rest = study(folder)
    (finding,) = [finding for finding in rest.findings if finding.kind == "damaged"]
    assert "sanic/index/c64-w1/r1/locust_exceptions.csv" in finding.text
    assert "sanic" not in set(rest.results.cells["configuration"])


@pytest.mark.parametrize(
    "message",
    [
        'a "quoted", comma\r\nand\nlines\ttabs',
        "<script>alert(1)</script> {{ 7 * 7 }} [red]markup[/red]",
        "\x00\x1b[31m\x07 \u202e binary",
        "x" * 300_000,
        "=cmd|'/c calc'!A1",
    ],
)
def test_hostile_messages_stay_text_and_the_table_whole(run, message):
    folder = run(repeats=1, configurations=("sanic",))
    raise_in(folder / "sanic/index/c64-w1/r1", [(1, message, TRACEBACK), (2, "last", TRACEBACK)])
    assert list(study(folder).results.exceptions["count"]) == [1, 2]
    raise_in(folder / "sanic/index/c64-w1/r1", [(3, message, TRACEBACK)])
    analysed = study(folder)
    source = page(analysed, folder)
    assert "<script>alert" not in source and "\x1b" not in source and "\x00" not in source
    (finding,) = found(folder)
    assert len(finding.message) < 400 and "\n" not in finding.message


def test_bytes_that_are_no_text_are_read(run):
    folder = run(repeats=1, configurations=("sanic",))
    file = folder / "sanic/index/c64-w1/r1/locust_exceptions.csv"
    file.write_bytes(b"Count,Message,Traceback,Nodes\r\n4,\xff\xfe gone,,local\r\n")
    (row,) = study(folder).results.exceptions.to_dict("records")
    assert row["count"] == 4 and row["message"].endswith(" gone")


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        (["/suite/swarm/life.py:71", "/home/me/load.py:5"], "/home/me/load.py:5"),
        (["/suite/swarm/life.py:71", "/home/me/swarm/load.py:5"], "/home/me/swarm/load.py:5"),
        (["/suite/swarm/users/tasks.py:71", "/home/me/load.py:5"], "/home/me/load.py:5"),
        (
            ["/suite/swarm/users/tasks.py:71", "/home/me/load.py:5", "/suite/swarm/users/user.py:9"],
            "/home/me/load.py:5",
        ),
        (["/home/me/swarm/load.py:5"], "/home/me/swarm/load.py:5"),
        (["/suite/swarm/life.py:71", "/home/me/load.py:5", "/suite/swarm/user.py:9"], "/home/me/load.py:5"),
        (["/home/me/load.py:5", "/v/lib/python3.12/site-packages/faker/x.py:1"], "/home/me/load.py:5"),
        (["/home/me/a.py:1", "/home/me/b.py:2", "<frozen importlib>:3"], "/home/me/b.py:2"),
        (["/v/lib/python3.12/random.py:7"], "/v/lib/python3.12/random.py:7"),
        ([], ""),
    ],
)
def test_the_place_is_users_own_line_nearest_to_the_exception(frames, place):
    lines = [frame.rsplit(":", 1) for frame in frames]
    text = "".join(f'  File "{file}", line {line}, in work\n    work()\n' for file, line in lines)
    assert place_of(text) == (place, "work()" if frames else "")
