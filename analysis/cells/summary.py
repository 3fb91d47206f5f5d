"""From the frames of a run to one row per cell, and to one per configuration and load, over the repeats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.cells import clocks, counters, rotation
from analysis.reading.results import Results
from bench.stats.comparison import interval
from bench.stats.histograms import QUANTILES, describe

# What tells a closed load from another, and an open one.
LOAD = ["scenario", "workers", "users"]
OPEN_LOAD = ["scenario", "workers", "arrivals", "rate_per_s", "users", "treatment"]
IDENTITY = [
    "configuration", "scenario", "workers", "load_kind", "arrivals", "rate_per_s", "users",
    "search_p99_ms", "search_attempt", "repeat", "treatment", "max_requests",
]  # fmt: skip
# What repeats of a cell have in common: its load, and after how many requests its server replaced workers.
REPEATED = ["load_kind", *OPEN_LOAD, "max_requests"]

# The metrics that get an interval over repeats.
WITH_INTERVAL = [
    "throughput", "cpu_us", "p50_us", "p99_us", "schedule_p50_us", "schedule_p99_us",
    "pss_bytes", "rss_bytes",
]  # fmt: skip
MEANS = ["busy", "generator_busy", "offered", "achieved", "ceiling", "ceiling_share"]
LATENCIES = [*QUANTILES, "max_us"]
_MERGED = [f"{prefix}{name}" for prefix in ("merged_", "merged_schedule_") for name in LATENCIES]


def summarise(results: Results) -> pd.DataFrame:
    """One row per finished cell, indexed by its number, beginning with `IDENTITY`. Missing is NaN.

    What it delivered:

    * `requests` succeeded and `failures` failed in the `loaded_s` seconds of the window; `throughput` is
      successes per second, `error_rate` failures over all.
    * `min_us`, `mean_us`, `p50_us`, `p90_us`, `p99_us`, `p999_us`, `max_us`: service times in microseconds.
    * `schedule_p50_us` … `schedule_p999_us`, `schedule_max_us`: the same from the schedule, in open loops.
    * `offered`: arrivals per second; `achieved`: completions over arrivals, in open loops.

    What it cost: `cpu_s` of the server's processes, `cpu_us` per successful request, and the highest
    `pss_bytes` and `rss_bytes` of all of them. CPU time, and `busy` below, are missing where samples of the
    server's machine cannot be placed in time (`clocks.of_servers`). So is all that is counted in slices of
    generators on several machines that did not keep to one timetable (`clocks.of_generators`).

    How far to trust it:

    * `busy`: share of the server's CPUs that the server used; `generator_busy`: share of the CPUs its
      processes can use that the generator worked, polling in vain not counted.
    * `steal`: share of both that the hypervisor took; `others`: share that other processes used
      (`counters.others`).
    * `loop_lag_ms`: the longest the generator did not look at its sockets; `loop_wait_us`: the mean time an
      answer waited to be read, over the window.
    * `late_p50_us`, `late_p99_us`, `late_max_us`: how late the generator itself sent, in open loops.
    * `little`: by Little's law the mean number of requests in flight, over the users; 1 where no user ever
      idled. In closed loops; failures whose latency is unknown count as instant.
    * `rotated`: whether the cell was one of a rotation: its figures are then those of its good slices
      (`rotation.sums`), `slice_s` long on average, and `busy` is a share of what idle neighbours left of the
      server's CPUs. `idle_share` is the share of a CPU that its server used while the others were loaded;
      `throughput_polls`, `throughput_sleeps`, `cpu_us_polls` and `cpu_us_sleeps` are the figures in either
      manner of the generator, where the cell was measured in both.
    * `ceiling`: requests per second of the generator against the null server under the same scenario, users
      and processes, a lower bound of it where `ceiling_at_least` (false where no ceiling is known);
      `ceiling_share`: throughput over it.
    """
    cells = results.finished
    is_open = cells["load_kind"] == "open"
    described = describe(results.latencies, ["cell"]).set_index("cell")
    summary = cells[IDENTITY].join(described)
    seconds = cells["window_end"] - cells["window_start"]
    failures = results.failures.groupby("cell")["count"].sum()
    summary["requests"] = summary["requests"].fillna(0).astype(int)
    summary["failures"] = failures.reindex(summary.index).fillna(0).astype(int)
    summary["loaded_s"], summary["slice_s"] = seconds, np.nan
    summary["throughput"] = summary["requests"] / seconds
    attempts = summary["requests"] + summary["failures"]
    summary["error_rate"] = summary["failures"] / attempts.where(attempts > 0)
    summary = summary.join(_latencies(results.latencies, "from_schedule", "schedule", [*QUANTILES, "max_us"]))
    summary = summary.join(_latencies(results.latencies, "lateness", "late", ["p50_us", "p99_us", "max_us"]))
    due = counters.generator_growth(results, "due").where(is_open)
    completions = counters.generator_growth(results, "completions")
    summary["offered"] = due / seconds
    summary["achieved"] = completions / due.where(due > 0)
    summary["cpu_s"] = counters.server_cpu(results)
    summary["cpu_us"] = summary["cpu_s"] * 1e6 / summary["requests"].where(summary["requests"] > 0)
    memory = counters.within(counters.server_memory(results.processes), cells).groupby("cell")
    summary[["pss_bytes", "rss_bytes"]] = memory[["pss_bytes", "rss_bytes"]].max()
    summary["busy"] = summary["cpu_s"] / (seconds * counters.server_cpus(cells))
    summary["generator_busy"] = _generator_work(results) / (seconds * cells["generator_usable"])
    summary["steal"] = counters.steal(results)
    summary["others"] = counters.others(results)
    reports = counters.reports_within(results.generator, cells).groupby("cell")
    summary["loop_lag_ms"] = reports["loop_lag_ms"].max()
    summary["loop_wait_us"] = reports["loop_wait_us"].mean()
    in_flight = _request_seconds(results) / seconds
    summary["little"] = (in_flight / summary["users"]).where(~is_open)
    summary = summary.join(_ceilings(results))
    summary["ceiling_share"] = summary["throughput"] / summary["ceiling"]
    summary = _rotated(results, summary)
    costs = ["busy", *(name for name in map(str, summary) if name.startswith("cpu_"))]
    together = clocks.of_generators(results)
    summary.loc[~together, ["throughput", "ceiling_share"]] = np.nan
    summary.loc[~(together & clocks.of_servers(results)), costs] = np.nan
    return summary


def _rotated(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """`summary` with the figures of rotated cells, which come from their good slices (`rotation.sums`).

    Between its slices a server idles, so nothing that is spread over the window is right for them: latencies
    are those of requests begun in slices, and memory, others, lag and wait of the generator those of the
    sitting.
    """
    cells = results.finished
    summary["rotated"] = cells["rotated"]
    summary["idle_share"] = cells["idle_cpu_s"] / cells["idle_s"].where(cells["idle_s"] > 0)
    summary = summary.join(rotation.by_manner(results))
    if not summary["rotated"].any():
        return summary
    sums = rotation.sums(results)
    own = cells.loc[sums.index]
    seconds, metered_s = (sums[name].where(sums[name] > 0) for name in ("seconds", "metered_s"))
    attempts = sums["requests"] + sums["failures"]
    # What idle neighbours take of the server's CPUs is not there for the server.
    left_s = metered_s * counters.server_cpus(own) - sums["idle_cpu_s"].fillna(0.0)
    figures = pd.DataFrame(
        {
            "requests": sums["requests"].astype(int),
            "failures": sums["failures"].astype(int),
            "loaded_s": sums["seconds"],
            "slice_s": sums["seconds"] / sums["slices"].where(sums["slices"] > 0),
            "throughput": rotation.throughput(sums),
            "error_rate": sums["failures"] / attempts.where(attempts > 0),
            "cpu_s": sums["cpu_s"],
            "cpu_us": rotation.cpu_us(sums),
            "busy": sums["cpu_s"] / left_s,
            "generator_busy": sums["generator_s"] / (seconds * own["generator_usable"]),
            "steal": sums["steal_s"] / (seconds * counters.sliced_cpus(own)),
            "little": _request_seconds(results).reindex(sums.index) / sums["begun_s"] / own["users"],
        }
    )
    figures["ceiling_share"] = figures["throughput"] / summary["ceiling"].reindex(figures.index)
    for name, values in figures.items():
        summary.loc[figures.index, name] = values
    return summary


def _latencies(latencies: pd.DataFrame, kind: str, prefix: str, metrics: list[str]) -> pd.DataFrame:
    """`metrics` of one kind of latency per cell, as `<prefix>_<metric>`."""
    described = describe(latencies, ["cell"], kind).set_index("cell")
    return described[metrics].add_prefix(f"{prefix}_")


def _generator_work(results: Results) -> pd.Series:
    """CPU seconds that the Locust processes worked; plain Locust users never poll in vain."""
    spun = counters.generator_growth(results, "spin_s").fillna(0.0)
    return counters.generator_growth(results, "cpu_s") - spun


def _request_seconds(results: Results) -> pd.Series:
    """The latencies of all requests in each window, failed ones included where known, added up in seconds."""
    service = results.latencies[results.latencies["kind"] == "service"]
    answered = (service["bucket_us"] * service["count"]).groupby(service["cell"]).sum()
    failed = results.failures
    refused = (failed["latency_us"].fillna(0.0) * failed["count"]).groupby(failed["cell"]).sum()
    return answered.add(refused, fill_value=0.0).reindex(results.finished.index) / 1e6


def _ceilings(results: Results) -> pd.DataFrame:
    """`ceiling` and `ceiling_at_least` of each cell, by scenario, users and generator processes."""
    known = {(c.scenario, c.users, c.processes): c for c in results.run.ceilings}
    cells = results.finished
    keys = zip(cells["scenario"], cells["users"], cells["generator_processes"], strict=True)
    found = [known.get((scenario, users, int(processes))) for scenario, users, processes in keys]
    return pd.DataFrame(
        {
            "ceiling": [ceiling.requests_per_s if ceiling else np.nan for ceiling in found],
            "ceiling_at_least": [bool(ceiling and ceiling.at_least) for ceiling in found],
        },
        index=cells.index,
    )


def closed_loads(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and closed load (`LOAD`); see `aggregate`."""
    return aggregate(results, summary[summary["load_kind"] == "closed"], LOAD)


def open_loads(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and open load (`OPEN_LOAD`); see `aggregate`.

    Steps of searches are left out, and where workers were replaced after several N, all but the plan's first.
    """
    recycling = results.run.plan.get("recycling") or {}
    further = summary["max_requests"].notna() & (summary["max_requests"] != recycling.get("max_requests"))
    planned = (summary["load_kind"] == "open") & summary["search_p99_ms"].isna() & ~further
    return aggregate(results, summary[planned], OPEN_LOAD)


def aggregate(results: Results, summary: pd.DataFrame, load: Sequence[str]) -> pd.DataFrame:
    """One row per configuration and `load` of the cells in `summary`, over their repeats.

    `repeats` counts them. Metrics of `WITH_INTERVAL` are geometric means with `<metric>_low` and
    `<metric>_high`, those of `MEANS` arithmetic means; `failures` is a sum and `error_rate` that of
    all repeats together; `ceiling_at_least` as in the summary. Percentiles named `merged_*` (service times)
    and `merged_schedule_*` (from the schedule) come from the histograms of all repeats added up.
    """
    by = ["configuration", *load]
    if summary.empty:
        # Nothing is counted, and merging no histograms takes as long as merging some.
        return pd.DataFrame(columns=[*by, *_over_repeats(summary), *_MERGED]).astype(
            dict.fromkeys(_MERGED, float)
        )
    latencies = results.latencies[results.latencies["cell"].isin(summary.index)]
    service = _merged(latencies, by, "service", "merged_")
    schedule = _merged(latencies, by, "from_schedule", "merged_schedule_")
    rows = [
        dict(zip(by, key, strict=True)) | _over_repeats(group)
        for key, group in summary.groupby(by, observed=True)
    ]
    return pd.DataFrame(rows).join(service, on=by).join(schedule, on=by)


def _over_repeats(group: pd.DataFrame) -> dict[str, Any]:
    """The figures of one load, all repeats together, without the merged percentiles."""
    row: dict[str, Any] = {"repeats": len(group)}
    # A sitting in which a server had no good slice says nothing of it; the others do.
    measured = group[group["loaded_s"] > 0]
    for metric in WITH_INTERVAL:
        row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval(measured[metric])
    attempts = int((group["requests"] + group["failures"]).sum())
    row["failures"] = int(group["failures"].sum())
    row["error_rate"] = row["failures"] / attempts if attempts else float("nan")
    row |= {metric: group[metric].mean() for metric in MEANS}
    row["ceiling_at_least"] = bool(group["ceiling_at_least"].any())
    return row


def failed_share(cells: pd.DataFrame) -> float:
    """The share of the requests of some cells that failed, rows of the summary; 0 without any request."""
    failures = int(cells["failures"].sum())
    return failures / max(1, failures + int(cells["requests"].sum()))


def _merged(latencies: pd.DataFrame, by: list[str], kind: str, prefix: str) -> pd.DataFrame:
    described = describe(latencies, by, kind)
    # The histograms know their dimensions as categories, the cells as texts.
    texts = {name: object for name in by if isinstance(described[name].dtype, pd.CategoricalDtype)}
    return described.astype(texts).set_index(by)[LATENCIES].add_prefix(prefix)
