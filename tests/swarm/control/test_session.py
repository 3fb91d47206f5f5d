"""`swarm.session`: cells one after the other, over a pipe."""

from __future__ import annotations

import csv

import pytest

from swarm.control.cell import Cell, CellFailed
from tests.patience import LONG_S
from tests.swarm.conftest import scenario_writer
from tests.swarm.harness import until
from tests.swarm.processes import alive, column, family, total
from tests.swarm.scripted import reply

FILES = {
    "latency.csv",
    "failures.csv",
    "generator.csv",
    "locust_stats.csv",
    "locust_stats_history.csv",
    "locust_failures.csv",
    "locust_exceptions.csv",
}

PACED = """
from locust import HttpUser, task
from swarm import Arrivals, SwarmUser

class Paced(SwarmUser):
    arrivals = Arrivals(0.001)

    @task
    def work(self):
        yield self.get("/")
"""


# A process is as long at it as if it made thousands, and says nothing meanwhile.
LATE = """
import time
from locust import task
from swarm import SwarmUser

class Late(SwarmUser):
    def __init__(self, environment):
        super().__init__(environment)
        time.sleep(0.7)

    @task
    def work(self):
        yield self.get("/")
        yield self.pause(0.005)
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The scenario files of the shared sessions, by their names."""
    folder = tmp_path_factory.mktemp("scenarios")
    write = scenario_writer(folder)
    (folder / "paced.py").write_text(PACED)
    (folder / "late.py").write_text(LATE)
    (folder / "plain.py").write_text(PACED.replace("class Paced(SwarmUser)", "class Plain(HttpUser)"))
    return {
        "index": write(),
        "both": write("Both", 'yield self.get("/ok"); yield self.get("/"); yield self.pause(0.02)'),
        "paced": folder / "paced.py",
        "late": folder / "late.py",
        "plain": folder / "plain.py",
    }


@pytest.fixture
def session_of(share_session, files):
    """A session with all of `files`, which tests share: `session_of(processes)`."""
    return lambda processes=1: share_session(files.values(), processes)


def test_cells_one_after_the_other(serve, open_session, scenario, tmp_path):
    first, second = serve({"/": reply()}), serve({"/": reply(b"", "404 Not Found")})
    index, other = scenario(), scenario("Other")
    session = open_session(index, other)
    ready = session.wait_for("ready")
    assert ready["processes"] == 1
    assert ready["scenarios"] == {str(index): ["Index"], str(other): ["Other"]}
    assert set(ready["engines"].values()) == {"swarm"}

    session.cell(index, first.url, tmp_path / "one", users=3, warmup_s=0.1)
    progress = session.wait_for("progress")
    assert progress["users"] == 3
    finished = session.wait_for("finished", "failed")
    window = finished["window"]
    assert window["end"] - window["start"] == 1
    assert {path.name for path in (tmp_path / "one").iterdir()} == FILES
    assert total(tmp_path / "one" / "latency.csv") == len(first.asked) >= finished["requests"] > 0
    in_window = [
        int(count)
        for second, count in zip(
            column(tmp_path / "one" / "latency.csv", "second"),
            column(tmp_path / "one" / "latency.csv", "count"),
            strict=True,
        )
        if window["start"] <= int(second) < window["end"]
    ]
    assert (finished["requests"], finished["failures"]) == (sum(in_window), 0)
    until(lambda: first.open == 0, "idle connections are closed between cells")

    session.cell(other, second.url, tmp_path / "two", users=5)
    finished = session.wait_for("finished", "failed")
    assert finished["requests"] == 0
    assert 0 < finished["failures"] <= total(tmp_path / "two" / "failures.csv") == len(second.asked)
    assert set(column(tmp_path / "two" / "failures.csv", "kind")) == {"http_4xx"}
    assert second.connections == 5


def test_two_processes_merge_exactly(serve, open_session, scenario, tmp_path):
    server = serve({"/": reply()})
    index = scenario()
    session = open_session(index, processes=2)
    assert session.wait_for("ready")["processes"] == 2
    for number in (1, 2):
        before = len(server.asked)
        folder = tmp_path / str(number)
        session.cell(index, server.url, folder, users=6, stop_timeout_s=1)
        finished = session.wait_for("finished", "failed")
        assert finished["event"] == "finished"
        asked = len(server.asked) - before
        assert total(folder / "latency.csv") == asked > 0
        assert {"1", "2"} <= set(column(folder / "generator.csv", "process"))
        [locusts] = column(folder / "locust_stats.csv", "Request Count")[-1:]
        assert 0 < int(locusts) <= asked
    processes = family(session.process.pid)
    assert len(processes) == 3
    session.process.stdin.close()
    assert session.process.wait(LONG_S) == 0
    until(lambda: not alive(processes), "the workers have ended, too")


@pytest.mark.parametrize(("processes", "kind"), [(1, "poisson"), (2, "constant")])
def test_an_open_loop_and_then_a_closed_one(serve, session_of, files, tmp_path, processes, kind):
    server, index, session = serve({"/": reply()}), files["index"], session_of(processes)
    arrivals = {"kind": kind, "rate_per_s": 100.0, "seed": 1}
    folder = tmp_path / "open"
    session.cell(index, server.url, folder, users=150, arrivals=arrivals, warmup_s=0.5, measured_s=3)
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["arrivals"] == pytest.approx(300, abs=3 if kind == "constant" else 80)
    assert finished["completions"] == pytest.approx(finished["requests"], abs=60)
    assert set(finished["latency_us"]) == {"service", "from_schedule", "lateness"}
    assert finished["latency_us"]["from_schedule"]["p50"] >= finished["latency_us"]["service"]["p50"] > 0
    assert finished["latency_us"]["service"]["p99"] is None  # three requests beyond it
    kinds = column(folder / "latency.csv", "kind")
    counts = list(map(int, column(folder / "latency.csv", "count")))
    for each in ("service", "from_schedule", "lateness"):
        of_kind = sum(count for of, count in zip(kinds, counts, strict=True) if of == each)
        assert of_kind == len(server.asked)
    assert server.connections == 150  # all open before they are needed, none twice

    session.cell(index, server.url, tmp_path / "closed")
    finished = session.wait_for("finished", "failed")
    assert (finished["arrivals"], finished["completions"]) == (None, None)
    assert set(finished["latency_us"]) == {"service"}
    assert set(column(tmp_path / "closed" / "generator.csv", "arrivals")) == {""}


def test_a_window_begins_when_all_users_are_there(serve, session_of, files, tmp_path):
    session_of(2).cell(files["late"], serve({"/": reply()}).url, tmp_path, users=6)
    finished = session_of(2).wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    with (tmp_path / "generator.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["time"]) > finished["window"]["start"]]
    assert {(row["process"], row["users"]) for row in rows} == {("0", "0"), ("1", "3"), ("2", "3")}


def test_a_cell_says_itself_whether_its_loop_is_open(serve, session_of, files, tmp_path):
    server, path, session = serve({"/": reply()}), files["paced"], session_of()
    session.cell(path, server.url, tmp_path / "closed", arrivals=None)
    finished = session.wait_for("finished", "failed")
    assert finished["requests"] > 10
    assert finished["arrivals"] is None
    session.cell(path, server.url, tmp_path / "bare", record=False)
    finished = session.wait_for("finished", "failed")
    assert (finished["latency_us"], finished["arrivals"]) == (None, None)


@pytest.mark.parametrize(
    ("arrivals", "reason"),
    [
        (3000, "arrivals is null or has kind"),
        ({"kind": "constant"}, "arrivals is null or has kind"),
        ({"kind": "constant", "rate_per_s": 0}, "above 0"),
        ({"kind": "constant", "rate_per_s": "10"}, "number"),
        ({"kind": "bursts", "rate_per_s": 10}, "constant, poisson"),
        ({"kind": "poisson", "rate_per_s": 10, "seed": "x"}, "whole number"),
        ({"kind": "poisson", "rate_per_s": 10, "seeed": 1}, "seeed"),
    ],
)
def test_arrivals_that_cannot_be_are_a_reason(tmp_path, arrivals, reason):
    command = {"host": "", "scenario": "", "users": 1, "warmup_s": 0, "measured_s": 1, "directory": "."}
    with pytest.raises(CellFailed, match=reason):
        Cell.of(command | {"arrivals": arrivals})


def test_open_loops_that_cannot_be_fail_the_cell(serve, session_of, files, tmp_path):
    server, session = serve({"/": reply()}), session_of(2)
    arrivals = {"kind": "constant", "rate_per_s": 10}
    session.cell(files["plain"], server.url, tmp_path / "a", arrivals=arrivals)
    assert "needs swarm users, which Locust's own are not: Plain" in session.wait_for("failed")["reason"]
    session.cell(files["index"], server.url, tmp_path / "b", arrivals=arrivals, users=1)
    assert "a user in each process: 1 users, 2 processes" in session.wait_for("failed")["reason"]


def traced_rows(folder):
    with (folder / "trace.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("processes", [1, 2])
def test_a_traced_cell_and_then_one_without(serve, session_of, files, tmp_path, processes):
    server = serve({"/": reply(b"", "503 Service Unavailable"), "/ok": reply()})
    session = session_of(processes)
    session.cell(files["both"], server.url, tmp_path / "traced", users=6, trace=True)
    assert session.wait_for("finished", "failed")["event"] == "finished"
    assert {path.name for path in (tmp_path / "traced").iterdir()} == FILES | {"trace.csv"}
    found = traced_rows(tmp_path / "traced")
    ids = {row["id"] for row in found}
    assert len(ids) == len(found) == len(server.asked)
    assert ids == {asked.headers["x-request-id"] for asked in server.asked}
    of_processes = {number.partition("-")[0] for number in ids}
    assert of_processes == ({"0"} if processes == 1 else {"1", "2"})
    assert of_processes <= set(column(tmp_path / "traced" / "generator.csv", "process"))
    assert len({(row["id"].partition("-")[0], row["connection"]) for row in found}) == server.connections
    ends = [float(row["ended"]) for row in found]
    assert ends == sorted(ends)
    lost = {row["id"] for row in found if row["kind"] == "http_5xx"}
    assert sorted(column(tmp_path / "traced" / "failures.csv", "id")) == sorted(lost)

    before = len(server.asked)
    session.cell(files["index"], server.url, tmp_path / "plain")
    session.wait_for("finished", "failed")
    assert not any("x-request-id" in asked.headers for asked in server.asked[before:])
    assert {path.name for path in (tmp_path / "plain").iterdir()} == FILES
    assert set(column(tmp_path / "plain" / "failures.csv", "id")) == {""}


def test_a_trace_that_is_not_recorded_fails_the_cell(tmp_path):
    command = {"host": "", "scenario": "", "users": 1, "warmup_s": 0, "measured_s": 1, "directory": "."}
    with pytest.raises(CellFailed, match="trace needs record"):
        Cell.of(command | {"trace": True, "record": False})


@pytest.mark.parametrize("processes", [1, 2])
def test_enough_ends_the_window_with_the_second_that_is_running(
    serve, session_of, files, tmp_path, processes
):
    server, session, folder = serve({"/": reply()}), session_of(processes), tmp_path / "cell"
    arrivals = {"kind": "constant", "rate_per_s": 200.0}
    session.send('{"command": "enough"}')  # between cells there is nothing to end
    session.cell(files["index"], server.url, folder, users=20, arrivals=arrivals, warmup_s=2, measured_s=600)
    warming = session.wait_for("progress", "failed", "finished")
    assert (warming["window_start"], warming["requests"]) == (None, None)
    session.send('{"command": "enough"}')  # nor in the warm-up
    requests = 0
    while not requests:
        progress = session.wait_for("progress", "failed", "finished")
        requests = progress["requests"]
    start = progress["window_start"]
    session.send('{"command": "enough"}')
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    window = finished["window"]
    assert window["start"] == start
    assert start < progress["time"] < window["end"] < start + 600
    assert window["end"] == int(window["end"])
    seconds = window["end"] - start
    in_window = [
        int(count)
        for second, kind, count in zip(
            column(folder / "latency.csv", "second"),
            column(folder / "latency.csv", "kind"),
            column(folder / "latency.csv", "count"),
            strict=True,
        )
        if kind == "service" and start <= int(second) < window["end"]
    ]
    assert finished["requests"] == sum(in_window) >= requests
    assert finished["arrivals"] == pytest.approx(200 * seconds, abs=4)


def test_enough_is_obeyed_where_nothing_is_recorded(serve, session_of, files, tmp_path):
    server, session = serve({"/": reply()}), session_of()
    session.cell(files["index"], server.url, tmp_path / "cell", warmup_s=0, measured_s=600, record=False)
    progress = {"window_start": None}
    while progress["window_start"] is None:
        progress = session.wait_for("progress", "failed", "finished")
    assert progress["requests"] is None  # nobody counts them by their seconds
    session.send('{"command": "enough"}')
    window = session.wait_for("finished", "failed")["window"]
    assert window["start"] < window["end"] < window["start"] + 600
