"""How charts and tables of recycling name and order what they show."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.words import counted

# Scenarios are files of locustfiles/; by these parts of their names they are told apart here.
CLOSE, LEAK = "-close", "leak"


def is_leak(scenario: str) -> bool:
    """Whether it makes the app leak, so that memory is what it shows."""
    return scenario.startswith(LEAK)


def base(scenario: str) -> str:
    """The name that a scenario shares with its like of the other kind of connection."""
    return scenario.removesuffix(CLOSE)


def heading(judged: pd.Series) -> str:
    """Which cell a row of `Recycling.cells` is about: "index (keep-alive), 2 workers"."""
    kind = "keep-alive" if judged["keep_alive"] else "connection per request"
    return f"{base(judged['scenario'])} ({kind}), {counted(int(judged['workers']), 'worker')}"


def answered(trace: pd.DataFrame, number: Any) -> npt.NDArray[np.float64]:
    """When the requests of a cell were answered (Unix s), by `Results.trace`, which has cell after cell."""
    first, after = np.searchsorted(trace["cell"].to_numpy(), [number, number + 1])
    own = trace.iloc[first:after]
    return own.loc[own["kind"].isna(), "ended"].to_numpy()


def in_order(cells: pd.DataFrame, planned: Sequence[str]) -> pd.DataFrame:
    """Cells by scenario as the plan names them, then by workers and repeat."""
    order = {scenario: place for place, scenario in enumerate(planned)}
    place = cells["scenario"].astype(str).map(lambda scenario: order.get(scenario, len(order)))
    return cells.assign(_place=place).sort_values(["_place", "workers", "repeat"]).drop(columns="_place")
