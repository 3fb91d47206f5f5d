"""What the tables of these studies have in common: ratios of service, as words, and where they come from."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd

from analysis.cells.rotation import valued
from analysis.cells.sittings import network
from analysis.study import Study
from analysis.words import MISSING, Value, counted, figures
from bench.model.records.run import Run
from bench.stats.comparison import Field, Ratio


def service(cells: pd.DataFrame, metric: str, one: str, other: str) -> Ratio | None:
    """How many times the service of ``other`` ``one`` gave, as rankings compare them; ``None`` without both.

    ``cells`` are rows of a summary, of one load. Of CPU time, less is more service.
    """
    field = Field(valued(cells, metric))
    if one not in field or other not in field:
        return None
    ratio = field.compare(one, other)
    return None if pd.isna(ratio.ratio) else ratio if metric == "throughput" else ratio.inverse


def told(ratio: Ratio | None, *, marked: bool = False) -> str:
    """A ratio with its interval, in bold if it is ``marked``."""
    if ratio is None or pd.isna(ratio.ratio):
        return MISSING
    text = Value.of(ratio).text()
    return f"**{text}**" if marked else text


def span(ratios: Sequence[float]) -> str:
    """The lowest and the highest of some ratios, those that are unknown left out; a dash without any."""
    known = [ratio for ratio in ratios if not pd.isna(ratio)]
    return f"{figures(min(known))} to {figures(max(known))}" if known else MISSING


def counted_of(those: Sequence[bool]) -> str:
    """How many of them are true: "9 of 10"."""
    return f"{sum(those)} of {len(those)}"


def provenance(studies: Sequence[Study], command: str) -> str:
    """When, by which command and where some runs were measured."""
    runs = [study.results.run for study in studies]
    first = runs[0]
    date = datetime.fromtimestamp(first.started, UTC)
    minutes = sum(run.wall_s or 0.0 for run in runs) / 60
    networks = dict.fromkeys(text for run in runs if (text := network(run)))
    return " ".join(
        [
            f"Measured on {date:%Y-%m-%d} by `{command}` in {minutes:.1f} minutes on {first.host.cpu}, "
            f"{first.host.cpus} CPUs, {first.host.system}, launcher {first.launcher}.",
            *networks,
            *(_cut_short(run) for run in runs if run.status == "interrupted"),
            "Intervals are 95 %.",
        ]
    )


def _cut_short(run: Run) -> str:
    """What an interrupted run has."""
    made = run.rotation.sittings if run.rotation is not None else 0
    return f"The run was interrupted after {counted(made, 'sitting')}."
