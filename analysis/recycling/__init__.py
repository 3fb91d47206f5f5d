"""What happened to the workers of a run of recycling, and at what price."""

import pandas as pd

from analysis.frames import empty
from analysis.recycling.model import (
    CELLS,
    LIVES,
    LOSSES,
    QUESTIONS,
    REPLACEMENTS,
    Answer,
    Recycling,
    Row,
)
from analysis.results import Results

__all__ = ["QUESTIONS", "Answer", "Recycling", "Row", "analyse"]


def analyse(results: Results, summary: pd.DataFrame) -> Recycling | None:
    """Everything about the recycling of workers in a run; None where it has no such cells."""
    if (results.cells["treatment"] == "none").all():
        return None
    cells = empty(CELLS).set_index("cell").reindex(summary.index[:0])
    return Recycling(empty(LIVES), empty(REPLACEMENTS), empty(LOSSES), cells, (), "")
