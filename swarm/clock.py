"""The engine's clock: nanoseconds of `time.perf_counter_ns`, which only goes forward."""

from __future__ import annotations

from time import perf_counter_ns, time
from typing import Final

NEVER: Final = 1 << 63
"""A time on the nanosecond clock later than any other."""


def from_unix(seconds: float) -> int:
    """A Unix time on the nanosecond clock, as the two stand to each other now."""
    return perf_counter_ns() + int((seconds - time()) * 1e9)
