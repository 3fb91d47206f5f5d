"""Every lost request: how far its handler came, and which replacement it fell into."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import chi2

from analysis.comparison import CONFIDENCE
from analysis.frames import DIMENSIONS
from analysis.recycling.limits import NEAR_S
from analysis.recycling.model import LOSSES
from analysis.recycling.requests import STAGES, by_cell, within

Floats = npt.NDArray[np.float64]
# Losses compared with all replacements of their cell at a time, so that memory stays bounded.
CHUNK = 2000


def losses(requests: pd.DataFrame, replacements: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`Recycling.losses`; `requests` is what `requests.followed` gives.

    A lost request whose handler ran belongs to the replacement of the worker that ran it, if that one was
    replaced in the window; every other to the nearest of those that it is at most `NEAR_S` away from,
    before their begin or after their end; else to none.
    """
    lost = within(requests[requests["lost"]], cells, "ended").rename(columns={"ended": "time"})
    lost = lost.join(cells[DIMENSIONS[1:]], on="cell")
    lost = lost.assign(handled=np.array(STAGES)[lost["stage"]], replacement=_attributed(lost, replacements))
    lost["in_probe"] = _to_blame(lost, cells)
    lost["pid"] = lost["pid"].astype("Int64").where(lost["stage"] > 0)
    return lost[[*DIMENSIONS, *LOSSES]].astype(LOSSES).reset_index(drop=True)


def _attributed(lost: pd.DataFrame, replacements: pd.DataFrame) -> pd.Series:
    """The number of the replacement of each lost request, NA where there is none."""
    numbers = [np.array([])]
    cells = pd.Index(lost["cell"].unique())
    for (_, missed), (_, ends) in zip(by_cell(lost, cells), by_cell(replacements, cells), strict=True):
        near = nearest(missed["time"].to_numpy(), ends["begin"].to_numpy(), ends["end"].to_numpy())
        by_time = np.append(ends["number"].to_numpy(dtype=float), np.nan)[near]
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
    """Whether a probe's signal came before the loss and, told to end, after the request was sent."""
    signal = cells["probe_time"].reindex(lost["cell"]).to_numpy()
    sent_before = (lost["sent"].to_numpy() <= signal) | (lost["treatment"] == "kill").to_numpy()
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
    low = chi2.ppf(beyond, 2 * total / cluster) / 2 * cluster if total > 0 else 0.0
    high = chi2.ppf(1 - beyond, 2 * (total / cluster + 1)) / 2 * cluster
    mean, low, high = (np.array([total, low, high]) + elsewhere) / len(lost)
    return float(mean), float(low), float(high)
