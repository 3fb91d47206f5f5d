"""Generators that join a session's master: one exact record of all, and what becomes of it if one is lost.

One of them has a clock of its own, 5000 s ahead, where this user may make time namespaces.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: servers of these tests want gevent to have patched all

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import pairwise
from time import perf_counter, time

import gevent
import pytest

from tests.patience import LONG_S
from tests.ports import free_port
from tests.swarm.processes import ENVIRONMENT, ROOT, SessionProcess, alive, column, family, total
from tests.swarm.scripted import reply

AHEAD_S = 5000
_ELSEWHEN = ["unshare", "--time", "--monotonic", str(AHEAD_S), "--fork", "--kill-child"]


def _may_leave_time():
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*_ELSEWHEN, "true"], capture_output=True, check=False).returncode == 0


class Generator:
    """`python -m swarm.generator`."""

    def __init__(self, master, name, processes, before=(), locustfiles=None, wait_s=LONG_S):
        words = [*before, sys.executable, "-m", "swarm.generator", "--master", master, "--name", name]
        words += ["--processes", str(processes), "--tethered", "--wait", str(wait_s)]
        words += [] if locustfiles is None else ["--locustfiles", str(locustfiles)]
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close
        self.process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=self.said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def text(self):
        self.said.seek(0)
        return self.said.read()

    @property
    def processes(self):
        """All of its processes, the supervisor last: what they are below goes when they do."""
        return family(self.process.pid)[::-1]

    def kill(self):
        """All of it, as if its machine were gone."""
        for each in alive(self.processes):
            each.kill()
        self.process.wait()

    def status(self):
        """The exit status, once it has ended by itself."""
        with gevent.Timeout(LONG_S, AssertionError(f"it goes on: {self.text}")):
            while self.process.poll() is None:
                gevent.sleep(0.05)
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.kill()
        self.process.stdin.close()
        self.said.close()


@pytest.fixture
def generators():
    made = []
    yield made
    for each in made:
        each.close()


@pytest.fixture
def session(scenario, generators):
    """A session with two generators, of one process and of two: `(session, scenario)`."""
    file = scenario()
    master = f"127.0.0.1:{free_port()}"
    options = ["--generators", "2", "--master", master]
    found = SessionProcess(file, words=options)
    before = _ELSEWHEN if _may_leave_time() else ()
    generators.append(Generator(master, "near", 1, locustfiles=file.parent))
    generators.append(Generator(master, "far", 2, before, file.parent))
    yield found, file
    found.close()


def kinds(path):
    """How many latencies of each kind latency.csv has."""
    found = Counter()
    for kind, count in zip(column(path, "kind"), column(path, "count"), strict=True):
        found[kind] += int(count)
    return found


def check_rotation(serve, session, file, tmp_path):
    """All generators go by one timetable."""
    times = {"a": [], "b": []}

    def script(name):
        def answer(client, _asked):
            times[name].append(time())
            client.send(reply())

        return answer

    targets = []
    for name in times:
        (tmp_path / name).mkdir()
        url, directory = serve({"/": script(name)}).url, str(tmp_path / name)
        targets.append({"name": name, "host": url, "directory": directory, "pids": [os.getpid()]})
    command = {"command": "rotate", "cell": "r", "scenario": str(file), "users": 3, "seed": 5, "cpus": [0]}
    command |= {"load_s": 0.6, "settle_s": 0.2, "slice_s": 0.2, "manners": ["polls"], "stop_timeout_s": 5}
    command["targets"] = targets
    session.send(json.dumps(command))
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["rounds"] == 3
    requests = {name: each["requests"] for name, each in finished["targets"].items()}
    assert sum(each["requests"] for each in finished["generators"]) == sum(requests.values()) > 0
    for name in times:
        slices = tmp_path / name / "slices.csv"
        assert total(slices, "requests") == requests[name] > 0
        # The master reads the servers' clocks, as no generator can.
        assert all(float(each) >= 0 for each in column(slices, "cpu_s"))
        assert set(column(tmp_path / name / "generator.csv", "process")) == {"1", "2", "3"}
    # All keep to the same slices: once both have settled it is one server's turn, and then the other's. In
    # the end users go on with what they are at.
    over = max(float(each) for name in times for each in column(tmp_path / name / "slices.csv", "end"))
    turns = sorted((at, name) for name, each in times.items() for at in each if at < over)
    changes = sum(one[1] != other[1] for one, other in pairwise(turns))
    assert changes <= 2 * finished["rounds"] + 1
    session.send(json.dumps({**command, "cell": "again", "load_s": 0.2}))
    again = session.wait_for("finished", "failed")
    assert again["event"] == "finished", again


def test_generators_make_one_record_and_one_that_is_lost_fails_its_cell(serve, session, generators, tmp_path):
    session, file = session
    times = []

    def answer(client, _asked):
        times.append(perf_counter())
        client.send(reply())

    server = serve({"/": answer})
    joined = session.wait_for("joining")
    assert joined["joined"] == []
    ready = session.wait_for("ready")
    assert ready["processes"] == 3
    # What users' code does to its process group meets no shell, and no `make`, that started a generator.
    for each in generators:
        *_, supervisor = each.processes
        loading = [one.pid for one in each.processes if "--process" in one.cmdline()]
        assert loading and os.getsid(supervisor.pid) not in map(os.getsid, loading)
    assert {each["name"]: len(each["processes"]) for each in ready["generators"]} == {"near": 1, "far": 2}

    # A closed loop: nothing is lost or counted twice on the way.
    session.cell(file, server.url, tmp_path / "closed", users=6)
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    near, far = sorted(finished["generators"], key=lambda each: each["name"], reverse=True)
    assert total(tmp_path / "closed" / "latency.csv") == len(times)
    assert near["requests"] + far["requests"] == finished["requests"] > 0
    assert min(near["requests"], far["requests"]) > 0
    assert {int(each) for each in column(tmp_path / "closed" / "generator.csv", "process")} == {0, 1, 2, 3}
    for each in (near, far):  # one machine has one Unix time, whatever its engine's clocks show
        assert abs(each["clock"]["before"]["offset_ms"]) <= each["clock"]["before"]["round_trip_ms"]["most"]
        assert each["clock"]["after"] is not None and each["lateness_us"] is None

    # An open loop: every third arrival is that of a process, by the same clock.
    times.clear()
    arrivals = {"kind": "constant", "rate_per_s": 15, "seed": 1}
    session.cell(file, server.url, tmp_path / "open", users=6, measured_s=2, arrivals=arrivals)
    finished = session.wait_for("finished", "failed")
    assert finished["event"] == "finished", finished
    assert finished["arrivals"] == pytest.approx(30, abs=3)
    assert set(kinds(tmp_path / "open" / "latency.csv").values()) == {len(times)}
    assert all(each["lateness_us"] is not None for each in finished["generators"])
    gaps = [after - before for before, after in pairwise(times)]
    assert sum(0.03 < gap < 0.1 for gap in gaps) > len(gaps) / 2

    check_rotation(serve, session, file, tmp_path)

    # One is gone with all its processes: the cell says so, and the next one does without it.
    session.cell(file, server.url, tmp_path / "lost", users=6, measured_s=60)
    session.wait_for("progress")
    generators[1].kill()
    failed = session.wait_for("finished", "failed")
    assert failed["event"] == "failed" and failed["lost"] == ["far"] and not failed["over"]
    assert "the generator far was lost" in failed["reason"]
    session.cell(file, server.url, tmp_path / "alone", users=6)
    finished = session.wait_for("finished", "failed")
    assert [each["name"] for each in finished["generators"]] == ["near"]
    assert finished["requests"] > 0

    session.send(json.dumps({"command": "over"}))
    session.process.stdin.close()
    assert generators[0].status() == 0
    assert "the run is over" in generators[0].text


def test_a_master_that_is_nowhere_is_named(generators):
    generators.append(Generator("nowhere.invalid", "lost", 1, wait_s=1))
    assert generators[0].status() == 1
    assert "nowhere.invalid is unknown here" in generators[0].text
