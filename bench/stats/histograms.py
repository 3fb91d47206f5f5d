"""Latency histograms: adding them up, and the percentiles of the sum.

Percentiles are by nearest rank (Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American
Statistician 50(4), 1996, type 1), and are the lower edge of their bucket.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}
MIN_BEYOND = 10


def quantile(edges: npt.ArrayLike, counts: npt.ArrayLike, q: float, *, beyond: int = MIN_BEYOND) -> float:
    """The smallest bucket edge with at least the share `q` of the samples at or below it.

    `edges` ascend. NaN where fewer than `MIN_BEYOND` samples lie beyond it: such a percentile would be
    an anecdote.
    """
    reached = np.cumsum(np.asarray(counts, dtype=np.int64))
    total = int(reached[-1]) if len(reached) else 0
    # The tolerance keeps 0.9 * 10 = 9.000000000000002 from asking for a tenth sample.
    rank = max(1, int(np.ceil(q * total - 1e-9)))
    if total - rank < beyond:
        return float("nan")
    return float(np.asarray(edges, dtype=float)[np.searchsorted(reached, rank)])


def merge(latencies: pd.DataFrame, by: Sequence[str], kind: str = "service") -> pd.DataFrame:
    """Add the histograms of one `kind` up over everything but `by`; sorted by `by`, then `bucket_us`.

    Rows in which one of `by` is missing are left out, so that grouping by an arrival rate leaves the open
    loops.
    """
    of_kind = latencies[latencies["kind"] == kind]
    return of_kind.groupby([*by, "bucket_us"], observed=True)["count"].sum().reset_index()


def describe(latencies: pd.DataFrame, by: Sequence[str], kind: str = "service") -> pd.DataFrame:
    """Requests, mean, percentiles and maximum in microseconds for every group of `by` that has any."""
    merged = merge(latencies, by, kind)
    every_edge, every_count = merged["bucket_us"].to_numpy(), merged["count"].to_numpy()
    # A group is a stretch of rows: to take each out as a frame takes longer than what is done with it.
    number = merged.groupby(list(by), observed=True).ngroup().to_numpy()
    starts = np.flatnonzero(np.diff(number, prepend=-1))
    keys = merged[list(by)].iloc[starts].itertuples(index=False, name=None)
    rows = []
    for key, (start, end) in zip(keys, pairwise([*starts.tolist(), len(merged)]), strict=True):
        edges, counts = every_edge[start:end], every_count[start:end]
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        row["requests"] = int(counts.sum())
        row["mean_us"] = float((edges * counts).sum() / counts.sum())
        row["min_us"], row["max_us"] = float(edges[0]), float(edges[-1])
        rows.append(row | {name: quantile(edges, counts, q) for name, q in QUANTILES.items()})
    times = ["mean_us", "min_us", "max_us", *QUANTILES]
    # Numbers even where there are no rows: a column of objects that a join fills with NaN is none to compare.
    return pd.DataFrame(rows, columns=[*by, "requests", *times]).astype(
        {"requests": "int64"} | dict.fromkeys(times, "float64")
    )
