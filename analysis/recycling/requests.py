"""Every request of the cells of recycling: what the client saw, and how far the app's handler came."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.int64]
# How far a request came, by `stage`: its handler never ran, began and did not finish, made its answer.
STAGES = ("no", "started", "finished")


def followed(trace: pd.DataFrame, handled: pd.DataFrame) -> pd.DataFrame:
    """The trace with what the app knows of each request, and `lost`, whether it failed.

    `stage` is an index into `STAGES`, `pid` the handler's worker, -1 where none ran; `began` (Unix s, NaN) is
    when the handler did, `made` when its answer was. Requests that the app logged and the trace does not
    have, because they were in flight when the cell ended, are left out.
    """
    ids, cells = trace["id"].cat.categories, pd.Index(trace["cell"].unique())
    places, seen = _places(trace, cells, ids), _places(handled, cells, ids)
    pid = np.full(len(cells) * len(ids), -1, dtype=np.int64)
    began, made = np.full(len(pid), np.nan), np.full(len(pid), np.nan)
    for times, event in ((began, "started"), (made, "finished")):
        chosen = (handled["event"] == event).to_numpy() & (seen >= 0)
        times[seen[chosen]] = handled["time"].to_numpy()[chosen]
        pid[seen[chosen]] = handled["pid"].to_numpy()[chosen]
    stage = np.where(np.isnan(made), (~np.isnan(began)).astype(np.int8), np.int8(2))
    return trace.assign(
        stage=stage[places],
        pid=pid[places],
        began=began[places],
        made=made[places],
        lost=trace["kind"].notna().to_numpy(),
    )


def unanswered(trace: pd.DataFrame, handled: pd.DataFrame) -> pd.DataFrame:
    """The rows of `handled` whose requests the trace does not have: they outlasted their cell."""
    ids, cells = trace["id"].cat.categories, pd.Index(trace["cell"].unique())
    return handled[~np.isin(_places(handled, cells, ids), _places(trace, cells, ids))]


def by_cell(frame: pd.DataFrame, cells: pd.Index) -> Iterator[tuple[Any, pd.DataFrame]]:
    """The rows of each of `cells`, none perhaps; `frame` has cell after cell."""
    column = frame["cell"].to_numpy()
    first = np.searchsorted(column, cells, side="left")
    after = np.searchsorted(column, cells, side="right")
    for cell, start, end in zip(cells, first, after, strict=True):
        yield cell, frame.iloc[start:end]


def within(frame: pd.DataFrame, cells: pd.DataFrame, time: str) -> pd.DataFrame:
    """The rows whose `time` lies in the window of their cell: start <= time < end."""
    start = cells["window_start"].reindex(frame["cell"]).to_numpy()
    end = cells["window_end"].reindex(frame["cell"]).to_numpy()
    times = frame[time].to_numpy()
    return frame[(times >= start) & (times < end)]


def _places(frame: pd.DataFrame, cells: pd.Index, ids: pd.Index) -> Ints:
    """A number for each cell and id, which is unique within its cell only; -1 where either is unknown."""
    known = np.append(ids.get_indexer(frame["id"].cat.categories), -1)
    code = known[frame["id"].cat.codes]
    cell = cells.get_indexer(pd.Index(frame["cell"]))
    places: Ints = np.where((code < 0) | (cell < 0), -1, cell * len(ids) + code)
    return places
