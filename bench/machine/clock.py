"""Whether the clock of this machine was set: times from before and after that say nothing together."""

import time

# A daemon that keeps the clock right draws it by 500 ppm at most (adjtimex(2)). Else it sets it: ntpd from
# 0.128 s on, systemd-timesyncd from 0.4 s.
_SET_S, _DRAWN = 0.1, 0.001
_LOOKS = 3


class Clock:
    """Notes how Unix time stands to the clock that only goes forward, and tells whether it still does."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ahead_s = _ahead_s()

    def jump(self) -> str | None:
        """Why times since then cannot be compared, for people; ``None`` if they can."""
        moved_s = _ahead_s() - self._ahead_s
        if abs(moved_s) <= _SET_S + _DRAWN * (time.monotonic() - self._began):
            return None
        if moved_s < 0:
            return f"the clock of this machine was set back by {-moved_s:.1f} s meanwhile"
        return f"the clock of this machine was set forward by {moved_s:.1f} s meanwhile, or the machine slept"


def _ahead_s() -> float:
    """What Unix time is ahead of the monotonic clock: both are read at once, or nearly."""
    return min(_look() for _ in range(_LOOKS))[1]


def _look() -> tuple[float, float]:
    """How long a look at both clocks took, and what Unix time was ahead (s)."""
    before = time.monotonic()
    unix = time.time()
    return time.monotonic() - before, unix - before
