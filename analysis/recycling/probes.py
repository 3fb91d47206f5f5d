"""What became of a server that got a signal: one of its workers killed, or all of it told to end."""

import numpy as np
import pandas as pd

from analysis.recycling.requests import unanswered


def recovery(cells: pd.DataFrame, lives: pd.DataFrame) -> pd.Series:
    """Seconds from the killing of a worker to the next one that was ready; NaN where none came."""
    killed = cells[cells["treatment"] == "kill"]
    signal = killed["probe_time"]
    came = lives[lives["cell"].isin(killed.index)]
    since = came["ready"].to_numpy() - signal.reindex(came["cell"]).to_numpy()
    waited = pd.Series(since, came["cell"].to_numpy(), dtype=float)
    return waited[waited > 0].groupby(level=0).min().reindex(cells.index)


def in_flight(
    cells: pd.DataFrame, requests: pd.DataFrame, handled: pd.DataFrame, losses: pd.DataFrame
) -> pd.DataFrame:
    """`in_flight`, `answered` and `cut_after_s` of the cells whose server was told to end, NaN elsewhere.

    `in_flight` are the requests sent before the signal and not ended by it; what was sent after it met a
    server that had been told to end, and says nothing.
    """
    told = cells[(cells["treatment"] == "terminate") & cells["probe_time"].notna()]
    signal = told["probe_time"]
    mine = requests[requests["cell"].isin(told.index)]
    at = signal.reindex(mine["cell"]).to_numpy()
    open_then = mine[(mine["sent"].to_numpy() <= at) & (mine["ended"].to_numpy() >= at)]
    logged = handled[handled["cell"].isin(told.index)]
    begun = logged[logged["time"].to_numpy() <= signal.reindex(logged["cell"]).to_numpy()]
    open_still = unanswered(mine, begun[begun["event"] == "started"])
    cut = losses[losses["in_probe"] & losses["cell"].isin(told.index)]
    first_cut = cut.groupby("cell")["time"].min().reindex(told.index) - signal

    def counted(frame: pd.DataFrame) -> pd.Series:
        return frame.groupby("cell").size().reindex(told.index).fillna(0.0).astype(float)

    return pd.DataFrame(
        {
            "in_flight": counted(open_then) + counted(open_still),
            "answered": counted(open_then[~open_then["lost"]]),
            "cut_after_s": first_cut,
        }
    ).reindex(cells.index)


def last_second(cells: pd.DataFrame, requests: pd.DataFrame) -> pd.Series:
    """Requests that were answered in the last second of each window."""
    end = cells["window_end"].reindex(requests["cell"]).to_numpy()
    ended = requests["ended"].to_numpy()
    late = requests[(ended >= end - 1) & (ended < end) & ~requests["lost"].to_numpy(dtype=bool)]
    counts: pd.Series = late.groupby("cell").size().reindex(cells.index).fillna(0).astype(np.int64)
    return counts
