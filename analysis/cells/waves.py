"""Closed loops whose users all send a request at once, and pause: behind a proxy, the idle race.

What such a cell samples are those moments, and not repeats of itself.
"""

import pandas as pd

from bench.model.records.run import Run

SCENARIO = "pauses"
"""Whose users pause around what servers keep connections for (locustfiles/pauses.py)."""


def waves(run: Run, summary: pd.DataFrame) -> pd.DataFrame:
    """The rows of such cells in the summary of a run; none where its clients go through no proxy."""
    raced = (summary["scenario"] == SCENARIO) & (summary["load_kind"] == "closed")
    return summary[raced & (run.behind is not None)]
