"""What replacing workers costs at any N, from what one replacement costs at those that were measured.

A worker that serves four times as many requests is replaced a quarter as often, and a replacement costs the
same: an import of the app, a stall, the requests that are lost. So the price of every N follows from one, and
a second one shows whether it does.

That holds while replacements are apart: what queues during one is worked off before the next. Where it is
not, each meets the queue of the one before, and holds up and loses more than one alone would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.cells import counters
from analysis.reading.results import Results
from analysis.recycling.limits import LEAK
from analysis.recycling.model import Recycling
from analysis.recycling.requests import rate
from analysis.words import Value
from bench.stats.comparison import UNKNOWN, arithmetic

Floats = npt.NDArray[np.float64]
# What N is drawn and kept for.
GRID = (500, 1000, 2000, 5000, 10_000, 20_000, 50_000)
# The share of requests that may be slower than a p99.
TAIL = 0.01
# Replacements are apart where one holds up at most this share of the requests to it.
APART = 0.5
# What is kept for each: the share of throughput that recycling takes with its 95 % interval, the p99 without
# recycling and what comes to it, and requests lost of a million with their interval.
COLUMNS = [
    "configuration", "scenario", "workers", "rate_per_s", "n", "measured", "requests_per_life",
    "share_throughput", "low", "high", "p99_ms", "p99_added_ms", "lost_per_million", "lost_low", "lost_high",
]  # fmt: skip
# Cells that are alike but for when workers are replaced.
LOAD = ["configuration", "scenario", "workers", "arrivals", "rate_per_s", "users"]


@dataclass(frozen=True, eq=False)
class Tail:
    """How many requests took longer than each of some `levels_ms`, from their schedule.

    `usual` is the share of them without recycling, `more` how many there are besides to a replacement.
    """

    levels_ms: Floats
    usual: Floats
    more: Floats

    @property
    def held_up(self) -> float:
        """How many requests a replacement holds up: it makes them slower than the p99 without recycling."""
        return float(self.more[self.usual <= TAIL].max(initial=0.0))

    def p99_ms(self, requests: float) -> float:
        """The p99 where a worker serves so many requests in its life; infinitely many: without recycling."""
        above = np.flatnonzero(self.usual + self.more / requests > TAIL)
        after = int(above[-1]) + 1 if len(above) else 0
        return float(self.levels_ms[min(after, len(self.levels_ms) - 1)])


@dataclass(frozen=True, eq=False)
class PriceOfN:
    """What a replacement costs a configuration under a load, measured where workers are replaced after N.

    `max_requests` is N (None: by memory), `per_life` how many requests there were to a replacement, of which
    `replaced` were seen. A saturated server serves for `standstill_s` less at each: for the CPU time that it
    takes, over the server's CPUs, or for the time in which nothing is answered, whichever is longer. Without
    recycling a request takes `request_s` of these CPUs. `lost` are requests to a replacement.

    Workers go on for up to `lingers_s` after N and their jitter. All processes together had `memory_bytes` at
    most (PSS, else RSS) while workers were replaced and nothing leaked, a successor beside the one that ends
    included.
    """

    configuration: str
    scenario: str
    workers: int
    rate_per_s: float
    max_requests: int | None
    per_life: float
    replaced: int
    request_s: float
    standstill_s: Value
    lost: Value
    tail: Tail
    lingers_s: float
    memory_bytes: float

    @property
    def place(self) -> tuple[str, str, int, float]:
        """What all N of a load have in common."""
        return self.configuration, self.scenario, self.workers, self.rate_per_s

    @property
    def apart(self) -> bool:
        """Whether what queues during a replacement was worked off before the next."""
        return self.tail.held_up <= APART * self.per_life

    def tells(self, requests: float) -> bool:
        """Whether it tells what clients meet where workers serve so many requests.

        Of `per_life` that was measured; elsewhere it takes replacements that are apart, here and there.
        """
        return requests == self.per_life or (self.apart and self.tail.held_up <= APART * requests)

    def throughput_share(self, requests: float) -> Value:
        """The share of its throughput that a saturated server loses where workers serve so many requests."""
        serving_s = requests * self.request_s
        costs = self.standstill_s
        return Value(*(each / (serving_s + each) for each in (costs.mean, costs.low, costs.high)))

    def lost_per_million(self, requests: float) -> Value:
        """Requests lost of a million; NaN where that is not known (`tells`)."""
        if not self.tells(requests):
            return Value(UNKNOWN)
        return Value(*(1e6 * each / requests for each in (self.lost.mean, self.lost.low, self.lost.high)))

    def p99_added_ms(self, requests: float) -> float:
        """By how much the p99 from the schedule is above that without recycling, at the rate measured.

        NaN where that is not known (`tells`).
        """
        if not self.tells(requests):
            return UNKNOWN
        return self.tail.p99_ms(requests) - self.tail.p99_ms(np.inf)


def prices(results: Results, summary: pd.DataFrame, recycling: Recycling | None) -> tuple[PriceOfN, ...]:
    """A price for each configuration, in the order of the catalogue, load and N, the smallest N first.

    `summary` is of all cells. Left out are loads that leak or whose control is not steady, and cells in which
    no worker was replaced as it should be.
    """
    if recycling is None:
        return ()
    finished = results.finished
    facts = finished[["max_requests", "max_requests_jitter"]].assign(
        cpu_s=summary["cpu_s"], cpus=counters.server_cpus(finished)
    )
    places = {name: place for place, name in enumerate(results.configurations)}
    found = _prices(results, recycling, recycling.cells.join(facts))
    return tuple(sorted(found, key=lambda each: places[each.configuration]))


def _prices(results: Results, recycling: Recycling, cells: pd.DataFrame) -> Iterator[PriceOfN]:
    for _, alike in cells.groupby(LOAD, sort=False, dropna=False):
        steady = alike[(alike["treatment"] == "control") & (alike["verdict"] == "steady")]
        steady = steady[~(steady["growth"] > LEAK) & steady["cpu_s"].notna()]
        recycled = alike[(alike["treatment"] == "recycled") & (alike["verdict"] == "recycles")]
        recycled = recycled[recycled["cpu_s"].notna()]
        if len(steady):
            for _, at in recycled.groupby("max_requests", dropna=False):
                yield _price(results, recycling, steady, at)


def _price(results: Results, recycling: Recycling, steady: pd.DataFrame, cells: pd.DataFrame) -> PriceOfN:
    """The price at one N, from its cells and their controls."""
    first = cells.iloc[0]
    cpus = float(first["cpus"])
    request_s = steady["cpu_s"].sum() / _served(steady).sum() / cpus
    ends = recycling.replacements
    done = ends[ends["cell"].isin(cells.index) & ends["new_pid"].notna()]
    stalls = _stalled_s(done).reindex(cells.index)
    busy_s = cells["cpu_s"] / cpus - _served(cells) * request_s
    standstill_s = np.maximum(busy_s, stalls.fillna(0.0)) / cells["replaced"]
    rate_per_s, workers = float(first["rate_per_s"]), int(first["workers"])
    asked = cells["max_requests"] + cells["max_requests_jitter"].fillna(0)
    beyond = (cells["served_high"] - asked).max() * workers / rate_per_s
    weighs = cells["pss_peak_bytes"].fillna(cells["rss_peak_bytes"])
    return PriceOfN(
        configuration=str(first["configuration"]),
        scenario=str(first["scenario"]),
        workers=workers,
        rate_per_s=rate_per_s,
        max_requests=None if np.isnan(first["max_requests"]) else int(first["max_requests"]),
        per_life=float(cells["requests"].sum() / cells["replaced"].sum()),
        replaced=int(cells["replaced"].sum()),
        request_s=float(request_s),
        standstill_s=Value(*np.maximum(arithmetic(standstill_s), 0.0)),
        lost=Value(*rate(done["lost"], int(cells["lost"].sum() - done["lost"].sum()))),
        tail=_tail(results.latencies, steady.index, cells.index, int(cells["replaced"].sum())),
        lingers_s=0.0 if np.isnan(beyond) else max(0.0, float(beyond)),
        memory_bytes=float(weighs.max()),
    )


def _stalled_s(replacements: pd.DataFrame) -> pd.Series:
    """For how long nothing was answered at the replacements of each cell; a stall of several is one."""
    before = replacements.groupby("cell")[["gap_s", "end"]].shift()
    near = replacements["begin"] - before["end"] < replacements["gap_s"]
    own = replacements[~(near & (replacements["gap_s"] == before["gap_s"]))]
    stalled: pd.Series = own.groupby("cell")["gap_s"].sum()
    return stalled


def _served(cells: pd.DataFrame) -> pd.Series:
    return cells["requests"] - cells["lost"]


def _tail(latencies: pd.DataFrame, steady: pd.Index, recycled: pd.Index, replaced: int) -> Tail:
    """The tail of some cells beside that of their controls."""
    known = latencies[latencies["kind"] == "from_schedule"]
    usual, other = (_histogram(known, cells) for cells in (steady, recycled))
    levels = np.union1d(usual.index.to_numpy(dtype=float), other.index.to_numpy(dtype=float))
    usual_above = _above(usual, levels) / max(1, usual.sum())
    more = _above(other, levels) - other.sum() * usual_above
    return Tail(levels / 1e3, usual_above, np.maximum(more, 0.0) / replaced)


def _histogram(latencies: pd.DataFrame, cells: pd.Index) -> pd.Series:
    """How many requests of some cells are in each bucket (µs)."""
    counts: pd.Series = latencies[latencies["cell"].isin(cells)].groupby("bucket_us")["count"].sum()
    return counts


def _above(histogram: pd.Series, levels: Floats) -> Floats:
    """How many requests of a histogram are above each level."""
    total = histogram.cumsum().to_numpy(dtype=float)
    below = np.searchsorted(histogram.index.to_numpy(dtype=float), levels, side="right")
    above: Floats = float(histogram.sum()) - np.concatenate([[0.0], total])[below]
    return above


def computed(prices: Sequence[PriceOfN]) -> list[PriceOfN]:
    """Those that the prices of other N are computed from.

    Of each load it is the smallest N at which replacements are apart, and the largest where none are.
    """
    loads: dict[Any, list[PriceOfN]] = {}
    for each in prices:
        loads.setdefault(each.place, []).append(each)
    return [next((each for each in load if each.apart), load[-1]) for load in loads.values()]


def frame(prices: tuple[PriceOfN, ...]) -> pd.DataFrame:
    """The price of each N of `GRID`, and of each N that was measured, to hold the former against.

    Of the latter `requests_per_life` is what a worker served in fact; of the former it is N. What clients
    meet is missing where N is so small that replacements are not apart.
    """
    rows = [_row(each, n, float(n), measured=False) for each in computed(prices) for n in GRID]
    rows += [_row(each, each.max_requests, each.per_life, measured=True) for each in prices]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def _row(price: PriceOfN, n: int | None, requests: float, *, measured: bool) -> list[Any]:
    """A row of `frame`, in the order of `COLUMNS`."""
    share, lost = price.throughput_share(requests), price.lost_per_million(requests)
    place = [price.configuration, price.scenario, price.workers, price.rate_per_s, n, measured, requests]
    tail = [price.tail.p99_ms(np.inf), price.p99_added_ms(requests)]
    return [*place, share.mean, share.low, share.high, *tail, lost.mean, lost.low, lost.high]
