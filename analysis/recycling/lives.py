"""Each worker's life: born, ready, died, and what it served in between."""

import pandas as pd

from analysis.frames import DIMENSIONS
from analysis.recycling.model import LIVES
from analysis.results import Results

EVENTS = ["born", "ready", "died"]


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
    """Whether a worker died by a probe: killed itself, or with a server that was told to end."""
    probe = cells[["probe_time", "probe_pid"]].reindex(lives["cell"]).set_axis(lives.index)
    told = (lives["treatment"] == "terminate") & (lives["died"] >= probe["probe_time"])
    return told | (lives["pid"] == probe["probe_pid"]) & (lives["treatment"] == "kill")
