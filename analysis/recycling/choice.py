"""The N for an app that leaks: as large as its memory allows, since a larger N costs less."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.recycling.price import PriceOfN, computed
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import MISSING, counted, duration, figures

MB = 1e6
# Of N, as the suite's plans have it: workers end one after the other, not together.
JITTER = 0.1
CROWDED = "what clients meet is not known: what queues during a replacement outlasts it until the next"


@dataclass(frozen=True)
class Leak:
    """What an app leaks with each request (bytes), what the server may take in all, and how busy it is.

    `rate_per_s` are the requests that all workers get together; without it they are those that were measured.
    """

    leak_bytes: float
    allowance_bytes: float
    rate_per_s: float | None = None


@dataclass(frozen=True, eq=False)
class Choice(TableRow):
    """N for a configuration, or `why` there is none, and what it costs by its `price`.

    `memory_bytes` is what all processes together have at most, `life_s` how long a worker lives.
    """

    price: PriceOfN
    max_requests: int | None
    memory_bytes: float = math.nan
    life_s: float = math.nan
    why: str = ""

    def cells(self) -> tuple[Cell, ...]:
        name = words(self.price.configuration)
        if self.max_requests is None:
            return name, words(None), *[words(None)] * 5, words(self.why)
        n = self.max_requests
        share = self.price.throughput_share(n)
        return (
            name,
            number(n),
            Cell(f"{figures(100 * share.mean)} %", share.mean, share.interval(scale=100)),
            number(self.price.p99_added_ms(n), ".1f", " ms"),
            measured(self.price.lost_per_million(n)),
            Cell(f"{self.memory_bytes / MB:,.0f} MB", self.memory_bytes),
            Cell(MISSING if math.isnan(self.life_s) else duration(self.life_s), self.life_s),
            words(None if self.price.tells(n) else CROWDED),
        )


@dataclass(frozen=True, eq=False)
class Choices:
    """The table of all configurations of a run for a leak; `run` is where prices were measured."""

    leak: Leak
    run: str
    rows: tuple[Choice, ...]
    columns = (
        "configuration", "N", "throughput lost", "p99 added", "lost per million", "memory at most",
        "a worker lives", "notes",
    )  # fmt: skip

    @property
    def title(self) -> str:
        workers = counted(self.rows[0].price.workers, "worker")
        return (
            f"N for an app that leaks {figures(self.leak.leak_bytes / 1e3)} kB a request and may take "
            f"{self.leak.allowance_bytes / MB:,.0f} MB, {workers}"
        )

    @property
    def best(self) -> Choice | None:
        """The one that costs least throughput; None where no configuration has an N."""
        found = [each for each in self.rows if each.max_requests]
        return min(
            found, key=lambda each: each.price.throughput_share(each.max_requests or 1).mean, default=None
        )

    @property
    def finding(self) -> str:
        if self.best is None:
            return "No configuration has an N for that."
        return f"It costs least with {self.best.price.configuration}: N = {self.best.max_requests:,}."

    @property
    def basis(self) -> str:
        """How to read it."""
        first = self.rows[0].price
        return (
            f"Measured in {self.run} ({first.scenario}, {figures(first.rate_per_s)}/s), computed for this N. "
            "Throughput: of a saturated server whose requests take as long as those. Memory: PSS of all "
            "processes, before any worker ends, which one does at a tenth beyond N at most (jitter)."
        )


def choose(prices: Sequence[PriceOfN], leak: Leak) -> list[Choice]:
    """N for each configuration and load among some prices."""
    return [
        _choice(base, [each for each in prices if each.place == base.place], leak)
        for base in computed(prices)
    ]


def _choice(base: PriceOfN, same: Sequence[PriceOfN], leak: Leak) -> Choice:
    """N by the prices of one load: by the largest that is not above it, as workers linger less there."""
    if base.max_requests is None:
        return Choice(base, None, why="counts no requests: give it a size in memory (max_rss_mib)")
    n, by = 0, base
    for by in sorted(same, key=lambda each: each.max_requests or 0, reverse=True):
        n = _most(by, leak)
        if n >= (by.max_requests or 0):
            break
    if n < 1:
        needs = (by.memory_bytes + _beyond(by, leak) * by.workers * leak.leak_bytes) / MB
        return Choice(base, None, why=f"needs more: with N = 1 it has {needs:,.0f} MB")
    served = n * (1 + JITTER) + _beyond(by, leak)
    memory = by.memory_bytes + by.workers * served * leak.leak_bytes
    rate_per_s = leak.rate_per_s or by.rate_per_s
    return Choice(base, n, memory, served * by.workers / rate_per_s)


def _most(price: PriceOfN, leak: Leak) -> int:
    """The largest N with which workers end before they have had what is allowed."""
    spare = (leak.allowance_bytes - price.memory_bytes) / price.workers
    return largest(spare, leak.leak_bytes, _beyond(price, leak))


def largest(spare_bytes: float, leak_bytes: float, beyond: float = 0.0) -> int:
    """The largest N, to two digits, with which a worker leaks no more than it has to spare; 0: there is none.

    It serves up to `JITTER` of N more, and `beyond` requests besides.
    """
    n = (spare_bytes / leak_bytes - beyond) / (1 + JITTER)
    if n < 1:
        return 0
    step = 10 ** max(0, math.floor(math.log10(n)) - 1)
    return int(np.floor(n / step) * step)


def _beyond(price: PriceOfN, leak: Leak) -> float:
    """The most requests that a worker serves beyond N and its jitter."""
    return price.lingers_s * (leak.rate_per_s or price.rate_per_s) / price.workers
