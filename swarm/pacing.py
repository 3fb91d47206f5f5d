"""When arrivals are due: the schedule of an open loop, and each process's share of it.

A closed loop asks again when it was answered, so a server that stalls is asked less (coordinated
omission). An open loop asks by the clock: its arrivals do not know how the server does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from math import isfinite
from secrets import randbits
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

KINDS: Final = ("constant", "poisson")
BLOCK: Final = 1024
"""Arrivals worked out at once: enough to cost little each, too few to hold the others up."""


@dataclass(frozen=True)
class Share:
    """Which part of a schedule a process has: `number` (from 0) of `of` equal parts."""

    number: int = 0
    of: int = 1


@dataclass(frozen=True)
class Arrivals:
    """A fixed rate at which tasks are begun, whatever the server does.

    `rate_per_s` is that of the whole test, over all its processes. `constant` arrivals are evenly
    spaced; `poisson` ones come as from many independent clients, with exponentially distributed gaps,
    the same ones again for the same `seed` and number of processes. Raises ValueError or TypeError for
    what is no such schedule.
    """

    rate_per_s: float
    kind: Literal["constant", "poisson"] = "constant"
    seed: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.rate_per_s, bool) or not isinstance(self.rate_per_s, int | float):
            raise TypeError(f"rate_per_s is a number of arrivals per second, not {self.rate_per_s!r}")
        if not (isfinite(self.rate_per_s) and self.rate_per_s > 0):
            raise ValueError(f"rate_per_s must be above 0, not {self.rate_per_s!r}")
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind!r}")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int)):
            raise TypeError(f"seed is a whole number, not {self.seed!r}")
        if self.seed is not None and self.seed < 0:
            raise ValueError(f"seed must not be negative, not {self.seed}")

    def due(self, share: Share) -> Iterator[Integers]:
        """When this share's arrivals are due, in ns from the common start, in blocks without end.

        The shares of n processes together are the schedule: every n-th constant arrival, so that they
        are evenly spaced again; or Poisson processes of rate / n, whose superposition is one of the rate
        (Kingman, Poisson Processes, 1993, section 2.2).
        """
        return self._constant(share) if self.kind == "constant" else self._poisson(share)

    def _constant(self, share: Share) -> Iterator[Integers]:
        first = 0
        while True:
            numbers = np.arange(first, first + BLOCK) * share.of + share.number
            yield (numbers * (1e9 / self.rate_per_s)).astype(np.int64)
            first += BLOCK

    def _poisson(self, share: Share) -> Iterator[Integers]:
        random = np.random.default_rng(None if self.seed is None else [self.seed, share.number])
        last = 0.0
        while True:
            times = last + np.cumsum(random.exponential(1e9 / self.rate_per_s * share.of, BLOCK))
            last = float(times[-1])
            yield times.astype(np.int64)


class Schedule:
    """One share of the arrivals on the nanosecond clock, read twice: one by one, and by the count.

    The arrivals that are due and wait are never held in memory: the count runs ahead of them.
    """

    def __init__(self, arrivals: Arrivals, share: Share, start_ns: int) -> None:
        if arrivals.seed is None:
            arrivals = replace(arrivals, seed=randbits(64))  # both readings must be the same
        self._start_ns = start_ns
        self._times = chain.from_iterable((block + start_ns).tolist() for block in arrivals.due(share))
        self._blocks = arrivals.due(share)
        self._block = next(self._blocks)
        self._before_block = 0

    def next_due(self) -> int:
        """When the next arrival is due; each is given once."""
        due_ns: int = next(self._times)
        return due_ns

    def due_by(self, now_ns: int) -> int:
        """How many arrivals were due by now. `now_ns` must not go back."""
        now_ns -= self._start_ns
        while self._block[-1] <= now_ns:
            self._before_block += len(self._block)
            self._block = next(self._blocks)
        return self._before_block + int(np.searchsorted(self._block, now_ns, side="right"))
