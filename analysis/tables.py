"""The frames people take away: what the notebooks show and the report keeps as CSV."""

import pandas as pd

from analysis.aggregate import WITH_INTERVAL
from analysis.capacity import SEARCH
from analysis.histograms import QUANTILES
from analysis.study import Study
from analysis.summary import IDENTITY, LOAD, OPEN_LOAD

KEYS = ["configuration", *LOAD]


def ranking(study: Study) -> pd.DataFrame:
    """Every table of the verdict below each other, as numbers; `rank` is missing where there is none."""
    rows = [
        {
            "scenario": table.scenario,
            "workers": table.workers,
            "users": table.users,
            "ranked_by": table.metric,
            "rank": row.rank,
            "configuration": row.configuration,
            "throughput": row.throughput.mean,
            "throughput_low": row.throughput.low,
            "throughput_high": row.throughput.high,
            "saturated": row.saturated,
            "p50_us": row.p50_us,
            "p99_us": row.p99_us,
            "cpu_us": row.cpu_us.mean,
            "cpu_us_low": row.cpu_us.low,
            "cpu_us_high": row.cpu_us.high,
            "pss_bytes": row.pss_bytes,
            "error_rate": row.error_rate,
            "notes": "; ".join(row.notes),
        }
        for table in study.verdict.tables
        for row in table.rows
    ]
    frame = pd.DataFrame(rows)
    return frame.astype({"rank": "Int64"}) if rows else frame


def cells(study: Study) -> pd.DataFrame:
    """Every cell of the run with its numbers, or the reason it failed."""
    identity = study.results.cells[[*IDENTITY, "block", "status", "reason"]]
    numbers = study.summary.drop(columns=IDENTITY)
    return identity.join(numbers)


def loads(study: Study) -> pd.DataFrame:
    """Throughput of every configuration at every load, with its interval and how busy both sides were."""
    interval = ["throughput", "throughput_low", "throughput_high"]
    generator = ["generator_busy", "ceiling", "ceiling_at_least", "ceiling_share"]
    return _sorted(study, [*KEYS, "repeats", *interval, "busy", *generator, "error_rate"])


def percentiles(study: Study) -> pd.DataFrame:
    """Latency in microseconds of every configuration at every load, all repeats merged."""
    return _sorted(study, [*KEYS, *(f"merged_{name}" for name in [*QUANTILES, "max_us"])]).rename(
        columns=lambda name: name.removeprefix("merged_")
    )


def costs(study: Study) -> pd.DataFrame:
    """CPU per request (µs) and memory (bytes) of every configuration at every load, with intervals."""
    metrics = [metric for metric in WITH_INTERVAL if metric in ("cpu_us", "pss_bytes", "rss_bytes")]
    return _sorted(study, [*KEYS, *(f"{m}{end}" for m in metrics for end in ("", "_low", "_high"))])


def rates(study: Study) -> pd.DataFrame:
    """Latency (µs, from the schedule and of the service alone) at every planned rate of arrivals."""
    merged = [f"merged_{kind}{name}" for kind in ("schedule_", "") for name in [*QUANTILES, "max_us"]]
    columns = ["configuration", *OPEN_LOAD, "repeats", "offered", "achieved", *merged, "cpu_us", "error_rate"]
    named = study.rates[columns].rename(columns=lambda name: name.removeprefix("merged_"))
    return named.sort_values([*OPEN_LOAD, "configuration"]).reset_index(drop=True)


def capacity(study: Study) -> pd.DataFrame:
    """The highest rate of every configuration and search, with its interval and rank."""
    return study.capacity.sort_values([*SEARCH, "rank", "configuration"]).reset_index(drop=True)


def alike(study: Study) -> pd.DataFrame:
    """Every comparison of a configuration with itself under another name."""
    rows = [
        {
            "alias": pair.alias,
            "original": pair.original,
            "scenario": pair.scenario,
            "workers": pair.load.workers,
            "load": pair.load.text,
            "metric": pair.metric,
            "ratio": pair.versus.ratio,
            "low": pair.versus.low,
            "high": pair.versus.high,
            "different": pair.different,
        }
        for pair in study.alike.pairs
    ]
    columns = [
        "alias",
        "original",
        "scenario",
        "workers",
        "load",
        "metric",
        "ratio",
        "low",
        "high",
        "different",
    ]
    return pd.DataFrame(rows, columns=columns)


def _sorted(study: Study, columns: list[str]) -> pd.DataFrame:
    return study.loads[columns].sort_values([*LOAD, "configuration"]).reset_index(drop=True)
