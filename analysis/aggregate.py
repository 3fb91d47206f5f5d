"""From one row per cell to one row per configuration and load, over the repeats."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.comparison import interval
from analysis.histograms import QUANTILES, describe
from analysis.results import Results
from analysis.summary import LOAD, OPEN_LOAD

# The metrics that get an interval over repeats.
WITH_INTERVAL = [
    "throughput", "cpu_us", "p50_us", "p99_us", "schedule_p50_us", "schedule_p99_us",
    "pss_bytes", "rss_bytes",
]  # fmt: skip
MEANS = ["busy", "generator_busy", "offered", "achieved", "ceiling", "ceiling_share"]
LATENCIES = [*QUANTILES, "max_us"]


def closed_loads(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and closed load (`LOAD`); see `aggregate`."""
    return aggregate(results, summary[summary["load_kind"] == "closed"], LOAD)


def open_loads(results: Results, summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and open load (`OPEN_LOAD`), steps of searches left out; see `aggregate`."""
    planned = (summary["load_kind"] == "open") & summary["search_p99_ms"].isna()
    return aggregate(results, summary[planned], OPEN_LOAD)


def aggregate(results: Results, summary: pd.DataFrame, load: Sequence[str]) -> pd.DataFrame:
    """One row per configuration and `load` of the cells in `summary`, over their repeats.

    `repeats` counts them. Metrics of `WITH_INTERVAL` are geometric means with `<metric>_low` and
    `<metric>_high`, those of `MEANS` arithmetic means; `failures` is a sum and `error_rate` that of
    all repeats together; `ceiling_at_least` as in the summary. Percentiles named `merged_*` (service times)
    and `merged_schedule_*` (from the schedule) come from the histograms of all repeats added up.
    """
    by = ["configuration", *load]
    latencies = results.latencies[results.latencies["cell"].isin(summary.index)]
    service = _percentiles(latencies, by, "service", "merged_")
    schedule = _percentiles(latencies, by, "from_schedule", "merged_schedule_")
    rows = [
        dict(zip(by, key, strict=True)) | _over_repeats(group)
        for key, group in summary.groupby(by, observed=True)
    ]
    columns = [*by, *_over_repeats(summary.iloc[:0])]
    loads = pd.DataFrame(rows, columns=columns)
    return loads.join(service, on=by).join(schedule, on=by)


def _over_repeats(group: pd.DataFrame) -> dict[str, Any]:
    """The figures of one load, all repeats together, without the merged percentiles."""
    row: dict[str, Any] = {"repeats": len(group)}
    for metric in WITH_INTERVAL:
        row[metric], row[f"{metric}_low"], row[f"{metric}_high"] = interval(group[metric])
    attempts = int((group["requests"] + group["failures"]).sum())
    row["failures"] = int(group["failures"].sum())
    row["error_rate"] = row["failures"] / attempts if attempts else float("nan")
    row |= {metric: group[metric].mean() for metric in MEANS}
    row["ceiling_at_least"] = bool(group["ceiling_at_least"].any())
    return row


def _percentiles(latencies: pd.DataFrame, by: list[str], kind: str, prefix: str) -> pd.DataFrame:
    described = describe(latencies, by, kind)
    # The histograms know their dimensions as categories, the cells as texts.
    texts = {name: object for name in by if isinstance(described[name].dtype, pd.CategoricalDtype)}
    return described.astype(texts).set_index(by)[LATENCIES].astype(float).add_prefix(prefix)
