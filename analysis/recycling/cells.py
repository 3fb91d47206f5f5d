"""One row per cell of recycling: what its workers did, and what the clients lost and waited for."""

from typing import Any

import numpy as np
import pandas as pd

from analysis import counters, identifiers
from analysis.frames import DIMENSIONS
from analysis.recycling import probes, stalls
from analysis.recycling.limits import KEEP_ALIVE
from analysis.recycling.losses import rate
from analysis.recycling.memory import memory
from analysis.recycling.requests import by_cell, within
from analysis.results import Results


def with_stalls(
    replacements: pd.DataFrame, requests: pd.DataFrame, losses: pd.DataFrame, cells: pd.DataFrame
) -> pd.DataFrame:
    """`replacements` with `lost`, `gap_s` and `slowest_ms`."""
    found = replacements.copy()
    lost = losses.dropna(subset="replacement").groupby(["cell", "replacement"]).size()
    places = pd.MultiIndex.from_frame(found[["cell", "number"]])
    found["lost"] = lost.reindex(places).fillna(0).astype("int64").to_numpy()
    answered = requests.loc[~requests["lost"], ["cell", "due", "ended"]]
    gap: list[Any] = [np.array([])]
    slowest: list[Any] = [np.array([])]
    index = pd.Index(found["cell"].unique())
    for (cell, ends), (_, mine) in zip(by_cell(found, index), by_cell(answered, index), strict=True):
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
        [_clients(cells, cell, *mine) for cell, *mine in _each(cells, requests, lives, replacements)],
        index=cells.index,
    )
    frame = cells[DIMENSIONS[1:]].join(whole).join(lost).join(clients).join(memory(results, cells))
    frame["idle_closes"] = counters.generator_growth(results, "idle_closes").reindex(cells.index)
    frame["keep_alive"] = keep_alive(requests, cells)
    frame["last_second"] = probes.last_second(cells, requests)
    frame["recovery_s"] = probes.recovery(cells, lives)
    return frame.join(probes.in_flight(cells, requests, results.handled, losses))


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
    counting = losses[losses["in_probe"] | (losses["treatment"] != "terminate")]
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


def _each(cells: pd.DataFrame, *frames: pd.DataFrame) -> Any:
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
        "share_busiest": share,
    }


def keep_alive(requests: pd.DataFrame, cells: pd.DataFrame) -> pd.Series:
    """Whether each cell's scenario keeps its connections.

    It is a fact about the scenario, so that a server that closes connections early does not make its cell one
    of the other kind: the median over all cells of the scenario decides.
    """
    connected = requests[requests["connection"].notna()]
    # Each process of the generator numbers its own connections.
    process = identifiers.processes(connected["id"])
    number = connected["connection"].astype("int64") * (process.max(initial=0) + 1) + process
    counts = number.groupby(connected["cell"]).agg(["size", "nunique"])
    each: pd.Series = (counts["size"] / counts["nunique"]).reindex(cells.index)
    return each.groupby(cells["scenario"]).transform("median") >= KEEP_ALIVE
