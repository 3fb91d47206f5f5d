"""What the meter notes of births and deaths, in orders that a real server seldom shows."""

import csv
import os
import subprocess
from contextlib import contextmanager

import psutil
import pytest

from targets.serving import exits, metering
from targets.serving.metering import Meter
from tests.patience import wait_until

from ..grandchild import Grandchild


@pytest.fixture
def meter(tmp_path):
    meter = Meter(tmp_path)
    yield meter
    meter.close()


@contextmanager
def process(*command, **options):
    """A running process; it is killed in the end, with what it has started."""
    with subprocess.Popen(command or ["sleep", "600"], **options) as running:
        try:
            yield running
        finally:
            if running.returncode is None:
                for descendant in psutil.Process(running.pid).children(recursive=True):
                    descendant.kill()
                running.kill()


def events(folder):
    rows = csv.DictReader((folder / "workers.csv").read_text().splitlines())
    return [(row["event"], int(row["pid"]), row["role"], row["exit_status"]) for row in rows]


def test_the_status_of_a_worker_whose_manager_has_not_reaped_it_is_noted(meter, tmp_path):
    with Grandchild() as worker:
        meter.settle([worker.parent, worker.pid], worker.parent)
        worker.end(3)
        meter.sample([worker.parent, worker.pid])
        assert events(tmp_path)[-1] == ("died", worker.pid, "helper", "3")


def test_a_death_that_is_seen_before_serve_reaps_it_has_its_status(meter, tmp_path):
    with process() as root:
        meter.settle([root.pid], root.pid)
        root.kill()
        os.waitid(os.P_PID, root.pid, os.WEXITED | os.WNOWAIT)  # a zombie now, not reaped
        meter.sample([root.pid])
        meter.died(root.pid, root.wait())
    assert events(tmp_path)[1:] == [("died", root.pid, "manager", "-9")]


def test_a_stillborn_worker_that_nobody_saw_leaves_the_status_of_the_last_known(meter):
    with process() as seen, process() as unseen:
        unseen.kill()
        unseen.wait()
        meter.sample([seen.pid])
        seen.kill()
        meter.died(seen.pid, seen.wait())
        meter.announcements.write_text(f"1.5,{unseen.pid}\n")
        meter.read_announcements()
        meter.died(unseen.pid)
    assert (meter.stillborn, meter.stillborn_status) == (2, -9)


def test_a_worker_that_announced_itself_and_died_between_two_samples_is_born_once(meter, tmp_path):
    with process() as worker:
        meter.settle([worker.pid], None)
        meter.announcements.write_text(f"1.5,{worker.pid}\n")
        worker.kill()
        meter.died(worker.pid, worker.wait())
        meter.sample([])
    assert [event for event, *_ in events(tmp_path)] == ["born", "ready", "died"]


def test_who_starts_a_process_later_tells_what_it_is(meter, tmp_path):
    """The manager's is a worker; one of a worker is a program that the import of the app runs."""
    with three_generations(meter) as pids:
        meter.sample(pids)
    roles = zip(pids, ["manager", "worker", "helper"], strict=True)
    assert events(tmp_path) == [("born", pid, role, "") for pid, role in roles]


def test_a_program_that_is_gone_a_moment_later_is_no_worker_either(meter, tmp_path, monkeypatch):
    with three_generations(meter) as pids:
        seen = []

        def once(pid):
            seen.append(pid)
            return exits.stat_of(pid) if pid != pids[-1] or seen.count(pid) == 1 else None

        monkeypatch.setattr(metering, "stat_of", once)
        meter.sample(pids)
        meter.sample(pids[:-1])
    assert [event for event in events(tmp_path) if event[1] == pids[-1]] == [
        ("born", pids[-1], "helper", ""),
        ("died", pids[-1], "helper", ""),
    ]


@contextmanager
def three_generations(meter):
    """Pids of a manager, known to the meter, of a worker that starts later, and of a program of its own."""
    with process("sh", "-c", "read go; (sleep 600 & wait) & wait", stdin=subprocess.PIPE) as manager:
        meter.settle([manager.pid], manager.pid)
        manager.stdin.write(b"go\n")
        manager.stdin.flush()
        tree = psutil.Process(manager.pid)
        wait_until(lambda: len(tree.children(recursive=True)) == 2, "both have started")
        (worker,) = tree.children()
        (program,) = worker.children()
        yield [manager.pid, worker.pid, program.pid]


def test_what_serve_starts_again_is_a_worker(meter, tmp_path):
    meter.settle([], None)
    with process() as successor:
        meter.sample([successor.pid])
    assert events(tmp_path) == [("born", successor.pid, "worker", "")]


def test_what_serve_starts_again_is_what_it_was(meter, tmp_path):
    with process() as manager:
        meter.settle([manager.pid], manager.pid)
        manager.kill()
        meter.died(manager.pid, manager.wait())
    with process() as successor:
        meter.sample([successor.pid])
    assert events(tmp_path)[-1] == ("born", successor.pid, "manager", "")


def test_no_descriptor_is_left_open(tmp_path):
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    meter = Meter(tmp_path)
    with process() as dead, process() as alive:
        meter.settle([dead.pid, alive.pid], dead.pid)
        dead.kill()
        dead.wait()
        meter.sample([alive.pid])
        meter.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208


def test_a_sample_has_what_a_process_holds(meter, tmp_path):
    with process() as root:
        meter.settle([root.pid], root.pid)
        meter.sample([root.pid])
        meter.sample([root.pid])
    first, second = [
        row
        for row in csv.DictReader((tmp_path / "processes.csv").read_text().splitlines())
        if row["role"] == "manager"
    ]
    assert int(first["descriptors"]) >= 3 and int(first["threads"]) == 1
    assert 0 < int(first["pss_bytes"]) <= int(first["rss_bytes"])
    assert [second[name] for name in ("rss_bytes", "pss_bytes", "descriptors", "threads")] == [""] * 4
