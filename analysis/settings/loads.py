"""What settings do to each closed load: the table beside that of fates, in which all loads are together."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.rankings.sides import SidesRow, frame_of, heads, sides
from analysis.settings.model import Settings
from bench.stats.comparison import CONFIDENCE

_SIDES = ("parent", "variant")
FRAME = frame_of(*_SIDES)
"""The columns of settings_loads.csv; `configuration` is the variant."""


@dataclass(frozen=True)
class ByLoad:
    """The table, and its numbers in the columns of `FRAME`."""

    rows: Sequence[SidesRow]
    frame: pd.DataFrame
    title = "What each setting does to each load"
    columns = heads(*_SIDES)

    @property
    def finding(self) -> str:
        """The setting and load in which throughput differs most from the parent's, either way."""
        ends = [(row.throughput.mean, row) for row in self.rows if row.throughput.mean > 0]
        if not ends:
            return "What settings do to throughput is not known: no sitting has good slices of both sides."
        _, most = max(ends, key=lambda end: max(end[0], 1 / end[0]))
        text = most.throughput.text()
        return f"Most of all {most.configuration} changes throughput: {text}x in {most.scenario}."

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            "Each variant and its parent had their turns in every sitting. Ratios are variant to parent, "
            f"with the {CONFIDENCE:.0%} interval over the sittings. CPU: the server's time per request, "
            "which alone compares servers where something else held one of them back."
        )


def by_load(settings: Settings, summary: pd.DataFrame, order: Sequence[str]) -> ByLoad | None:
    """Each variant beside its parent under each closed load; None where none was rotated with both.

    `order` has all configurations.
    """
    parents = {each.name: each.parent for each in settings.judged}
    variants = summary[summary["configuration"].isin(parents)]
    beside = [
        summary[summary["configuration"] == parent].assign(configuration=name)
        for name, parent in parents.items()
    ]
    if not beside:
        return None
    rows, frame = sides(pd.concat(beside), variants, _SIDES, order)
    return ByLoad(rows, frame) if rows else None
