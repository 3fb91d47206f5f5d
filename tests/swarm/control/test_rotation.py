"""Rotations of a session: the load goes round among servers that note when they were asked."""

from __future__ import annotations

import csv
import json
import os
import time
from collections import Counter

import gevent
import pytest

from swarm.engine.rotation.timetable import Timetable, settling_order
from tests.swarm.harness import until
from tests.swarm.noting import Noting, check_apart
from tests.swarm.processes import column, locustfile, total
from tests.swarm.scripted import reply

FILES = {"latency.csv", "failures.csv", "generator.csv", "slices.csv", "locust_exceptions.csv"}
USERS = 4
SLICE_S = 0.1


HEAD = "from locust import *\nfrom locust.exception import *\nfrom swarm import SwarmUser\n"
TASK = "    @task\n    def work(self):\n        "
FINE = f"{HEAD}class Fine(SwarmUser):\n{TASK}yield self.get('/')\n"
CANNOT = {
    "plain": (locustfile(), {}, "Locust's own are not: Visitor: measure it in blocks"),
    "waits": (
        f"{HEAD}class Waits(SwarmUser):\n    wait_time = constant(1)\n{TASK}yield self.get('/')\n",
        {},
        "without wait_time, which Waits has: measure it in blocks",
    ),
    "few": (
        f"{HEAD}class One(SwarmUser):\n    fixed_count = 1\n{TASK}yield self.get('/')\n",
        {},
        "no more than 1 users (fixed_count)",
    ),
    "stops": (
        f"{HEAD}class Stops(SwarmUser):\n{TASK}yield self.get('/')\n        raise StopTest\n",
        {},
        "raised StopTest",
    ),
    "leaves": (
        f"{HEAD}class Leaves(SwarmUser):\n{TASK}yield self.get('/')\n        raise StopUser\n",
        {},
        "raised StopUser",
    ),
    "raises": (f"{HEAD}class Raises(SwarmUser):\n{TASK}1 / 0\n        yield\n", {}, "ZeroDivisionError"),
    "quits": (
        f"{HEAD}class Quits(SwarmUser):\n{TASK}yield self.get('/')\n        self.environment.runner.quit()\n",
        {},
        "the locustfile ended the test: it called runner.quit()",
    ),
    "manner": (FINE, {"manners": ["naps"]}, "manners is a list of polls and sleeps"),
    "names": (FINE, {"targets": []}, "its targets need a name each"),
    "length": (FINE, {"load_s": 0}, "load_s, settle_s and slice_s are more than 0"),
    "users": (FINE, {"users": "many"}, "not a rotate command: invalid literal"),
}
WEIGHTS = (
    f"{HEAD}heard = []\n"
    "@events.request.add_listener\ndef hear(name, **_): heard.append(name)\n"
    f"class Often(SwarmUser):\n    weight = 3\n{TASK}yield self.get('/', name='often')\n"
    f"class Rarely(SwarmUser):\n{TASK}yield self.get('/', name='rarely')\n        [][0]\n"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The scenario files of the sessions, by their names."""
    folder = tmp_path_factory.mktemp("scenarios")
    texts = {name: text for name, (text, _, _) in CANNOT.items() if text != FINE}
    for name, text in {**texts, "fine": FINE, "weights": WEIGHTS}.items():
        (folder / f"{name}.py").write_text(text)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def rotate(share_session, files, tmp_path):
    """Sends a session a `rotate`: `rotate({name: url}, file="weights", **fields)`; returns the session.

    Tests share it unless they give one of their own.
    """

    def start(urls, session=None, file="fine", processes=1, pids=None, servers=None, **fields):
        session = session or share_session(files.values(), processes)
        targets = []
        for name, url in urls.items():
            (tmp_path / name).mkdir(exist_ok=True)
            own = pids.get(name, []) if isinstance(pids, dict) else pids or []
            target = {"name": name, "host": url, "directory": str(tmp_path / name), "pids": own}
            targets.append(target | ({"server": servers[name]} if servers else {}))
        command = {"command": "rotate", "cell": "one", "scenario": str(files[file])}
        command |= {"users": USERS, "seed": 5}
        command |= {"stop_timeout_s": 5, "load_s": 4 * SLICE_S, "settle_s": 0.2, "slice_s": SLICE_S}
        command |= {"manners": ["polls", "sleeps"], "cpus": [0], "targets": targets}
        session.send(json.dumps(command | fields))
        return session

    return start


@pytest.fixture
def noting(serve):
    """Starts servers that note: `noting("a", "b")`; returns their notes and URLs by name."""

    def start(*names, **delays):
        notes = {name: Noting(delays.get(name, 0.002)) for name in names}
        servers = {name: serve({"/": note}) for name, note in notes.items()}
        for name, server in servers.items():
            notes[name].server = server
        return notes, {name: server.url for name, server in servers.items()}

    return start


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def number_of(row, *names):
    return [float(row[name]) for name in names]


@pytest.mark.parametrize("processes", [1, 2])
def test_each_server_is_loaded_in_its_slices_only(rotate, noting, tmp_path, processes):
    notes, urls = noting("a", "b", "c")
    session = rotate(urls, processes=processes)
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["order"] == settling_order(5, list(urls))
    assert (finished["slice_s"], finished["rounds"]) == (SLICE_S, 4)
    rests = {key: {name: of[key] for name, of in finished["targets"].items()} for key in ("warm_s", "gap_s")}
    table = Timetable(
        seed=5,
        targets=tuple(finished["order"]),
        manners=("polls", "sleeps"),
        rounds=finished["rounds"],
        slice_s=finished["slice_s"],
        **rests,
    )
    planned = {(each.round, each.place): each for each in table.slices(0)}
    slices = []
    for name, note in notes.items():
        folder = tmp_path / name
        assert {path.name for path in folder.iterdir()} == FILES
        assert note.server.connections == USERS  # kept for the whole rotation
        found = rows(folder / "slices.csv")
        slices += [(name, row) for row in found]
        of_target = finished["targets"][name]
        assert of_target["requests"] == sum(int(row["requests"]) for row in found) > 0
        assert of_target["failures"] == 0 == total(folder / "failures.csv")
        assert of_target["reason"] is None and of_target["cpu_s"] is None
        assert of_target["loaded_s"] == pytest.approx(
            sum(end - start for start, end in (number_of(row, "start", "end") for row in found)), abs=1e-4
        )
        expected = slack = 0
        for row in found:
            assert planned[int(row["round"]), int(row["place"])].target == name
            assert row["manner"] == ("polls", "sleeps")[int(row["round"]) % 2]
            assert (row["opened"], row["failures"], row["cpu_s"]) == ("0", "0", "")
            count, most = note.within(*number_of(row, "start", "end"))
            if processes == 1:  # the windows of several are not the same to the microsecond
                assert abs(int(row["requests"]) - count) <= most
            expected, slack = expected + count, slack + most
        latencies = total(folder / "latency.csv")
        if processes == 1:
            assert abs(latencies - expected) <= slack
        assert set(column(folder / "latency.csv", "second")) == {str(finished["window"]["start"])}
        assert set(column(folder / "latency.csv", "kind")) == {"service"}
        assert of_target["latency_us"]["service"]["p50"] >= 2000
        numbers = {"0"} if processes == 1 else {"1", "2"}
        assert set(column(folder / "generator.csv", "process")) <= numbers
    check_apart(slices, notes, finished)
    first = min(float(row["start"]) for _, row in slices)
    last = max(float(row["end"]) for _, row in slices)
    assert finished["window"]["start"] <= first < last <= finished["window"]["end"]


def test_every_request_is_accounted_for(serve, make_swarm):
    """In this process, where the gates can be looked at: what servers answered is what users were given."""
    from swarm.control.rotating import Target
    from swarm.control.rotor import rotor_of
    from swarm.recording.slices import Part
    from tests.swarm.harness import user_class

    def steps(user):
        yield user.get("/")

    notes = {"a": Noting(), "b": Noting(0.001)}
    targets = [Target(name, serve({"/": note}).url) for name, note in notes.items()]
    base = user_class(steps)
    swarm = make_swarm(base)
    rotor = rotor_of(swarm.environment)
    scenario = type("Scenario", (), {"classes": [base]})
    rotor.place(scenario, 3, targets, 0)
    swarm.start(6)
    until(lambda: swarm.runner.user_count == 6, "all users are there")
    gevent.sleep(0.05)
    assert not any(note.asked for note in notes.values())  # gates are closed at first
    answers = []
    for name in notes:
        asked = {"target": name, "length_s": 0.1, "step": 2, "pause_s": 0.01}
        rotor.ask("settle", asked, answers.append)
        until(lambda: len(answers) == list(notes).index(name) + 1, "it settled")  # noqa: B023
    quick, slow = (each["usual_s"] for each in answers)
    assert quick > 0 and slow >= 0.001
    table = {"seed": 1, "targets": ["a", "b"], "manners": ["polls"], "rounds": 3}
    table |= {"slice_s": 0.05, "warm_s": {"a": 0.01, "b": 0.01}, "gap_s": {"a": 0.05, "b": 0.05}}
    begin = time.perf_counter_ns()
    rotor.ask("begin", {"timetable": table, "begin_ns": begin, "meters": None}, answers.append)
    until(lambda: len(answers) == 3, "the rounds are over")
    gates = swarm.engine.gates
    until(lambda: all(gates[name].requests == note.answered for name, note in notes.items()), "all came back")
    part = Part.unpacked(answers[2])
    for name, note in notes.items():
        own = [each for each in part.slices if each.target == name]
        in_windows = sum(each.requests for each in own)
        assert 0 < in_windows < note.answered
        counted = sum(part.loaded[name].counts().values())
        assert abs(counted - in_windows) <= 3 * len(own)
    answered = sum(note.answered for note in notes.values())
    gevent.sleep(0.05)
    assert answered == sum(note.answered for note in notes.values())  # gates are closed at last
    swarm.stop()
    assert not any(gate.agents for gate in gates.values())


def test_a_target_that_is_dropped_leaves_the_others(rotate, noting, tmp_path):
    notes, urls = noting("a", "b")
    session = rotate(urls, load_s=2.0)
    until(lambda: session.wait_for("progress")["share"] > 0, "the rounds have begun")
    session.send(json.dumps({"command": "drop", "cell": "one", "target": "b", "reason": "its server ended"}))
    dropped = time.time()
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["targets"]["b"]["reason"] == "its server ended"
    assert finished["targets"]["a"]["reason"] is None
    starts = {name: list(map(float, column(tmp_path / name / "slices.csv", "start"))) for name in notes}
    assert max(starts["b"], default=0) < dropped + 1 and len(starts["b"]) < len(starts["a"])
    assert max(starts["a"]) > dropped


def test_without_a_target_a_rotation_fails_and_the_session_goes_on(rotate, files, noting, tmp_path):
    _, urls = noting("a", "b")
    session = rotate(urls, load_s=5.0)
    session.wait_for("progress")
    for name in urls:
        session.send(json.dumps({"command": "drop", "target": name, "reason": f"{name} went"}))
    failed = session.wait_for("finished", "failed")
    assert failed["event"] == "failed" and "no target is left: a: a went; b: b went" in failed["reason"]
    rotate(urls, load_s=5.0)
    session.wait_for("progress")
    session.send(json.dumps({"command": "abort", "reason": "no more time"}))
    assert session.wait_for("finished", "failed")["reason"] == "no more time"
    session.cell(files["fine"], urls["a"], tmp_path / "block")
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished" and finished["requests"] > 0, finished
    rotate(urls)
    assert session.wait_for("finished", "failed")["event"] == "finished"


def test_a_server_that_dies_fails_in_its_slices_only(rotate, noting, tmp_path):
    notes, urls = noting("a", "b")
    session = rotate(urls, load_s=2.0)
    until(lambda: session.wait_for("progress")["share"] > 0, "the rounds have begun")
    notes["b"].server.close()
    notes["b"].delay_s = 60
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["targets"]["a"]["failures"] == 0
    assert total(tmp_path / "a" / "failures.csv") == 0
    assert finished["targets"]["a"]["requests"] > 0


def test_refused_connections_are_failures_of_their_target(rotate, noting, tmp_path):
    _, urls = noting("a")
    finished = rotate({**urls, "b": "http://127.0.0.1:1"}).wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    lost = finished["targets"]["b"]
    assert lost["requests"] == 0 and lost["latency_us"] == {} and lost["reason"] is None
    assert lost["failures"] == total(tmp_path / "b" / "failures.csv") > 0
    assert total(tmp_path / "b" / "slices.csv", "failures") <= lost["failures"]
    assert set(column(tmp_path / "b" / "failures.csv", "kind")) == {"refused"}
    assert finished["targets"]["a"]["failures"] == 0


def test_a_slow_target_rests_for_longer_though_it_answers_after_it_has_settled(rotate, noting, tmp_path):
    _, urls = noting("a", "b", b=0.1)
    finished = rotate(urls, slice_s=0.5, load_s=1.0, settle_s=0.02).wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    slow, fast = finished["targets"]["b"], finished["targets"]["a"]
    assert slow["warm_s"] >= 0.125 and slow["gap_s"] >= 0.2
    assert fast["warm_s"] < slow["warm_s"] and fast["gap_s"] < slow["gap_s"]
    assert finished["targets"]["b"]["latency_us"]["service"]["max"] >= 100_000
    assert min(map(float, column(tmp_path / "b" / "latency.csv", "bucket_us"))) >= 99_900


def test_an_answer_that_comes_late_is_a_latency_of_its_own_target(rotate, noting, serve, tmp_path):
    _, urls = noting("a")
    asked = Counter()

    def sometimes(client, _asked):
        asked[client.number] += 1
        late = client.number == 1 and asked[1] % 20 == 0
        gevent.sleep(0.5 if late else 0.001)
        client.send(reply())

    server = serve({"/": sometimes})
    finished = rotate({**urls, "b": server.url}, slice_s=0.05, load_s=1.0).wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    in_flight = [
        int(each) for name in ("a", "b") for each in column(tmp_path / name / "slices.csv", "in_flight")
    ]
    assert max(in_flight) >= 1 and min(in_flight) == 0
    assert finished["targets"]["b"]["failures"] == 0
    assert finished["targets"]["a"]["requests"] > 0


def test_the_servers_clocks_are_read(rotate, share_session, files, noting, tmp_path):
    _, urls = noting("a", "b")
    # Two processes that work all the time.
    pids = {"a": [os.getpid()], "b": [share_session(files.values()).process.pid]}
    finished = rotate(urls, pids=pids, cpus=[0]).wait_for("finished", "failed")
    for name in urls:
        of_target = finished["targets"][name]
        assert of_target["cpu_s"] > 0 and of_target["idle_cpu_s"] > 0 and of_target["idle_s"] > 0
        for row in rows(tmp_path / name / "slices.csv"):
            assert float(row["cpu_s"]) > 0 and float(row["idle_cpu_s"]) > 0
            assert float(row["generator_s"]) > 0 and float(row["spin_s"]) >= 0
            assert float(row["busy_s"]) >= 0 and float(row["steal_s"]) >= 0
        assert {
            row["spin_s"] for row in rows(tmp_path / name / "slices.csv") if row["manner"] == "sleeps"
        } == {"0.0"}


def test_two_ways_to_one_server_are_no_neighbours(rotate, noting, tmp_path):
    _, urls = noting("a", "b")
    pids = {"a": [os.getpid()], "b": [os.getpid()], "c": [os.getppid()]}
    ways = {"pids": pids, "servers": {"a": "one", "b": "one", "c": "other"}}
    finished = rotate({**urls, "c": urls["a"]}, **ways, cpus=[0]).wait_for("finished", "failed")
    for name, neighbours in (("a", ["c"]), ("b", ["c"]), ("c", ["a", "b"])):
        seconds = sum(finished["targets"][each]["loaded_s"] for each in neighbours)
        assert finished["targets"][name]["idle_s"] == pytest.approx(seconds)
        assert finished["targets"][name]["cpu_s"] >= 0
    of_third = rows(tmp_path / "c" / "slices.csv")
    assert of_third and all(float(row["idle_cpu_s"]) > 0 for row in of_third), "once, not once for each way"


@pytest.mark.parametrize("case", CANNOT)
def test_what_cannot_rotate_says_why(rotate, open_session, files, noting, case):
    text, fields, reason = CANNOT[case]
    _, urls = noting("a", "b")
    # One that the locustfile ends.
    session = open_session(files["quits"]) if case == "quits" else None
    rotating = rotate(urls, session=session, file="fine" if text == FINE else case, **fields)
    failed = rotating.wait_for("finished", "failed")
    assert failed["event"] == "failed" and reason in failed["reason"], failed


def test_weights_listeners_and_exceptions_are_those_of_the_scenario(rotate, noting, tmp_path):
    notes, urls = noting("a", "b")
    finished = rotate(urls, file="weights").wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    for name, note in notes.items():
        assert note.server.connections == USERS
        assert set(column(tmp_path / name / "latency.csv", "name")) == {"often", "rarely"}
    assert total(tmp_path / "a" / "locust_exceptions.csv", "Count") > 0
    assert rows(tmp_path / "b" / "locust_exceptions.csv") == []


def test_cpu_clocks_may_be_read_elsewhere(rotate, noting, tmp_path):
    """On another machine, where the servers are: the session tells the edges, and is told what was read."""
    _, urls = noting("a", "b")
    urls |= {"a@proxy": urls["a"]}
    session = rotate(urls, servers={"a": "a", "b": "b", "a@proxy": "a"}, elsewhere=True)
    edges = session.wait_for("timetable", "failed")["edges"]
    assert len(edges) == 2 * 3 * 4 and edges == sorted(edges)
    # Of the two servers one uses 1 ms from edge to edge; what it had used before counts for nothing.
    used = [7 + 10**6 * number for number in range(len(edges))]
    readings = [[at, {"a": ns, "a@proxy": ns, "b": None}] for at, ns in zip(edges, used, strict=True)]
    session.send(json.dumps({"command": "metered", "cell": "one", "readings": readings}))
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    slices = rows(tmp_path / "a" / "slices.csv")
    for row in slices:
        assert float(row["cpu_s"]) == pytest.approx(1e-3, rel=0.2) and row["idle_cpu_s"] == ""
    for row in rows(tmp_path / "b" / "slices.csv"):  # once, not once for each way
        assert row["cpu_s"] == "" and float(row["idle_cpu_s"]) == pytest.approx(1e-3, rel=0.2)
    figures = finished["targets"]
    assert figures["a"]["cpu_s"] == pytest.approx(sum(float(row["cpu_s"]) for row in slices))
    for name in ("a", "a@proxy"):
        assert figures[name]["idle_s"] == pytest.approx(figures["b"]["loaded_s"])
    assert figures["b"]["cpu_s"] is None
