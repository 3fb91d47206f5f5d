"""The series of one server in a soak, behind its warm-up, in a hundred or so bins."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.soak.growth import BINS, settled
from analysis.soak.reading import Lane
from bench.stats.histograms import quantile

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Values of equal stretches of time, of each leg by itself.

    `bins` has a row for each: `hours` since the first load (the middle of the stretch), `age` (hours
    since its leg began), `leg`, `memory` and `heaviest` (bytes), `descriptors`, `threads`, `p99` (ms) and
    `losses` (a share); what is not known is missing. `requests_per_hour` succeeded behind the warm-up.
    """

    bins: pd.DataFrame
    requests_per_hour: float


COLUMNS = ("hours", "age", "leg", "memory", "heaviest", "descriptors", "threads", "p99", "losses")


def series(lane: Lane) -> Series:
    """The series of a lane, where it was loaded; without rows where nothing was recorded."""
    every = lane.intervals.assign(row=np.arange(len(lane.intervals)))
    kept = every[every["loaded_s"] > 0]
    if kept.empty:
        return Series(pd.DataFrame(columns=list(COLUMNS), dtype=float), float("nan"))
    middle = (kept["start"] + kept["span_s"] / 2).to_numpy(dtype=float)
    legs = kept["leg"].to_numpy(dtype=np.int64)
    hours = (middle - middle[0]) / 3600
    begins = pd.Series(hours).groupby(legs).transform("min").to_numpy()
    behind = settled(hours, legs)
    frame = kept.assign(hours=hours, age=hours - begins)[behind]
    lengths = frame.groupby("leg")["age"].agg(lambda ages: ages.max() - ages.min())
    width = max(float(lengths.sum()) / BINS, 1e-9)
    places = np.floor(frame["age"] / width)
    rows = [_bin(lane, part) for _, part in frame.groupby([frame["leg"], places], sort=True)]
    bins = pd.DataFrame(rows, columns=list(COLUMNS))
    spans = float(frame["span_s"].sum()) / 3600
    return Series(bins, float(frame["requests"].sum()) / spans if spans else float("nan"))


def _bin(lane: Lane, part: pd.DataFrame) -> list[float]:
    """One stretch, in the order of `COLUMNS`."""
    sampled = part[part["samples"] > 0]
    weights = sampled["samples"].to_numpy(dtype=float)
    columns = ("memory_bytes", "heaviest_bytes", "descriptors", "threads")
    means = [
        float(np.average(sampled[name].to_numpy(dtype=float), weights=weights))
        if len(sampled)
        else float("nan")
        for name in columns
    ]
    asked = int((part["requests"] + part["failures"]).sum())
    return [
        float(part["hours"].mean()),
        float(part["age"].mean()),
        float(part["leg"].iloc[0]),
        *means,
        _p99_ms(lane, part["row"]),
        float(part["failures"].sum()) / asked if asked else float("nan"),
    ]


def _p99_ms(lane: Lane, rows: pd.Series) -> float:
    """The p99 from the schedule of some intervals; NaN of too few requests."""
    counts: Counter[int] = Counter()
    for row in rows:
        counts.update(lane.latencies[row])
    edges = sorted(counts)
    return quantile(edges, [counts[edge] for edge in edges], 0.99) / 1000
