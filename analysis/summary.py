"""From the frames of a run to one row per cell: what it delivered, what it cost, how far to trust it."""

import numpy as np
import pandas as pd

from analysis import counters
from analysis.histograms import QUANTILES, describe
from analysis.results import Results

# What tells a closed load from another, and an open one.
LOAD = ["scenario", "workers", "users"]
OPEN_LOAD = ["scenario", "workers", "arrivals", "rate_per_s", "users", "treatment"]
IDENTITY = [
    "configuration", "scenario", "workers", "load_kind", "arrivals", "rate_per_s", "users",
    "search_p99_ms", "search_attempt", "repeat", "treatment",
]  # fmt: skip


def summarise(results: Results) -> pd.DataFrame:
    """One row per finished cell, indexed by its number, beginning with `IDENTITY`. Missing is NaN.

    What it delivered:

    * `requests` succeeded and `failures` failed in the window; `throughput` is successes per second,
      `error_rate` failures over all.
    * `min_us`, `mean_us`, `p50_us`, `p90_us`, `p99_us`, `p999_us`, `max_us`: service times in microseconds.
    * `schedule_p50_us` … `schedule_p999_us`, `schedule_max_us`: the same from the schedule, in open loops.
    * `offered`: arrivals per second; `achieved`: completions over arrivals, in open loops.

    What it cost: `cpu_s` of the server's processes, `cpu_us` per successful request, and the highest
    `pss_bytes` and `rss_bytes` of all of them.

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
    # A Locust process runs on one CPU at a time, however many it may choose from.
    usable = np.minimum(cells["generator_cpus"].map(len), cells["generator_processes"])
    summary["generator_busy"] = _generator_work(results) / (seconds * usable)
    summary["steal"] = counters.steal(results)
    summary["others"] = counters.others(results)
    reports = counters.reports_within(results.generator, cells).groupby("cell")
    summary["loop_lag_ms"] = reports["loop_lag_ms"].max()
    summary["loop_wait_us"] = reports["loop_wait_us"].mean()
    in_flight = _request_seconds(results) / seconds
    summary["little"] = (in_flight / summary["users"]).where(~is_open)
    summary = summary.join(_ceilings(results))
    summary["ceiling_share"] = summary["throughput"] / summary["ceiling"]
    return summary


def _latencies(latencies: pd.DataFrame, kind: str, prefix: str, metrics: list[str]) -> pd.DataFrame:
    """`metrics` of one kind of latency per cell, as `<prefix>_<metric>`."""
    described = describe(latencies, ["cell"], kind).set_index("cell")
    return described[metrics].astype(float).add_prefix(f"{prefix}_")


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
