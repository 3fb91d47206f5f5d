"""The engine's clock: nanoseconds of `time.perf_counter_ns`, which only goes forward.

A one-shot timer as a file descriptor, so that epoll wakes with nanosecond deadlines.

epoll's and gevent's own time-outs are rounded to milliseconds, longer than the service times here.
Python has `os.timerfd_create` from 3.13 on; until then the C library is called directly.
"""

from __future__ import annotations

import ctypes
import os
from time import perf_counter_ns, time
from typing import Final

NEVER: Final = 1 << 63
"""A time on the nanosecond clock later than any other."""


def from_unix(seconds: float) -> int:
    """A Unix time on the nanosecond clock, as the two stand to each other now."""
    return perf_counter_ns() + int((seconds - time()) * 1e9)


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
