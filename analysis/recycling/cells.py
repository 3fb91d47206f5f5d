"""One row per cell of recycling: what its workers did, what clients lost and waited for, and the memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.cells import clocks, counters
from analysis.reading.frames import DIMENSIONS, processes_of
from analysis.reading.results import Results
from analysis.recycling import stalls
from analysis.recycling.limits import BOUND, KEEP_ALIVE, LEAK, OF_LEAK, OLD_CODE_S
from analysis.recycling.requests import by_cell, rate, unanswered, within
from bench.model.plans.recycling import DEPLOYS


def memory(results: Results, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of `cells`, of all processes of the server together, in its window.

    Peaks and the last size in bytes; `growth`: the peak of the window's second half over that of
    the first, less 1. NaN where no sample tells.
    """
    samples = results.processes[results.processes["cell"].isin(cells.index)]
    inside = counters.within(counters.server_memory(samples), cells)
    middle = ((cells["window_start"] + cells["window_end"]) / 2).reindex(inside["cell"]).to_numpy()
    late = inside["time"].to_numpy() >= middle
    whole = inside.groupby("cell")
    halves = [inside[half].groupby("cell")["rss_bytes"].max() for half in (~late, late)]
    frame = pd.DataFrame(
        {
            "rss_peak_bytes": whole["rss_bytes"].max(),
            "pss_peak_bytes": whole["pss_bytes"].max(),
            "rss_end_bytes": whole["rss_bytes"].last(),
            "growth": halves[1] / halves[0] - 1,
        }
    )
    return frame.reindex(cells.index)


@dataclass(frozen=True)
class Bound:
    """A leaking app with and without replaced workers: peaks in bytes, `growth` as `memory` gives it."""

    recycled_bytes: float
    control_bytes: float
    growth: float
    control_growth: float

    @property
    def held(self) -> bool:
        """Whether the peak does not go on growing, and is below what it is without replacing workers.

        The peaks of the two halves of a saw-tooth are alike wherever its teeth begin, where a slope would
        depend on that. Where workers end unevenly its teeth differ in height, by a small part of what the
        leak adds in the control, whose window is no longer.
        """
        grown = _grown(self.recycled_bytes, self.growth)
        leaked = _grown(self.control_bytes, self.control_growth)
        steady = self.growth <= BOUND or grown <= OF_LEAK * leaked
        return steady and self.recycled_bytes < self.control_bytes


def _grown(peak_bytes: float, growth: float) -> float:
    """By how many bytes the peak of the second half of a window exceeds that of the first."""
    return 0.0 if growth <= 0 else peak_bytes * growth / (1 + growth)


def leaks(growth: float) -> bool:
    """Whether a server without recycling grows with what it serves, by its `growth` as `memory` gives it."""
    return growth > LEAK


def recovery(cells: pd.DataFrame, lives: pd.DataFrame) -> pd.Series:
    """Seconds from the killing of a worker to the next one that was ready; NaN where none came."""
    killed = cells[cells["treatment"] == "kill"]
    signal = killed["probe_time"]
    came = lives[lives["cell"].isin(killed.index)]
    since = came["ready"].to_numpy() - signal.reindex(came["cell"]).to_numpy()
    waited = pd.Series(since, came["cell"].to_numpy(), dtype=float)
    return waited[waited > 0].groupby(level=0).min().reindex(cells.index)


def renewal(cells: pd.DataFrame, lives: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """`renewed` and `renewed_s` of the cells with a deploy, NaN elsewhere."""
    found = pd.DataFrame(np.nan, cells.index, ["renewed", "renewed_s"])
    deployed = cells[cells["treatment"].isin(DEPLOYS) & cells["probe_time"].notna()]
    for cell, born, asked in _by_cell(deployed, lives, requests):
        row = deployed.loc[cell]
        pids = row["probe_renewed"] or []
        ready = born.loc[born["pid"].isin(pids), "ready"].dropna().sort_values()
        old = asked.loc[(asked["stage"] > 0) & ~asked["pid"].isin(pids), "began"]
        complete = len(ready) >= row["workers"] and not old.max() >= row["window_end"] - OLD_CODE_S
        last = max(float(ready.iloc[int(row["workers"]) - 1]), float(old.max())) if complete else np.nan
        found.loc[cell] = len(ready), last - row["probe_time"]
    return found


def in_flight(
    cells: pd.DataFrame, requests: pd.DataFrame, handled: pd.DataFrame, losses: pd.DataFrame
) -> pd.DataFrame:
    """`in_flight`, `answered` and `cut_after_s` of the cells whose server was told to end, NaN elsewhere.

    `in_flight` are the requests sent before the signal and not ended by it. What was sent later met a server
    that had been told to end, and says nothing.
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


def with_stalls(
    replacements: pd.DataFrame, requests: pd.DataFrame, losses: pd.DataFrame, cells: pd.DataFrame
) -> pd.DataFrame:
    """`replacements` with `lost`, `gap_s` and `slowest_ms`, the last two NaN but in the `cells`."""
    found = replacements.copy()
    lost = losses.dropna(subset="replacement").groupby(["cell", "replacement"]).size()
    places = pd.MultiIndex.from_frame(found[["cell", "number"]])
    found["lost"] = lost.reindex(places).fillna(0).astype("int64").to_numpy()
    answered = requests.loc[~requests["lost"], ["cell", "due", "ended"]]
    gap: list[Any] = [np.array([])]
    slowest: list[Any] = [np.array([])]
    index = pd.Index(found["cell"].unique())
    for (cell, ends), (_, mine) in zip(by_cell(found, index), by_cell(answered, index), strict=True):
        if cell not in cells.index:
            gap.append(np.full(len(ends), np.nan))
            slowest.append(gap[-1])
            continue
        window = counters.window(cells, cell)
        begin, end = ends["begin"].to_numpy(), ends["end"].to_numpy()
        due, ended = mine["due"].to_numpy(), mine["ended"].to_numpy()
        gap.append(stalls.gaps(ended, *window).longest_over_s(begin, end))
        slowest.append(stalls.slowest_over_s(due, ended, begin, end) * 1e3)
    return found.assign(gap_s=np.concatenate(gap), slowest_ms=np.concatenate(slowest))


def cells_of(
    results: Results,
    requests: pd.DataFrame,
    lives: pd.DataFrame,
    replacements: pd.DataFrame,
    losses: pd.DataFrame,
) -> pd.DataFrame:
    """`Recycling.cells` without `verdict` and `reason`; `replacements` has its losses and stalls."""
    cells = results.finished[results.finished["treatment"] != "none"]
    whole = _whole_lives(lives, cells)
    lost = _lost(cells, requests, losses, replacements)
    clients = pd.DataFrame(
        [_clients(cells, cell, *mine) for cell, *mine in _by_cell(cells, requests, lives, replacements)],
        index=cells.index,
    )
    clients.loc[~clocks.of_servers(results).reindex(cells.index), "slowest_outside_ms"] = np.nan
    frame = cells[DIMENSIONS[1:]].join(whole).join(lost).join(clients).join(memory(results, cells))
    frame["idle_closes"] = counters.generator_growth(results, "idle_closes").reindex(cells.index)
    frame["keep_alive"] = keep_alive(requests, cells)
    frame["last_second"] = last_second(cells, requests)
    frame["recovery_s"] = recovery(cells, lives)
    frame = frame.join(renewal(cells, lives, requests))
    return frame.join(in_flight(cells, requests, results.handled, losses))


def _whole_lives(lives: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Requests served over whole lives."""
    served = lives[lives["whole"]].groupby("cell")["served"]
    frame = pd.DataFrame(
        {"served_low": served.min(), "served_median": served.median(), "served_high": served.max()}
    )
    frame = frame.reindex(cells.index).astype(float)
    frame["overshoot_median"] = frame["served_median"] - cells["max_requests"]
    frame["jitter_seen"] = frame["served_high"] - frame["served_low"]
    return frame


def _lost(
    cells: pd.DataFrame, requests: pd.DataFrame, losses: pd.DataFrame, replacements: pd.DataFrame
) -> pd.DataFrame:
    """Requests, losses by kind, and how many there are to a replacement."""
    counting = losses[losses["in_probe"] | ~losses["treatment"].isin(["terminate", *DEPLOYS])]
    by = counting.groupby(["cell", "handled"]).size().unstack(fill_value=0)
    stages = {"no": "lost_not_handled", "started": "lost_started", "finished": "lost_finished"}
    frame = (
        by.reindex(index=cells.index, columns=list(stages)).rename(columns=stages).fillna(0).astype("int64")
    )
    frame["lost"] = frame.sum(axis=1)
    frame["requests"] = within(requests, cells, "ended").groupby("cell").size()
    frame["requests"] = frame["requests"].fillna(0).astype("int64")
    done = replacements[replacements["new_pid"].notna()]
    in_done = done.groupby("cell")["lost"].sum().reindex(cells.index).fillna(0).astype("int64")
    within_any = counting.dropna(subset="replacement").groupby("cell").size().reindex(cells.index).fillna(0)
    frame["lost_elsewhere"] = frame["lost"] - within_any.astype("int64")
    frame["replaced"] = done.groupby("cell").size().reindex(cells.index).fillna(0).astype("int64")
    outside = frame["lost"] - in_done
    rates = [rate(mine["lost"], int(outside[cell])) for cell, mine in by_cell(done, cells.index)]
    figures = pd.DataFrame(rates, index=cells.index, columns=["mean", "low", "high"])
    frame["per_replacement"] = figures["mean"]
    frame[["per_1000", "per_1000_low", "per_1000_high"]] = figures * 1000
    return frame


def _by_cell(cells: pd.DataFrame, *frames: pd.DataFrame) -> Iterator[Any]:
    """Cell by cell its rows of each frame."""
    rows = [by_cell(frame, cells.index) for frame in frames]
    for parts in zip(*rows, strict=True):
        yield parts[0][0], *(part for _, part in parts)


def _clients(
    cells: pd.DataFrame, cell: Any, requests: pd.DataFrame, lives: pd.DataFrame, replacements: pd.DataFrame
) -> dict[str, float]:
    """What the clients of one cell waited for, and which workers they met."""
    start, end = counters.window(cells, cell)
    answered = requests[~requests["lost"]]
    due, ended = answered["due"].to_numpy(), answered["ended"].to_numpy()
    inside = (ended >= start) & (ended < end)
    due, ended = due[inside], ended[inside]
    begin, until = replacements["begin"].to_numpy(), replacements["end"].to_numpy()
    ready, died = lives["ready"].to_numpy(), lives["died"].to_numpy()
    several = cells.loc[cell, "workers"] > 1
    gone, gone_s, share = np.nan, np.nan, np.nan
    fewest, short_s = stalls.short_of(cells.loc[cell, "workers"], ready, died, start, end)
    if several:
        gone, gone_s = stalls.none_left(ready, died, start, end)
        began, pid = requests["began"].to_numpy(), requests["pid"].to_numpy()
        share = stalls.busiest_share(began, pid, ready, died, start, end)
    return {
        "gap_s": stalls.gaps(ended, start, end).longest_s,
        "slowest_ms": float((ended - due).max()) * 1e3 if len(due) else np.nan,
        "slowest_outside_ms": stalls.slowest_outside_s(due, ended, begin, until) * 1e3,
        "all_gone": gone,
        "all_gone_s": gone_s,
        "fewest_ready": fewest,
        "short_s": short_s,
        "share_busiest": share,
    }


def keep_alive(requests: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Whether each cell's scenario keeps its connections.

    The median over all cells of the scenario decides: a server that closes connections early does not change
    what the scenario does.
    """
    connected = requests[requests["connection"].notna()]
    # Each process of the generator numbers its own connections.
    process = processes_of(connected["id"])
    number = connected["connection"].astype("int64") * (process.max(initial=0) + 1) + process
    counts = number.groupby(connected["cell"]).agg(["size", "nunique"])
    per_connection: pd.Series = (counts["size"] / counts["nunique"]).reindex(cells.index)
    return per_connection.groupby(cells["scenario"]).transform("median") >= KEEP_ALIVE
