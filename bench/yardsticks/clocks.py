"""CPU time of process trees, read by the yardstick itself and always in the same way."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psutil

from bench.yardsticks.readings import MeasurementError

# A reading this close to a window's edge stands for it; the rate between two of them is exact anyway.
_NEAR_S = 0.2


def tree(pid: int) -> list[int]:
    """The pids of a process and of everything below it."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


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


class Edges(threading.Thread):
    """Reads clocks at every whole second, where the windows of ``swarm.session`` begin and end."""

    def __init__(self, clocks: Clocks) -> None:
        super().__init__(name="edges", daemon=True)
        self._clocks = clocks
        self._marks: list[Mark] = []
        self._error: MeasurementError | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        """Read until the context is left or a process is gone."""
        try:
            while not self._ending.wait(1 - time.time() % 1):
                self._marks.append(self._clocks.read())
        except MeasurementError as error:
            self._error = error

    def between(self, start: float, end: float) -> dict[str, float]:
        """CPU seconds per second of each group in the window from ``start`` to ``end`` (Unix times).

        Raises:
            MeasurementError: there is no reading near an edge.
        """
        if self._error is not None:
            raise self._error
        first, last = (min(self._marks, key=lambda mark: abs(mark.time - at)) for at in (start, end))
        if max(abs(first.time - start), abs(last.time - end)) > _NEAR_S:
            raise MeasurementError(
                "the CPU time was not read at the window's edges: is the machine busy otherwise?"
            )
        return rates(first, last)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self.join()


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
