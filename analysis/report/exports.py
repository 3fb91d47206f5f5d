"""The frames people take away: what the notebooks show and the report keeps as CSV."""

from dataclasses import fields

import pandas as pd

from analysis.cells.capacity import SEARCH
from analysis.cells.sittings import Rotated
from analysis.cells.summary import IDENTITY, LOAD, OPEN_LOAD, WITH_INTERVAL
from analysis.proxy import cost as proxy_cost
from analysis.proxy import idle as proxy_idle
from analysis.proxy.losses import COUNTS
from analysis.recycling import price
from analysis.recycling.model import QUESTIONS, Recycling
from analysis.settings import frames
from analysis.settings import loads as settings_loads
from analysis.study import Study
from bench.stats.histograms import QUANTILES

KEYS = ["configuration", *LOAD]
NONE_HERE = (
    "This run has no cells of recycling: no worker was to be replaced in it. `make recycle` measures that."
)

NO_VARIANTS = "This run has no variants beside their parents: `make settings` measures them."


def ranking(study: Study) -> pd.DataFrame:
    """Every table of the verdict below each other, as numbers; `rank` is missing where there is none.

    `ratio_to_best` is what ranks (requests per second, or per CPU-second) over that of the best, with the
    bounds of its 95 % interval: 1 without bounds for the best itself.
    """
    rows = [
        {
            "scenario": table.scenario,
            "workers": table.workers,
            "users": table.users,
            "ranked_by": table.metric,
            "rank": row.rank,
            "configuration": row.configuration,
            "ratio_to_best": None if row.ratio is None else row.ratio.mean,
            "ratio_low": None if row.ratio is None else row.ratio.low,
            "ratio_high": None if row.ratio is None else row.ratio.high,
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
    ratios = dict.fromkeys(("ratio_to_best", "ratio_low", "ratio_high"), float)
    return frame.astype({"rank": "Int64", **ratios}) if rows else frame


def cells(study: Study) -> pd.DataFrame:
    """Every cell of the run with its numbers, or the reason it failed."""
    identity = study.results.cells[[*IDENTITY, "block", "status", "reason"]]
    numbers = study.summary.drop(columns=IDENTITY)
    return identity.join(numbers)


def exceptions(study: Study) -> pd.DataFrame:
    """What users' own code raised in every cell, the most frequent first."""
    raised = study.results.exceptions.drop(columns="cell")
    return raised.sort_values("count", ascending=False, kind="stable").reset_index(drop=True)


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


def sittings(study: Study) -> pd.DataFrame:
    """How the rotation went: a row per configuration, `idle_share` of a CPU."""
    columns = [field.name for field in fields(Rotated)]
    return pd.DataFrame([vars(row) for row in study.sittings.rows], columns=columns)


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
    columns = ["alias", "original", "scenario", "workers", "load", "metric", "ratio", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "different"])


def settings(study: Study) -> pd.DataFrame:
    """Every measure of every variant beside its parent (`settings.frames.measures`)."""
    return frames.measures(study.settings)


def settings_by_load(study: Study) -> pd.DataFrame:
    """What each variant does to each closed load (`settings.loads.FRAME`)."""
    found = study.settings_by_load
    return pd.DataFrame(columns=settings_loads.FRAME) if found is None else found.frame


def fates(study: Study) -> pd.DataFrame:
    """What each setting is worth (`settings.frames.fates`)."""
    return frames.fates(study.settings)


def settings_opening(study: Study) -> str:
    """What a run says about settings in one sentence, in Markdown."""
    return f"**{study.settings.finding}**" if study.settings.judged else NO_VARIANTS


def _sorted(study: Study, columns: list[str]) -> pd.DataFrame:
    return study.loads[columns].sort_values([*LOAD, "configuration"]).reset_index(drop=True)


def opening(study: Study) -> str:
    """What a run says about recycling in one sentence, in Markdown."""
    return NONE_HERE if study.recycling is None else f"**{study.recycling.finding}**"


def recycling(study: Study) -> pd.DataFrame:
    """The table as texts: a row per configuration, a column per question."""
    rows = [] if study.recycling is None else [row.texts() for row in study.recycling.configurations]
    return pd.DataFrame(rows, columns=list(Recycling.columns))


def recycling_evidence(study: Study) -> pd.DataFrame:
    """Each answer with its verdict, and the folder of each cell that it was read from, a row for each.

    `cell` is relative to the run's folder, and missing where nothing was measured.
    """
    configurations = () if study.recycling is None else study.recycling.configurations
    rows = [
        (row.configuration, question, answer.text, answer.verdict, path)
        for row in configurations
        for question, answer in zip(QUESTIONS, row.answers, strict=True)
        for path in (answer.evidence or (None,))
    ]
    return pd.DataFrame(rows, columns=["configuration", "question", "answer", "verdict", "cell"])


def price_of_n(study: Study) -> pd.DataFrame:
    """What recycling costs at each N (`recycling.price.frame`)."""
    return price.frame(study.prices)


def deploys(study: Study) -> pd.DataFrame:
    """Every deploy: a row for each configuration, number of workers and scenario (`Deploys.frame`)."""
    return pd.DataFrame() if study.deploys is None else study.deploys.frame


def lives(study: Study) -> pd.DataFrame:
    """Every worker process of the cells of recycling (`Recycling.lives`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.lives


def replacements(study: Study) -> pd.DataFrame:
    """Every replacement of a worker (`Recycling.replacements`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.replacements


def proxy(study: Study) -> pd.DataFrame:
    """What clients lose behind the run's proxy and past it, as counts (`proxied.COUNTS`)."""
    return pd.DataFrame(columns=list(COUNTS)) if study.proxied is None else study.proxied.counts


def proxy_costs(study: Study) -> pd.DataFrame:
    """What the run's proxy costs each closed load (`proxy_cost.FRAME`)."""
    return pd.DataFrame(columns=proxy_cost.FRAME) if study.proxy_cost is None else study.proxy_cost.frame


def proxy_idle_race(study: Study) -> pd.DataFrame:
    """What keep-alives shorter than that of the run's proxy lose (`proxy_idle.FRAME`)."""
    return pd.DataFrame(columns=proxy_idle.FRAME) if study.idle_race is None else study.idle_race.frame


def losses(study: Study) -> pd.DataFrame:
    """Every request that was lost (`Recycling.losses`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.losses


def recycling_cells(study: Study) -> pd.DataFrame:
    """Every cell of recycling with its verdict (`Recycling.cells`), and its folder in the run as `path`."""
    if study.recycling is None:
        return pd.DataFrame()
    return study.recycling.cells.join(study.results.cells["path"], on="cell")
