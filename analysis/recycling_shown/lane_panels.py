"""What the lanes of workers are drawn from: lives in lanes, losses and stalls, by the time in the window."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.recycling_shown.naming import in_order, is_leak
from analysis.study import Study

# A shorter time without an answer cannot be seen beside a window of seconds.
VISIBLE_S = 0.02


@dataclass(frozen=True)
class Panel:
    """What one panel shows; times are seconds into the window, `lives` has a `lane` for each.

    `gaps` are the times without a completed request, as begin and end, that were longer than any of the
    control, and than `VISIBLE_S`.
    """

    cell: pd.Series
    judged: pd.Series
    end: float
    lives: pd.DataFrame
    losses: pd.DataFrame
    gaps: pd.DataFrame

    @property
    def lanes(self) -> int:
        """How many lanes there are: the workers that lived side by side."""
        return int(self.lives["lane"].max()) + 1 if len(self.lives) else int(self.cell["workers"])


def panels(study: Study, configuration: str) -> Iterator[Panel]:
    """The recycled cells of the first repeat, in the plan's order; memory has a chart of its own."""
    judged = study.recycling.cells if study.recycling is not None else pd.DataFrame()
    chosen = judged[
        (judged["configuration"] == configuration)
        & (judged["treatment"] == "recycled")
        & ~judged["scenario"].astype(str).map(is_leak)
    ]
    first = chosen[chosen["repeat"] == chosen["repeat"].min()]
    for number in in_order(first, list(study.results.run.plan.get("scenarios", []))).index:
        yield _panel(study, number)


def _panel(study: Study, number: Any) -> Panel:
    recycling, cell = study.recycling, study.results.cells.loc[number]
    assert recycling is not None  # there are panels only of runs of recycling
    start, end = float(cell["window_start"]), float(cell["window_end"])
    lives = recycling.lives[recycling.lives["cell"] == number].copy()
    replaced = recycling.replacements[recycling.replacements["cell"] == number]
    losses = recycling.losses[recycling.losses["cell"] == number]
    lives["lane"] = slots(lives, dict(zip(replaced["new_pid"], replaced["old_pid"], strict=True)))
    lives[["born", "ready", "died"]] -= start
    return Panel(
        cell=cell,
        judged=recycling.cells.loc[number],
        end=end - start,
        lives=lives,
        losses=losses.assign(time=losses["time"] - start),
        gaps=gaps(study, number) - start,
    )


def gaps(study: Study, number: Any) -> pd.DataFrame:
    """`begin` and `end` (Unix s) of the times in the window of a cell in which no request was completed.

    Only those longer than the longest of its controls, and than `VISIBLE_S`.
    """
    assert study.recycling is not None  # there are panels only of runs of recycling
    cell, judged = study.results.cells.loc[number], study.recycling.cells
    same = ["configuration", "scenario", "workers"]
    controls = judged[
        (judged["treatment"] == "control") & (judged[same] == judged.loc[number, same]).all(axis=1)
    ]
    longest = controls["gap_s"].max()
    trace = study.results.trace
    own = trace[(trace["cell"] == number) & trace["kind"].isna()]
    start, end = cell["window_start"], cell["window_end"]
    ended = own["ended"].to_numpy()
    times = np.concatenate([[start], np.sort(ended[(ended > start) & (ended < end)]), [end]])
    long = np.diff(times) > np.nanmax([longest, VISIBLE_S])
    return pd.DataFrame({"begin": times[:-1][long], "end": times[1:][long]})


def slots(lives: pd.DataFrame, successors: dict[int, int]) -> pd.Series:
    """The lane of each life, from 0: that of the worker it succeeds (`successors`: new pid -> old pid).

    A worker that succeeds none takes the lowest lane that is free when it is born.
    """
    ordered = lives.sort_values("born", na_position="first")
    pids, died = ordered["pid"].to_list(), ordered["died"].fillna(np.inf).to_list()
    lane: dict[int, int] = {}
    until: list[float] = []
    placed = []
    for pid, born, end in zip(pids, ordered["born"].to_list(), died, strict=True):
        free = [place for place, freed in enumerate(until) if freed <= born]
        place = lane.get(successors.get(pid, -1), free[0] if free else len(until))
        if place == len(until):
            until.append(end)
        until[place] = max(until[place], end)
        lane[pid] = place
        placed.append(place)
    return pd.Series(placed, index=ordered.index, dtype=int).reindex(lives.index)
