"""The exit status of a process that is another one's child."""

import os
import signal
from pathlib import Path

import pytest

from targets.serving import exits
from targets.serving.exits import ExitWatch

from ..grandchild import Grandchild

STATUSES = [0, 3, -signal.SIGKILL]
KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


@pytest.fixture
def grandchild():
    with Grandchild() as grandchild:
        yield grandchild


def watch_of(pid):
    return ExitWatch(pid, int(exits.stat_of(pid)[exits.START]))


@pytest.fixture
def watch(grandchild):
    watch = watch_of(grandchild.pid)
    yield watch
    watch.close()


@pytest.mark.parametrize("status", STATUSES)
def test_a_process_that_nobody_has_waited_for_tells_its_status(grandchild, watch, status):
    assert watch.status() is None, "it lives"
    grandchild.end(status)
    assert watch.status() == status


@pytest.mark.skipif(KERNEL < (6, 15), reason="older kernels tell nobody but the parent")
@pytest.mark.parametrize("status", STATUSES)
def test_a_process_that_was_reaped_still_tells_its_status(grandchild, watch, status):
    grandchild.end(status)
    grandchild.reap()
    assert not Path(f"/proc/{grandchild.pid}").exists()
    assert watch.status() == status


def test_where_the_system_does_not_tell_the_status_is_missing(grandchild, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")  # as on Python 3.8
    watch = watch_of(grandchild.pid)
    grandchild.end(3)
    grandchild.reap()
    assert watch.status() is None


def test_the_zombie_of_another_user_tells_nothing(grandchild, watch, monkeypatch):
    """The kernel answers 0 to those that may not know."""
    grandchild.end(3)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert watch.status() is None


def test_a_pid_that_is_used_again_is_not_mistaken(grandchild, watch, monkeypatch):
    grandchild.end(3)
    stat = exits.stat_of(grandchild.pid)
    stat[exits.START] = str(int(stat[exits.START]) + 1)
    monkeypatch.setattr(exits, "stat_of", lambda _: stat)
    assert watch.status() is None


def test_the_descriptor_is_closed(grandchild):
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    watch = watch_of(grandchild.pid)
    watch.close()
    watch.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
