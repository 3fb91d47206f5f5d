"""The engine's clock: nanoseconds of `time.perf_counter_ns`, which only goes forward.

A one-shot timer as a file descriptor, so that epoll wakes with nanosecond deadlines.

epoll's and gevent's own time-outs are rounded to milliseconds, longer than the service times here.
Python has `os.timerfd_create` from 3.13 on; until then the C library is called directly.
"""

from __future__ import annotations

import ctypes
import os
from time import perf_counter_ns, time, time_ns
from typing import Final

NEVER: Final = 1 << 63
"""A time on the nanosecond clock later than any other."""


class Master:
    """Where the clocks of the master stand, if that is another machine; the same for all of this process.

    `ahead_ns` is what its engine clock is ahead of the one here, 0 where they share a machine. `to_unix_ns`
    is what its Unix time is ahead of its own engine clock; None: the Unix time of this machine will do.
    """

    ahead_ns = 0
    to_unix_ns: int | None = None


def keep_to_master(ahead_ns: int, to_unix_ns: int) -> None:
    """Have all that this process records, and begins, be by the clocks of a master on another machine.

    For the values see `Master`. Not to be called while users run.
    """
    Master.ahead_ns, Master.to_unix_ns = ahead_ns, to_unix_ns


def to_unix_ns() -> int:
    """What Unix time (the master's, if it is elsewhere) is ahead of the nanosecond clock here, now."""
    if Master.to_unix_ns is None:
        return time_ns() - perf_counter_ns()
    return Master.ahead_ns + Master.to_unix_ns


def unix() -> float:
    """Unix time; that of the master, if it is elsewhere."""
    return time() if Master.to_unix_ns is None else (perf_counter_ns() + to_unix_ns()) / 1e9


def from_unix(seconds: float) -> int:
    """A Unix time on the nanosecond clock, as the two stand to each other now."""
    return perf_counter_ns() + int((seconds - unix()) * 1e9)


CLOCK_MONOTONIC: Final = 1
FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC


class _Itimerspec(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """A timer descriptor that becomes readable once, a given time from now (timerfd_create(2))."""

    def __init__(self) -> None:
        self._fd: int = _libc.timerfd_create(CLOCK_MONOTONIC, FLAGS)
        if self._fd < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_create: {os.strerror(error)}")

    def fileno(self) -> int:
        return self._fd

    def arm(self, delay_ns: int) -> None:
        """Become readable `delay_ns` nanoseconds from now (at least one); replaces an earlier delay."""
        seconds, nanoseconds = divmod(max(1, delay_ns), 1_000_000_000)
        spec = _Itimerspec(0, 0, seconds, nanoseconds)
        if _libc.timerfd_settime(self._fd, 0, ctypes.byref(spec), None) < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"timerfd_settime: {os.strerror(error)}")

    def drain(self) -> None:
        """Make an expired timer unreadable again."""
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return

    def close(self) -> None:
        os.close(self._fd)
