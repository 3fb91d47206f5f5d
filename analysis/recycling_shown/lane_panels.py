"""What the lanes of workers are drawn from: lives in lanes, losses and stalls, by the time in the window."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.recycling import stalls
from analysis.recycling_shown.naming import answered, in_order, is_leak
from analysis.study import Study

# A shorter time without an answer cannot be seen beside a window of seconds.
VISIBLE_S = 0.05
# A worker that becomes ready later than this before the end of a window may have seen no death yet.
SOON_S = 2.0


@dataclass(frozen=True)
class Panel:
    """What one panel shows; times are seconds into the window, `lives` has a `lane` for each that reached it.

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
    lives = recycling.lives[(recycling.lives["cell"] == number) & ~(recycling.lives["died"] <= start)].copy()
    replaced = recycling.replacements[recycling.replacements["cell"] == number]
    losses = recycling.losses[recycling.losses["cell"] == number]
    lives["lane"] = slots(lives, dict(zip(replaced["new_pid"], replaced["old_pid"], strict=True)), end)
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
    found = stalls.gaps(answered(study.results.trace, number), cell["window_start"], cell["window_end"])
    long = found.end - found.begin > np.nanmax([longest, VISIBLE_S])
    return pd.DataFrame({"begin": found.begin[long], "end": found.end[long]})


def slots(lives: pd.DataFrame, successors: dict[int, int], end: float) -> pd.Series:
    """The lane of each life, from 0: that of the worker it succeeds (`successors`: new pid -> old pid).

    A worker that succeeds none takes the lowest lane that is free when it is born. If none is, it has one of
    its own, unless it was not ready `SOON_S` before `end` (Unix s): then it is about to succeed the oldest.
    """
    ordered = lives.sort_values("born", na_position="first")
    lane: dict[int, int] = {}
    until: list[float] = []  # when each lane is free again
    latest: list[float] = []  # when the latest worker of each lane was born
    for life in ordered.fillna({"died": np.inf, "ready": np.inf}).to_dict("records"):
        free = [place for place, freed in enumerate(until) if freed <= life["born"]]
        forerunner = successors.get(life["pid"])
        if forerunner in lane:
            place = lane[forerunner]
        elif free:
            place = free[0]
        elif until and life["ready"] > end - SOON_S:
            place = latest.index(min(latest))
        else:
            place = len(until)
            until.append(-np.inf)
            latest.append(-np.inf)
        until[place], latest[place] = max(until[place], life["died"]), life["born"]
        lane[life["pid"]] = place
    return ordered["pid"].map(lane).reindex(lives.index).astype(int)
