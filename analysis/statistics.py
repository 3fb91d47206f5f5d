"""From frames of a run to numbers: percentiles, CPU per request, memory, intervals, ratios, ranks.

Sources: percentiles by nearest rank (Hyndman & Fan 1996, type 1); intervals and comparisons after
Georges, Buytaert & Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007, on the
log scale because ratios are what is compared (Fleming & Wallace, CACM 29(3), 1986).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

from analysis.results import Results

QUANTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}
MIN_BEYOND = 10
CONFIDENCE = 0.95
# Differences of less than 2 % are no reason to choose a server, however certain they are.
MATERIAL = 1.02
LOAD = ["scenario", "workers", "users"]
# The metrics that get an interval over repeats.
WITH_INTERVAL = ["throughput", "cpu_us", "p50_us", "p99_us", "pss_bytes", "rss_bytes"]
# How far beyond its samples a cumulative counter may be continued, in sampling intervals.
MAX_REACH = 1.5
# Rows of processes.csv closer than this are one look at the process tree.
SAMPLE_GAP_S = 0.1

Floats = npt.NDArray[np.float64]


def quantile(edges: npt.ArrayLike, counts: npt.ArrayLike, q: float) -> float:
    """The smallest bucket edge with at least the share `q` of the samples at or below it.

    `edges` ascend. NaN where fewer than `MIN_BEYOND` samples lie beyond it: such a percentile would be
    an anecdote.
    """
    reached = np.cumsum(np.asarray(counts, dtype=np.int64))
    total = int(reached[-1]) if len(reached) else 0
    # The tolerance keeps 0.9 * 10 = 9.000000000000002 from asking for a tenth sample.
    rank = max(1, int(np.ceil(q * total - 1e-9)))
    if total - rank < MIN_BEYOND:
        return float("nan")
    return float(np.asarray(edges, dtype=float)[np.searchsorted(reached, rank)])


def merge(latencies: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add the service-time histograms up over everything but `by`; sorted by `by`, then `bucket_us`."""
    service = latencies[latencies["kind"] == "service"]
    return service.groupby([*by, "bucket_us"], observed=True)["count"].sum().reset_index()


def describe(latencies: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Requests, mean, percentiles and maximum in microseconds for every group of `by` that has any."""
    merged = merge(latencies, by)
    rows = []
    for key, group in merged.groupby(list(by), observed=True):
        edges, counts = group["bucket_us"].to_numpy(), group["count"].to_numpy()
        row: dict[str, Any] = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        row["requests"] = int(counts.sum())
        row["mean_us"] = float((edges * counts).sum() / counts.sum())
        row["min_us"], row["max_us"] = float(edges[0]), float(edges[-1])
        rows.append(row | {name: quantile(edges, counts, q) for name, q in QUANTILES.items()})
    columns = [*by, "requests", "mean_us", "min_us", "max_us", *QUANTILES]
    return pd.DataFrame(rows, columns=columns)


def growth(
    times: Floats,
    values: Floats,
    start: float,
    end: float,
    born: float | None = None,
    died: float | None = None,
) -> float:
    """How much a cumulative counter grew from `start` to `end`, interpolated linearly between samples.

    It was zero until `born` and stands still after `died`, where these are known. Otherwise the nearest
    slope is continued for at most `MAX_REACH` sampling intervals beyond the first or last sample;
    further out nothing is known and the answer is NaN.
    """
    if born is not None:
        times, values = np.append(born, times), np.append(0.0, values)
    if died is not None:
        times, values = np.append(times, died), np.append(values, values[-1])
    if len(times) < 2:
        return float("nan")
    reach = MAX_REACH * float(np.median(np.diff(times)))
    if (born is None and start < times[0] - reach) or (died is None and end > times[-1] + reach):
        return float("nan")
    at_start, at_end = np.interp([start, end], times, values)
    if born is None and start < times[0]:
        at_start -= (values[1] - values[0]) / (times[1] - times[0]) * (times[0] - start)
    if died is None and end > times[-1]:
        at_end += (values[-1] - values[-2]) / (times[-1] - times[-2]) * (end - times[-1])
    return float(at_end - at_start)


def server_cpu(results: Results) -> pd.Series:
    """CPU seconds of all the server's processes in each finished cell's window; the meter is not one."""
    cells = results.finished
    events = results.workers.drop_duplicates(["cell", "pid", "event"]).set_index(["cell", "pid", "event"])
    moments: dict[Any, float] = events["time"].to_dict()
    own = results.processes[results.processes["role"] != "meter"]
    used: dict[Any, float] = {}
    for (cell, pid), process in own.groupby(["cell", "pid"]):
        grown = growth(
            process["time"].to_numpy(),
            process["cpu_s"].to_numpy(),
            *window(cells, cell),
            born=moments.get((cell, pid, "born")),
            died=moments.get((cell, pid, "died")),
        )
        used[cell] = used.get(cell, 0.0) + grown
    return pd.Series(used, dtype=float).reindex(cells.index)


def server_memory(processes: pd.DataFrame) -> pd.DataFrame:
    """PSS and RSS of the whole server: `cell`, `time`, `pss_bytes`, `rss_bytes`, a row per sample.

    The processes are read one after the other, so rows less than `SAMPLE_GAP_S` apart are one sample. A
    sum with an unknown part is unknown (NaN).
    """
    known = processes[processes[["pss_bytes", "rss_bytes"]].notna().any(axis=1)]
    own = known[known["role"] != "meter"].sort_values(["cell", "time"])
    fresh = (own["time"].diff() > SAMPLE_GAP_S) | (own["cell"].diff() != 0)
    time = own.groupby(fresh.cumsum())["time"].transform("first")
    columns = ["pss_bytes", "rss_bytes"]
    return own.assign(time=time).groupby(["cell", "time"])[columns].sum(skipna=False).reset_index()


def summarise(results: Results) -> pd.DataFrame:
    """One row per finished cell: what it delivered, what it cost, and how far to trust it.

    `throughput` counts successful requests per second, `error_rate` is failures over all requests,
    `*_us` are microseconds, `busy` is the share of the server's CPUs that the server used,
    `generator_busy` that of the generator's, `steal` the share of both that the hypervisor took.
    """
    cells = results.finished
    described = describe(results.latencies, ["cell"]).set_index("cell")
    summary = cells[["configuration", *LOAD, "repeat"]].join(described)
    summary["requests"] = summary["requests"].fillna(0).astype(int)
    failures = results.failures.groupby("cell")["count"].sum()
    summary["failures"] = failures.reindex(summary.index).fillna(0).astype(int)
    seconds = cells["window_end"] - cells["window_start"]
    summary["throughput"] = summary["requests"] / seconds
    attempts = summary["requests"] + summary["failures"]
    summary["error_rate"] = summary["failures"] / attempts.where(attempts > 0)
    summary["cpu_s"] = server_cpu(results)
    summary["cpu_us"] = summary["cpu_s"] * 1e6 / summary["requests"].where(summary["requests"] > 0)
    summary["busy"] = summary["cpu_s"] / (seconds * cells["server_cpus"].map(len))
    # A Locust process runs on one CPU at a time, however many it may choose from.
    usable = np.minimum(cells["generator_cpus"].map(len), cells["generator_processes"])
    summary["generator_busy"] = _generator_cpu(results.generator, cells) / (seconds * usable)
    summary["loop_lag_ms"] = _within(results.generator, cells).groupby("cell")["loop_lag_ms"].max()
    summary["steal"] = _steal(results.host, cells)
    memory = server_memory(results.processes)
    summary[["pss_bytes", "rss_bytes"]] = (
        _within(memory, cells).groupby("cell")[["pss_bytes", "rss_bytes"]].max()
    )
    return summary


def _generator_cpu(generator: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """CPU seconds that all Locust processes worked in each cell's window, polling in vain not counted."""
    used: dict[Any, float] = {}
    for (cell, _), process in generator.groupby(["cell", "process"]):
        start, end = window(cells, cell)
        worked = process["cpu_s"] - process["spin_s"].fillna(0.0)  # plain Locust users never spin
        grown = growth(process["time"].to_numpy(), worked.to_numpy(), start, end)
        used[cell] = used.get(cell, 0.0) + grown
    return pd.Series(used, dtype=float).reindex(cells.index)


def _steal(host: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Share of the time of the server's and the generator's CPUs that other guests of the host got."""
    used: dict[Any, list[int]] = (cells["server_cpus"] + cells["generator_cpus"]).to_dict()
    stolen: dict[Any, list[float]] = {}
    for (cell, cpu), one in host.groupby(["cell", "cpu"]):
        if cpu in used[cell]:
            start, end = window(cells, cell)
            share = growth(one["time"].to_numpy(), one["steal_s"].to_numpy(), start, end) / (end - start)
            stolen.setdefault(cell, []).append(share)
    means = {cell: np.mean(shares) for cell, shares in stolen.items()}
    return pd.Series(means, dtype=float).reindex(cells.index)


def window(cells: pd.DataFrame, cell: Any) -> tuple[float, float]:
    """Start and end of a cell's measured window in Unix seconds."""
    start, end = cells.loc[cell, ["window_start", "window_end"]]
    return float(start), float(end)


def _within(samples: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The samples taken in the measured window of their cell."""
    start = cells["window_start"].reindex(samples["cell"]).to_numpy()
    end = cells["window_end"].reindex(samples["cell"]).to_numpy()
    return samples[(samples["time"].to_numpy() >= start) & (samples["time"].to_numpy() <= end)]


def interval(values: npt.ArrayLike) -> tuple[float, float, float]:
    """Geometric mean and the 95 % interval (Student t on logarithms) of positive `values`.

    With one value the bounds are NaN; with none, or one that is missing or zero, all three are.
    """
    sample = np.asarray(values, dtype=float)
    if not len(sample) or not np.all(sample > 0):
        return (float("nan"),) * 3
    logs = np.log(sample)
    if len(logs) == 1:
        return float(sample[0]), float("nan"), float("nan")
    half = float(stdtrit(len(logs) - 1, 0.5 + CONFIDENCE / 2)) * logs.std(ddof=1) / np.sqrt(len(logs))
    return float(np.exp(logs.mean())), float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))


@dataclass(frozen=True)
class Ratio:
    """How many times `one` is `other`, with its 95 % interval over `rounds` paired repeats."""

    ratio: float
    low: float
    high: float
    rounds: int

    @property
    def tie(self) -> bool:
        """Whether one may be within `MATERIAL` of the other; an unknown interval leaves it open."""
        return not (self.low > MATERIAL or self.high < 1 / MATERIAL)


def compare(one: pd.Series, other: pd.Series) -> Ratio:
    """Compare two series indexed by repeat, pairwise within the repeats both have.

    Every repeat is one randomised block of all configurations, so what the machine did in that round
    cancels in the pair (paired t, as in Jain, *The Art of Computer Systems Performance Analysis*, 13.4).
    """
    both = pd.concat([one, other], axis=1, join="inner").dropna().to_numpy(dtype=float)
    ratio, low, high = interval(both[:, 0] / both[:, 1])
    return Ratio(ratio, low, high, len(both))


def rank(values: pd.DataFrame, *, higher_is_better: bool) -> pd.Series:
    """Rank columns (configurations) of a frame indexed by repeat: 1 + how many are certainly better.

    Two that tie do not outrank each other and may share a rank. A column of which only one repeat is
    known, or that has a zero in it, has no rank (NA).
    """
    known = [name for name in values if (values[name].dropna() > 0).all() and values[name].count() > 1]
    better: dict[Any, int] = dict.fromkeys(known, 1)
    for name in known:
        for rival in known:
            versus = compare(values[rival], values[name])
            if not versus.tie and (versus.ratio > 1) == higher_is_better:
                better[name] += 1
    return pd.Series(better, dtype="Int64").reindex(list(values.columns))


def aggregate(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and load, over its repeats.

    Metrics of `WITH_INTERVAL` are geometric means with `<metric>_low` and `<metric>_high`; percentiles
    named `merged_*` come from the histograms of all repeats added up.
    """
    by = ["configuration", *LOAD]
    merged = {
        tuple(row[name] for name in by): row for row in describe(results.latencies, by).to_dict("records")
    }
    rows = []
    for key, group in summary.groupby(by, observed=True):
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        row["repeats"] = len(group)
        for metric in WITH_INTERVAL:
            row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval(group[metric])
        attempts = int((group["requests"] + group["failures"]).sum())
        row["failures"] = int(group["failures"].sum())
        row["error_rate"] = row["failures"] / attempts if attempts else float("nan")
        row["busy"] = group["busy"].mean()
        row["generator_busy"] = group["generator_busy"].mean()
        for name in [*QUANTILES, "max_us"]:
            row[f"merged_{name}"] = merged[key][name] if key in merged else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)
