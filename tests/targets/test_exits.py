"""The exit status of a process that is another one's child, and of those that the meter finds dead."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from targets import exits
from targets.exits import ExitWatch
from targets.metering import Meter

from .conftest import wait_until

ENDS = [(b"0", 0), (b"3", 3), (b"-9", -signal.SIGKILL)]

# Starts a child, says its pid, and lets it end as it is told; reaps it only when told again.
PARENT = """
import os, signal
end = os.pipe()
child = os.fork()
if child == 0:
    how = int(os.read(end[0], 9))
    os.kill(os.getpid(), -how) if how < 0 else os._exit(how)
os.write(1, b"%d\\n" % child)
os.write(end[1], os.read(0, 9))
os.read(0, 1)
os.waitpid(child, 0)
os.write(1, b"reaped\\n")
os.read(0, 1)
"""


@pytest.fixture
def parent():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        yield parent
        parent.kill()


@pytest.fixture
def watched(parent):
    """A grandchild's pid and its watch, begun while it lives."""
    pid = int(parent.stdout.readline())
    watch = ExitWatch(pid)
    yield pid, watch
    watch.close()


def end(parent, pid, how):
    parent.stdin.write(how)
    wait_until(lambda: is_zombie(pid), "the grandchild ends")


def reap(parent):
    parent.stdin.write(b"\n")
    assert parent.stdout.readline() == b"reaped\n"


def is_zombie(pid):
    stat = exits.stat_of(pid)
    return stat is not None and stat[exits.STATE] == "Z"


def kernel():
    return tuple(int(part) for part in os.uname().release.split(".")[:2])


@pytest.mark.parametrize(("how", "status"), ENDS)
def test_a_grandchild_that_nobody_has_waited_for_tells_its_status(parent, watched, how, status):
    pid, watch = watched
    assert watch.status() is None, "it lives"
    end(parent, pid, how)
    assert watch.status() == status


@pytest.mark.skipif(kernel() < (6, 15), reason="older kernels tell nobody but the parent")
@pytest.mark.parametrize(("how", "status"), ENDS)
def test_a_grandchild_that_was_reaped_still_tells_its_status(parent, watched, how, status):
    pid, watch = watched
    end(parent, pid, how)
    reap(parent)
    assert not Path(f"/proc/{pid}").exists()
    assert watch.status() == status


def test_where_the_system_does_not_tell_the_status_is_missing(parent, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")  # as on Python 3.8
    pid = int(parent.stdout.readline())
    watch = ExitWatch(pid)
    end(parent, pid, b"3")
    reap(parent)
    assert watch.status() is None


def test_the_zombie_of_another_user_tells_nothing(parent, watched, monkeypatch):
    """The kernel answers 0 to those that may not know."""
    pid, watch = watched
    end(parent, pid, b"3")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert watch.status() is None


def test_a_pid_that_is_used_again_is_not_mistaken(parent, watched, monkeypatch):
    pid, watch = watched
    end(parent, pid, b"3")
    stat = exits.stat_of(pid)
    stat[exits.START] = str(int(stat[exits.START]) + 1)
    monkeypatch.setattr(exits, "stat_of", lambda _: stat)
    assert watch.status() is None


@pytest.fixture
def meter(tmp_path):
    meter = Meter(tmp_path)
    yield meter
    meter.close()


def deaths(folder):
    rows = csv.DictReader((folder / "workers.csv").read_text().splitlines())
    return [(int(row["pid"]), row["exit_status"]) for row in rows if row["event"] == "died"]


@pytest.mark.parametrize(("how", "status"), ENDS)
def test_the_meter_notes_the_status_of_a_worker_that_its_manager_reaps_later(
    parent, meter, tmp_path, how, status
):
    pid = int(parent.stdout.readline())
    meter.settle([parent.pid, pid], parent.pid)
    end(parent, pid, how)
    meter.sample([parent.pid, pid])
    assert deaths(tmp_path) == [(pid, str(status))]


def test_a_death_that_is_seen_before_serve_reaps_it_has_its_status(meter, tmp_path):
    with subprocess.Popen(["sleep", "60"]) as child:
        meter.settle([child.pid], child.pid)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now, not reaped
        meter.sample([child.pid])
        meter.died(child.pid, child.wait())
    assert deaths(tmp_path) == [(child.pid, "-9")]


def test_a_worker_that_announced_itself_and_died_between_two_samples_is_born_once(meter, tmp_path):
    with subprocess.Popen(["sleep", "60"]) as child:
        meter.settle([child.pid], None)
        meter.announcements.write_text(f"1.5,{child.pid}\n")
        child.kill()
        meter.died(child.pid, child.wait())
        meter.sample([])
    events = [line.split(",")[1] for line in (tmp_path / "workers.csv").read_text().splitlines()[1:]]
    assert events == ["born", "ready", "died"]


def test_no_descriptor_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    meter = Meter(tmp_path)
    with subprocess.Popen(["sleep", "60"]) as dead, subprocess.Popen(["sleep", "60"]) as alive:
        meter.settle([dead.pid, alive.pid], dead.pid)
        dead.kill()
        dead.wait()
        meter.sample([alive.pid])
        meter.close()
        after = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        alive.kill()
    assert after == before
