"""CPU time of process trees, read by the yardstick itself and always in the same way."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from bench.machine.host import Sampler
from bench.studies.self_check.readings import HiccupError, MeasurementError

# Readings are this far apart, at full seconds and in between; so far outside of a window's edge one still
# counts as at it, and readings inside must span so much of the window. The rate between two is exact anyway.
_INTERVAL_S = 0.25
_NEAR_S = 0.02
_SPANNED = 0.7


def tree(pid: int) -> list[int]:
    """The pids of a process and of everything below it.

    Raises:
        MeasurementError: it is gone.
    """
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess as error:
        raise MeasurementError(f"process {pid} ended before it could be measured") from error


def cpu_s(pids: Sequence[int]) -> float:
    """User and system time of living processes in seconds, to the nanosecond.

    Each process's own CPU clock is read (clock_getcpuclockid(3)), where ``/proc/PID/stat`` counts
    hundredths of a second. Raises ``OSError`` when one of them is gone.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


@dataclass(frozen=True)
class Mark:
    """CPU seconds of each watched group of processes at a Unix time."""

    time: float
    cpu_s: Mapping[str, float]


class Clocks:
    """Groups of processes whose CPU time is read together."""

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups

    def read(self) -> Mark:
        """Read them all now.

        Raises:
            MeasurementError: a process is gone.
        """
        now = time.time()
        try:
            return Mark(now, {name: cpu_s(pids) for name, pids in self._groups.items()})
        except OSError as error:
            raise MeasurementError("a process ended while its CPU time was being measured") from error


class Trail(Sampler):
    """Reads clocks four times a second, whole seconds included, where windows of ``swarm.session`` begin."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__("trail", _INTERVAL_S)
        self._clocks = clocks
        self._marks: list[Mark] = []
        self._error: MeasurementError | None = None

    def run(self) -> None:
        """Read until the context is left or a process is gone."""
        try:
            super().run()
        except MeasurementError as error:
            self._error = error

    def sample(self) -> None:
        """Read the clocks now; raises ``MeasurementError`` when a process is gone."""
        self._marks.append(self._clocks.read())

    def between(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds per second of each group in the window from ``start`` to ``end`` (Unix times).

        Raises:
            MeasurementError: a process was gone.
            HiccupError: the readings do not span the window.
        """
        if self._error is not None:
            raise self._error
        return rates_within(self._marks, start, end)


def rates_within(marks: Sequence[Mark], start: float, end: float) -> dict[str, float]:
    """CPU seconds per second of each group between the outermost readings of a window (Unix times).

    Raises:
        HiccupError: they do not span the window.
    """
    inside = [mark for mark in marks if start - _NEAR_S <= mark.time <= end + _NEAR_S]
    if not inside or inside[-1].time - inside[0].time < _SPANNED * (end - start):
        raise HiccupError("the CPU time was not read in the window: is the machine busy otherwise?")
    return rates(inside[0], inside[-1])


def rates(first: Mark, last: Mark) -> dict[str, float]:
    """CPU seconds per second of each group between two readings."""
    seconds = last.time - first.time
    return {name: (last.cpu_s[name] - used) / seconds for name, used in first.cpu_s.items()}


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Keep a process stopped (SIGSTOP) meanwhile.

    It goes on when the context is left, however that happens: a shell at the other end of a pipe wakes
    it, which the kernel closes even if this process is killed.
    """
    waker = subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -s CONT "$1"', "waker", str(pid)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    assert waker.stdin is not None
    try:
        psutil.Process(pid).suspend()
        yield
    finally:
        waker.stdin.close()
        waker.wait()
