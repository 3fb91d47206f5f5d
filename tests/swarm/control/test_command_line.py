"""`locust -f locustfiles/...` as its users know it: headless, several processes, web UI."""

from __future__ import annotations

import csv
import json
import subprocess
import urllib.request
from itertools import pairwise
from time import perf_counter
from urllib.parse import urlencode

import pytest

from tests.patience import LONG_S
from tests.ports import free_port
from tests.swarm.harness import until
from tests.swarm.processes import ROOT, alive, family, finish, start
from tests.swarm.scripted import reply

INDEX = ROOT / "locustfiles" / "index.py"
# What is tested needs requests, and not all that a CPU can make.
PACED = """
import locustfiles.index
from locust import constant

class Index(locustfiles.index.Index):
    wait_time = constant(0.005)
"""


@pytest.fixture
def locust(tmp_path_factory):
    """Starts locust with the suite's scenario, its users pausing; whatever is left at the end is killed."""
    started, paced = [], tmp_path_factory.mktemp("scenario") / "paced.py"
    paced.write_text(PACED)

    def run(*arguments, file=paced):
        process = start(
            "-m", "locust", "-f", file, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            for each in family(process.pid):
                each.kill()
        process.communicate()


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


HEADLESS = ("--headless", "-u", 4, "-r", 4, "--stop-timeout", 5, "--skip-log")


@pytest.mark.parametrize("more", [(), ("--processes", 2)], ids=["one process", "two"])
def test_a_trace_beside_a_recording(serve, locust, tmp_path, more):
    server = serve({"/index": reply(b"Hello, world!")})
    status, errors = finish(
        locust(*HEADLESS, "-t", "4s", "--host", server.url, "--record", tmp_path, "--trace", *more)
    )
    assert status == 0, errors
    ids = [row["id"] for row in rows(tmp_path / "trace.csv")]
    assert sorted(ids) == sorted(asked.headers["x-request-id"] for asked in server.asked)
    assert len(set(ids)) == len(ids) > 0


@pytest.fixture
def refused(forked):
    """What locust says, and its exit status, where it does not even begin."""

    def run(*arguments):
        status, _, errors = forked("locust.main", "-f", INDEX, *arguments)
        return status, errors

    return run


def test_a_trace_without_a_recording_is_refused(refused):
    status, errors = refused(*HEADLESS, "--host", "http://127.0.0.1:9", "--trace")
    assert status == 1
    assert "--trace needs --record DIR" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("processes", [1, 2])
def test_headless_with_a_recording(serve, locust, tmp_path, processes):
    server = serve({"/index": reply(b"Hello, world!")})
    more = ("--processes", processes) if processes > 1 else ()
    record, stats = tmp_path / "record", tmp_path / "locust"
    process = locust(
        *HEADLESS, "-t", "4s", "--host", server.url, "--record", record, "--json-file", stats, *more
    )
    status, errors = finish(process)
    assert status == 0, errors
    assert {path.name for path in record.iterdir()} == {"latency.csv", "failures.csv", "generator.csv"}
    recorded = sum(int(row["count"]) for row in rows(record / "latency.csv"))
    assert recorded == len(server.asked) > 0
    assert not rows(record / "failures.csv")
    assert len({row["process"] for row in rows(record / "generator.csv")}) >= processes
    [entry] = json.loads(stats.with_suffix(".json").read_text())
    assert (entry["num_requests"], entry["num_failures"]) == (recorded, 0)
    assert entry["total_content_length"] == 13 * recorded


SLOW = """
from time import perf_counter
from locustfiles.index import Index
began = perf_counter()
while perf_counter() < began + 2.5:  # to sleep would let gevent's loop look at the clock
    pass
"""


def test_a_run_time_is_not_shortened_by_what_took_long_to_import(serve, locust, tmp_path):
    times = []

    def answer(client, _asked):
        times.append(perf_counter())
        client.send(reply(b"Hello, world!"))

    slow = tmp_path / "slow.py"
    slow.write_text(SLOW)
    status, errors = finish(locust(*HEADLESS, "-t", "2s", "--host", serve({"/index": answer}).url, file=slow))
    assert status == 0, errors
    assert times[-1] - times[0] > 1


def test_without_a_recording_locusts_own_numbers_are_right_too(serve, locust, tmp_path):
    server = serve({"/index": reply(b"wrong")})
    process = locust(
        *HEADLESS, "-t", "4s", "--host", server.url, "--json-file", tmp_path / "locust", "--processes", 2
    )
    status, _ = finish(process)
    assert status == 1  # locust's way to say that requests failed
    [entry] = json.loads((tmp_path / "locust.json").read_text())
    assert (entry["method"], entry["name"]) == ("GET", "/index")
    assert entry["num_requests"] == entry["num_failures"] == len(server.asked) > 0


@pytest.mark.parametrize("processes", [1, 2])
def test_an_open_loop(serve, locust, tmp_path, processes):
    """Two processes have every second arrival each, so that the server sees them 50 ms apart."""
    times = []

    def answer(client, _asked):
        times.append(perf_counter())
        client.send(reply(b"Hello, world!"))

    server = serve({"/index": answer})
    more = ("--processes", processes) if processes > 1 else ()
    open_loop = ("--arrival-rate", 20, "--arrivals", "constant")
    process = locust(*HEADLESS, "-t", "4s", "--host", server.url, "--record", tmp_path, *open_loop, *more)
    status, errors = finish(process)
    assert status == 0, errors
    kinds = {}
    for row in rows(tmp_path / "latency.csv"):
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + int(row["count"])
    assert kinds == dict.fromkeys(("service", "from_schedule", "lateness"), len(times))
    last = {row["process"]: row for row in rows(tmp_path / "generator.csv") if row["arrivals"]}
    assert len(last) == processes
    assert all(int(row["arrivals"]) > 10 for row in last.values())
    assert sum(int(row["arrivals"]) for row in last.values()) == pytest.approx(len(times), abs=25)
    gaps = [after - before for before, after in pairwise(times)]
    assert sum(0.025 < gap < 0.075 for gap in gaps) > len(gaps) / 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arrival-rate", "0"), "rate_per_s must be above 0"),
        (("--arrival-rate", "many"), "many"),
        (("--arrivals", "sometimes", "--arrival-rate", "5"), "sometimes"),
        (("--arrivals", "poisson"), "needs --arrival-rate"),
        (("--arrival-rate", "5", "--arrival-seed", "-1"), "negative"),
    ],
)
def test_open_loops_that_cannot_be_are_said(refused, arguments, message):
    status, errors = refused("--headless", "-t", "1s", "--host", "http://127.0.0.1:1", *arguments)
    assert status != 0
    assert message in errors
    assert "Traceback" not in errors


def test_master_and_worker(serve, locust, tmp_path):
    server, port = serve({"/index": reply(b"Hello, world!")}), free_port()
    where = ("--master-port", port)
    master = locust(
        *HEADLESS,
        "-t",
        "4s",
        "--host",
        server.url,
        "--record",
        tmp_path,
        "--master",
        "--expect-workers",
        1,
        "--master-bind-port",
        port,
    )
    worker = locust("--worker", *where)
    status, errors = finish(master)
    assert status == 0, errors
    assert sum(int(row["count"]) for row in rows(tmp_path / "latency.csv")) == len(server.asked) > 0
    assert finish(worker)[0] == 0


@pytest.mark.parametrize("host", [None, "localhost:80", "http://127.0.0.1:1/prefix"])
def test_a_host_that_is_none_is_said(refused, host):
    status, errors = refused("--headless", "-t", "1s", *(("--host", host) if host else ()))
    assert status == 1
    assert "The host of Index is" in errors


def test_a_folder_that_cannot_be_recorded_into_is_an_error(refused, tmp_path):
    (tmp_path / "file").write_text("")
    host = ("--host", "http://127.0.0.1:9")
    status, errors = refused(*HEADLESS[:-1], "-t", "1s", *host, "--record", tmp_path / "file")
    assert status == 1
    assert "cannot record into" in errors


def test_the_web_ui_starts_watches_and_stops_a_busy_swarm(null_server, locust):
    port = free_port()
    where = ("--host", null_server, "--web-host", "127.0.0.1", "--web-port", port)
    process = locust(*where, "--skip-log", file=INDEX)
    base = f"http://127.0.0.1:{port}"

    def call(path, form=None):
        data = urlencode(form).encode() if form else None
        with urllib.request.urlopen(base + path, data, timeout=LONG_S) as response:
            return response.read()

    def answers():
        try:
            return call("/stats/requests")
        except OSError:
            return None

    def stats():
        return json.loads(call("/stats/requests"))

    until(answers, "the web UI is there")
    seen = 0
    for users in (2, 6):
        assert json.loads(call("/swarm", {"user_count": users, "spawn_rate": 10}))["success"]
        until(lambda users=users: stats()["user_count"] == users, "all users are running")
        until(lambda seen=seen: stats()["stats"][-1]["num_requests"] > seen + 1000, "requests are counted")
        seen = stats()["stats"][-1]["num_requests"]
    assert stats()["state"] == "running"
    assert json.loads(call("/stop", {"stop": "now"}))["success"]
    until(lambda: stats()["state"] == "stopped", "the test is stopped")
    after = stats()
    assert after["user_count"] == 0
    assert after["stats"][-1]["num_failures"] == 0
    assert [entry["name"] for entry in after["stats"]] == ["/index", "Aggregated"]
    processes = family(process.pid)
    process.terminate()
    until(lambda: not alive(processes), "locust has ended")
