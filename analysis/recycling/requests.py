"""Every request of the cells of recycling, how far its handler came, and which replacement lost it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaincinv

from analysis.reading.frames import DIMENSIONS
from analysis.reading.results import Results
from analysis.recycling.limits import NEAR_S
from analysis.recycling.model import LOSSES
from bench.stats.comparison import CONFIDENCE

Ints = npt.NDArray[np.int64]
# How far a request came, by `stage`: its handler never ran, began and did not finish, made its answer.
STAGES = ("no", "started", "finished")
# The way of clients that go through no proxy, beside the kinds of proxies.
DIRECT = "direct"
# The kind of failure that an answer of 5xx is.
HTTP_5XX = "http_5xx"


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


def ran_twice(results: Results) -> pd.DataFrame:
    """The requests (`cell`, `id`) of the windows whose handler began more than once."""
    begun = results.handled[results.handled["event"] == "started"]
    again = begun[begun.duplicated(["cell", "id"])].drop_duplicates(["cell", "id"])[["cell", "id"]]
    traced = results.trace[results.trace["id"].isin(set(again["id"]))]
    ended = within(traced, results.cells, "ended")[["cell", "id"]]
    return again.astype({"id": "str"}).merge(ended.astype({"id": "str"}), on=["cell", "id"])


Floats = npt.NDArray[np.float64]
# Losses compared with all replacements of their cell at a time, so that memory stays bounded.
CHUNK = 2000


def losses(
    requests: pd.DataFrame, replacements: pd.DataFrame, cells: pd.DataFrame, placed: pd.Index
) -> pd.DataFrame:
    """`Recycling.losses`; `requests` is what `requests.followed` gives.

    Only in the cells `placed` are times of workers and of clients by one clock.

    A lost request whose handler ran belongs to the replacement of the worker that ran it, if that one was
    replaced in the window; every other to the nearest of those that it is at most `NEAR_S` away from,
    before their begin or after their end, where the times are known; else to none.
    """
    lost = within(requests[requests["lost"]], cells, "ended").rename(columns={"ended": "time"})
    lost = lost.join(cells[DIMENSIONS[1:]], on="cell")
    lost["handled"] = np.array(STAGES)[lost["stage"]]
    lost["replacement"] = _attributed(lost, replacements, placed)
    lost["in_probe"] = _to_blame(lost, cells)
    lost["pid"] = lost["pid"].astype("Int64").where(lost["stage"] > 0)
    return lost[[*DIMENSIONS, *LOSSES]].astype(LOSSES).reset_index(drop=True)


def _attributed(lost: pd.DataFrame, replacements: pd.DataFrame, placed: pd.Index) -> pd.Series:
    """The number of the replacement of each lost request, NA where there is none."""
    numbers = [np.array([])]
    cells = pd.Index(lost["cell"].unique())
    for (cell, missed), (_, ends) in zip(by_cell(lost, cells), by_cell(replacements, cells), strict=True):
        near = nearest(missed["time"].to_numpy(), ends["begin"].to_numpy(), ends["end"].to_numpy())
        by_time = np.append(ends["number"].to_numpy(dtype=float), np.nan)[near if cell in placed else -1]
        of_worker = ends.drop_duplicates("old_pid").set_index("old_pid")["number"]
        own = of_worker.reindex(missed["pid"]).to_numpy(dtype=float)
        numbers.append(np.where(np.isnan(own), by_time, own))
    # The losses of a cell follow each other, in the order of the cells.
    return pd.Series(np.concatenate(numbers), lost.index).astype("Int64")


def nearest(times: Floats, begin: Floats, end: Floats) -> npt.NDArray[np.int64]:
    """For each time the place of the nearest interval within `NEAR_S`, -1 if there is none.

    Of several that hold it the one whose middle is nearest.
    """
    if not len(begin):
        return np.full(len(times), -1)
    parts = [_nearest(times[i : i + CHUNK, None], begin, end) for i in range(0, len(times), CHUNK)]
    return np.concatenate([np.array([], dtype=np.int64), *parts])


def _nearest(times: Floats, begin: Floats, end: Floats) -> npt.NDArray[np.int64]:
    outside = np.maximum(np.maximum(begin - times, times - end), 0.0)
    tied = outside == outside.min(axis=1, keepdims=True)
    middle = np.where(tied, np.abs(times - (begin + end) / 2), np.inf)
    place = middle.argmin(axis=1)
    distance = np.take_along_axis(outside, place[:, None], axis=1)[:, 0]
    return np.where(distance <= NEAR_S, place, -1)


def _to_blame(lost: pd.DataFrame, cells: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether a probe's signal came before the loss and, told to end for good, after the request was sent."""
    signal = cells["probe_time"].reindex(lost["cell"]).to_numpy()
    sent_before = (lost["sent"].to_numpy() <= signal) | (lost["treatment"] != "terminate").to_numpy()
    blamed: npt.NDArray[np.bool_] = (lost["time"].to_numpy() >= signal) & sent_before
    return blamed


def rate(counts: npt.ArrayLike, elsewhere: int = 0) -> tuple[float, float, float]:
    """Lost per replacement and its 95 % interval, of the `counts` of each; NaN without replacements.

    What was lost in no replacement (`elsewhere`) is spread over all: it is not known to be innocent. The
    interval is the exact one of a Poisson count (Garwood, Biometrika 28, 1936), with losses that come in
    clusters taken for as many independent ones fewer as their variance is larger than their mean (McCullagh &
    Nelder, "Generalized Linear Models", 6.2.3). Where nothing was lost it ends at 3.7 over the replacements.
    """
    lost = np.asarray(counts, dtype=float)
    if not len(lost):
        return np.nan, np.nan, np.nan
    total = lost.sum()
    spread = float(np.var(lost, ddof=1) / lost.mean()) if total > 0 and len(lost) > 1 else 1.0
    cluster = max(1.0, spread)
    beyond = (1 - CONFIDENCE) / 2
    # Half of chi-squared's quantiles, those of the gamma distribution.
    low = gammaincinv(total / cluster, beyond) * cluster if total > 0 else 0.0
    high = gammaincinv(total / cluster + 1, 1 - beyond) * cluster
    mean, low, high = (np.array([total, low, high]) + elsewhere) / len(lost)
    return float(mean), float(low), float(high)
