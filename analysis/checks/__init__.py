"""What may be wrong with a run: findings, each with what it spoils and what to do about it.

Every threshold is in `limits` and explained in docs/methodology.md. A finding speaks for all cells it was
found in: it names the configurations and loads of one scenario, or the whole run.
"""

import pandas as pd

from analysis import counters
from analysis.checks import completeness, generator, host, open_loop, saturation, steadiness, workers
from analysis.checks.findings import Finding
from analysis.results import Results

__all__ = ["Finding", "check"]


def check(results: Results, summary: pd.DataFrame) -> list[Finding]:
    """All findings, warnings first; `summary` has a row per finished cell."""
    finished = results.finished
    server_cpus = counters.server_cpus(finished)
    # A Locust process runs on one CPU at a time, however many it may choose from.
    usable = finished["generator_cpus"].map(len).clip(upper=finished["generator_processes"])
    window_s = finished["window_end"] - finished["window_start"]
    closed = summary[summary["load_kind"] == "closed"]
    opened = summary[summary["load_kind"] == "open"]
    # Where workers are replaced, lost requests and missed rates are the answer, and repeats are not compared.
    served = summary[summary["treatment"] == "none"]
    # The steps of a search overshoot on purpose.
    asked = opened[opened["search_p99_ms"].isna() & (opened["treatment"] == "none")]
    database = results.run.database
    findings = [
        *completeness.missing(results.run, results.notes),
        *host.cpu_split(results.run.cpu_split),
        *host.company(summary, database, results.run.external),
        *completeness.alone(served),
        *completeness.external(results.run),
        *completeness.unmetered(summary[counters.metered(finished)]),
        *completeness.failed(results.cells),
        *workers.died(results),
        *generator.bound(closed),
        *saturation.unsaturated(closed, server_cpus, database),
        *generator.loop_wait(summary),
        *completeness.errors(results, served),
        *generator.little(closed, usable, window_s),
        *steadiness.steadiness(closed, results.seconds),
        *steadiness.spread(closed),
        *open_loop.unreached(asked),
        *open_loop.late(opened),
        *generator.loop_lag(summary),
        *generator.locust_users(finished),
    ]
    return sorted(findings, key=lambda finding: finding.severity != "warning")
