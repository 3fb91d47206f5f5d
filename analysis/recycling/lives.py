"""Each worker's life, what it served between birth and death, and which worker took its place."""

import pandas as pd

from analysis.reading.frames import DIMENSIONS
from analysis.reading.results import Results
from analysis.recycling.limits import LINGER_S
from analysis.recycling.model import LIVES, REPLACEMENTS
from bench.model.plans.recycling import DEPLOYS

EVENTS = ["born", "ready", "died"]
# How exactly a birth is known.
BORN_S = 0.01


def lives(results: Results, requests: pd.DataFrame) -> pd.DataFrame:
    """`Recycling.lives`, in the order of their birth; `requests` is what `requests.followed` gives.

    A life is a process that workers.csv calls a worker, or any other whose handlers ran. What was after the
    window is left out, of processes and of requests alike: the server is stopped then.
    """
    cells = results.cells[results.cells["treatment"] != "none"]
    known = _recorded(results.workers, cells).join(_served(requests, cells), how="outer")
    known = known.join(_memory(results.processes, known.index))
    counts = ["served", "started"]
    known[counts] = known[counts].fillna(0).astype("int64")
    frame = known.reset_index().join(cells[DIMENSIONS[1:]], on="cell")
    frame["whole"] = frame["ready"].notna() & frame["died"].notna() & ~_made_to(frame, cells)
    ordered = frame.sort_values(["cell", "born", "first", "pid"])
    return ordered[[*DIMENSIONS, *LIVES]].astype(LIVES).reset_index(drop=True)


def _recorded(workers: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The events of each worker process until the end of the window, by cell and pid."""
    known = workers[(workers["role"] == "worker") & workers["cell"].isin(cells.index)]
    end = cells["window_end"].reindex(known["cell"]).to_numpy()
    known = known[known["time"].to_numpy() < end].sort_values("time")
    first = known.drop_duplicates(["cell", "pid", "event"])
    times = first.pivot(index=["cell", "pid"], columns="event", values="time")
    times = times.reindex(columns=EVENTS).astype(float).rename_axis(columns=None)
    deaths = first[first["event"] == "died"].set_index(["cell", "pid"])
    return times.join(deaths["exit_status"])


def _served(requests: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """What the handlers of each process did that began before the end of the window, by cell and pid."""
    end = cells["window_end"].reindex(requests["cell"]).to_numpy()
    began = requests["began"].fillna(requests["made"]).to_numpy()
    ran = requests[(requests["stage"] > 0).to_numpy() & (began < end)]
    by = [ran["cell"], ran["pid"]]
    return pd.DataFrame(
        {
            "served": (ran["stage"] == 2).groupby(by).sum(),
            "started": ran.groupby(by).size(),
            "first": ran["began"].fillna(ran["made"]).groupby(by).min(),
            "last": ran["made"].fillna(ran["began"]).groupby(by).max(),
        }
    )


def _memory(processes: pd.DataFrame, index: pd.Index) -> pd.DataFrame:
    """The most memory that each process of `index` (cell, pid) was seen with."""
    columns = ["rss_bytes", "pss_bytes"]
    peaks = processes.groupby(["cell", "pid"])[columns].max().reindex(index)
    return peaks.set_axis(["rss_peak_bytes", "pss_peak_bytes"], axis="columns")


def _made_to(lives: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Whether a worker died by a probe: killed itself, or as the server was told to end or to reload."""
    probe = cells[["probe_time", "probe_pid"]].reindex(lives["cell"]).set_axis(lives.index)
    told = lives["treatment"].isin(["terminate", *DEPLOYS]) & (lives["died"] >= probe["probe_time"])
    return told | (lives["pid"] == probe["probe_pid"]) & (lives["treatment"] == "kill")


def _overlaps(replacements: pd.DataFrame) -> pd.Series:
    """With how many others of its cell each replacement overlaps."""
    counts = pd.Series(0, replacements.index)
    for _, ends in replacements.groupby("cell"):
        begin, end = ends["begin"].to_numpy(), ends["end"].to_numpy()
        together = (begin[:, None] < end[None, :]) & (begin[None, :] < end[:, None])
        counts[ends.index] = together.sum(axis=1) - 1
    return counts


# Columns that losses and stalls add later.
NOT_YET = ["lost", "gap_s", "slowest_ms"]


def replacements(lives: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`Recycling.replacements` without `NOT_YET`; `cells` has the windows of the cells in `lives`.

    The k-th worker that died is paired with the k-th that became ready beyond those the server started with,
    whichever came first: servers differ in that. Workers that a probe ended with their whole server have no
    successors and are left out.
    """
    served = lives[lives["ready"].notna()]
    told = cells["probe_time"].where(cells["treatment"] == "terminate")
    dead = served[served["died"].notna() & ~(served["died"] >= told.reindex(served["cell"]).to_numpy())]
    dead = dead.sort_values(["cell", "died", "pid"])
    dead = dead.assign(turn=dead.groupby("cell").cumcount())
    came = served.sort_values(["cell", "ready", "pid"])
    came = came.assign(turn=came.groupby("cell").cumcount() - came["workers"])
    new = came[["cell", "turn", "pid", "born", "ready"]].add_prefix("new_")
    pairs = dead.merge(new, how="left", left_on=["cell", "turn"], right_on=["new_cell", "new_turn"])
    window = cells[["window_start", "window_end"]].reindex(pairs["cell"]).set_axis(pairs.index)
    # A worker that is ending may refuse connections for a while before it is gone.
    fell_silent = pairs["last"].clip(lower=pairs["died"] - LINGER_S)
    pairs["begin"] = pairs[["new_born", "died"]].assign(silent=fell_silent).min(axis=1)
    pairs["end"] = pairs[["new_ready", "died"]].max(axis=1)
    pairs["end"] = pairs["end"].where(pairs["new_pid"].notna(), window["window_end"])
    pairs["old_pid"] = pairs["pid"]
    # Births are known to 10 ms, so that a fork which is ready at once may seem to be so before it was born.
    pairs["start_s"] = (pairs["new_ready"] - pairs["new_born"]).clip(lower=BORN_S)
    pairs = pairs[pairs["died"] >= window["window_start"]].copy()
    pairs["number"] = pairs.groupby("cell").cumcount() + 1
    pairs["overlaps"] = _overlaps(pairs)
    columns = [name for name in REPLACEMENTS if name not in NOT_YET]
    kinds = {name: REPLACEMENTS[name] for name in columns}
    return pairs[[*DIMENSIONS, *columns]].astype(kinds).reset_index(drop=True)
