"""A lane for each worker: its lives one after the other, with losses and stalls on the same time axis."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.drawing.naming import answered, heading, in_order, is_leak
from analysis.charts.registry import chart
from analysis.recycling import stalls
from analysis.study import Study
from analysis.words import counted, duration

# How far the handler of a lost request came: the label of its row, and its mark.
LOST = {
    "no": ("lost, handler never ran", "o"),
    "started": ("lost, handler cut short", "^"),
    "finished": ("lost, answer was made", "D"),
}
LANE_IN, LOST_IN = 0.42, 0.2
# A panel with more lanes than this is drawn as high as one with so many.
MOST_LANES = 8
# A mark, and a label of a stall, need about so much of the axis to stand apart from the next.
MARK_WIDTH, LABEL_WIDTH = 0.042, 0.05
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


@chart(
    "The lives of the workers",
    about="A lane for each worker that serves beside the others. Where the bars of a lane overlap, the "
    "successor was ready before the old worker ended; a gap between them is a time without that "
    "worker.",
)
def figures(study: Study) -> dict[str, Figure]:
    """A figure for each configuration that was to recycle, by its name in the report: `lanes_<name>`."""
    if study.recycling is None:
        return {}
    drawn = {name: lanes(study, name) for name in study.results.configurations}
    return {f"lanes_{name}": figure for name, figure in drawn.items() if figure is not None}


def lanes(study: Study, configuration: str) -> Figure | None:
    """The lives of the workers of one configuration, first repeats only; None without recycled cells."""
    shown = list(panels(study, configuration))
    if not shown:
        return None
    look = style.looks(study.results.configurations)[configuration]
    with style.styled():
        figure, axes = style.stacked([_height_in(panel) for panel in shown])
        for axis, panel in zip(axes, shown, strict=True):
            _draw(axis, panel, look)
        axes[-1].set_xlabel("seconds into the window")
        reading = (
            "A bar is a worker from ready to its end, with the requests it served; the thin line before it "
            "is its start, mostly the import of the app. A successor takes the lane of the worker it "
            "replaces. Hatched: no request was answered for longer than ever without recycling. Below: the "
            "lost requests."
        )
        return style.finish(figure, _title(configuration, shown), reading, style.footer(study.results))


def lost_rows(panel: Panel) -> list[str]:
    """Which rows of losses a panel needs; one, which then stays empty, where nothing was lost."""
    present = set(panel.losses["handled"])
    return [handled for handled in LOST if handled in present] or [next(iter(LOST))]


def _height_in(panel: Panel) -> float:
    """Of the axes in inches, with its title and labels."""
    return 0.85 + LANE_IN * min(panel.lanes, MOST_LANES) + LOST_IN * len(lost_rows(panel))


def _draw(axis: Axes, panel: Panel, look: style.Look) -> None:
    axis.set_xlim(0, panel.end)
    rows = len(lost_rows(panel))
    scale = max(1.0, panel.lanes / MOST_LANES)
    lost_at = [panel.lanes + scale * LOST_IN / LANE_IN * (0.6 + row) for row in range(rows)]
    bottom = panel.lanes + scale * LOST_IN / LANE_IN * (rows + 0.2)
    axis.set_ylim(bottom, 0)
    axis.grid(visible=False, axis="y")
    axis.axhline(panel.lanes, color=style.FAINT, linewidth=0.8)
    _stalls(axis, panel)
    for _, lane in panel.lives.sort_values("born", na_position="first").groupby("lane"):
        for turn, (_, life) in enumerate(lane.iterrows()):
            _life(axis, life, turn, panel, look)
    for place, handled in zip(lost_at, lost_rows(panel), strict=True):
        _losses(axis, panel, handled, place)
    names = _lane_names(panel)
    labels = [LOST[handled][0] for handled in lost_rows(panel)] if len(panel.losses) else ["nothing lost"]
    axis.set_yticks([*names, *lost_at], [*names.values(), *labels], fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.set_title(_panel_title(panel), fontsize=10, pad=14 if len(panel.gaps) else 6)


def _lane_names(panel: Panel) -> dict[float, str]:
    if panel.lanes <= MOST_LANES:
        return {lane + 0.5: f"worker {lane + 1}" for lane in range(panel.lanes)}
    return {panel.lanes / 2: f"{panel.lanes} workers"}


def _life(axis: Axes, life: pd.Series, turn: int, panel: Panel, look: style.Look) -> None:
    """Lives of a lane are staggered, because a successor may be there before the old one ends."""
    top = life["lane"] + (0.06 if turn % 2 == 0 else 0.52)
    died = panel.end if np.isnan(life["died"]) else float(life["died"])
    ready = died if np.isnan(life["ready"]) else float(life["ready"])
    colour = look.colour if turn % 2 == 0 else _lighter(look.colour)
    if not np.isnan(life["born"]):
        axis.plot(
            [life["born"], ready], [top + 0.21] * 2, color=look.colour, linewidth=1.4, solid_capstyle="butt"
        )
    axis.broken_barh([(ready, died - ready)], (top, 0.42), facecolors=colour)
    begin, end = max(0.0, ready), min(panel.end, died)
    text = "" if pd.isna(life["served"]) else f"{life['served']:.0f}"
    width_pt = (end - begin) / panel.end * (style.WIDTH_IN - 2.0) * 72
    if text and panel.lanes <= MOST_LANES and width_pt > 4.3 * len(text) + 2:
        axis.text(
            (begin + end) / 2, top + 0.22, text, ha="center", va="center", fontsize=7,
            color=_readable_on(colour),
        )  # fmt: skip


def _stalls(axis: Axes, panel: Panel) -> None:
    """Every gap is shaded; the longest of those that lie close together has its length written above."""
    taken: list[float] = []
    ordered = panel.gaps.assign(length=panel.gaps["end"] - panel.gaps["begin"]).sort_values(
        "length", ascending=False
    )
    for _, gap in ordered.iterrows():
        axis.axvspan(
            gap["begin"],
            gap["end"],
            facecolor="#EEEEEE",
            edgecolor="#AAAAAA",
            hatch="////",
            linewidth=0.5,
            zorder=0.5,
        )
        middle = float(gap["begin"] + gap["end"]) / 2
        if all(abs(middle - other) > LABEL_WIDTH * panel.end for other in taken):
            taken.append(middle)
            axis.annotate(
                duration(gap["length"]), (middle, 1.0), (0, 1), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="center", va="bottom", fontsize=7.5, color=style.FAINT,
            )  # fmt: skip


def _losses(axis: Axes, panel: Panel, handled: str, place: float) -> None:
    """Losses that lie close together are one mark with their number."""
    times = panel.losses.loc[panel.losses["handled"] == handled, "time"].to_numpy()
    width = MARK_WIDTH * panel.end
    for together in clusters(times, width):
        axis.plot(
            [together.mean()], [place], marker=LOST[handled][1], color=style.INK, markersize=4.5,
            markerfacecolor="white" if handled == "no" else style.INK, linestyle="none", clip_on=False,
        )  # fmt: skip
        if len(together) > 1:
            axis.annotate(
                f"{len(together):,}", (together.mean(), place), (4, 0), textcoords="offset points",
                va="center", fontsize=7.5,
            )  # fmt: skip


def clusters(times: np.ndarray, width: float) -> list[np.ndarray]:
    """Sorted `times` in groups that each span at most `width`."""
    groups: list[np.ndarray] = []
    rest = np.sort(times)
    while len(rest):
        inside = rest <= rest[0] + width
        groups.append(rest[inside])
        rest = rest[~inside]
    return groups


def _panel_title(panel: Panel) -> str:
    judged = panel.judged
    parts = [f"{counted(int(judged['replaced']), 'worker')} replaced", f"{int(judged['lost']):,} lost"]
    if not np.isnan(judged["gap_s"]):
        parts.append(f"longest stall {duration(judged['gap_s'])}")
    return f"{heading(judged)}: {', '.join(parts)}"


def _title(configuration: str, panels: list[Panel]) -> str:
    """What is wrong with it, else what its replacements cost."""
    wrong = [panel.judged for panel in panels if panel.judged["verdict"] != "recycles"]
    if wrong:
        first = wrong[0]
        return f"{configuration}, {heading(first)}: {first['verdict']}: {first['reason'].rstrip('.')}."
    replaced = sum(int(panel.judged["replaced"]) for panel in panels)
    lost = sum(int(panel.judged["lost"]) for panel in panels)
    asked = sum(int(panel.judged["requests"]) + int(panel.judged["lost"]) for panel in panels)
    longest = max((float(panel.judged["gap_s"]) for panel in panels), default=np.nan)
    cost = f"{lost:,} of {asked:,} requests were lost" if lost else f"none of {asked:,} requests was lost"
    stall = "" if np.isnan(longest) else f"; the longest time without an answer was {duration(longest)}"
    return f"{configuration} replaced {counted(replaced, 'worker')}: {cost}{stall}."


def _lighter(colour: str) -> tuple[float, float, float]:
    red, green, blue = (1 - 0.45 * (1 - part) for part in to_rgb(colour))
    return red, green, blue


def _readable_on(colour: str | tuple[float, float, float]) -> str:
    red, green, blue = to_rgb(colour)
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else style.INK
