"""What clients see when a worker is killed, the server told to stop, or to deploy: answers and losses."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.drawing.naming import answered
from analysis.charts.registry import chart
from analysis.study import Study
from analysis.words import listed

KINDS = {"kill": "kill -9 of one worker", "terminate": "SIGTERM with requests in flight"}
# A bar is a tenth of a second, or so long that five requests are due in it.
BIN_S, REQUESTS, BEFORE_S = 0.1, 5, 2.0
# Bars are cut off at so many times the rate of arrivals: what has queued up is answered at once.
MOST = 3.0
UNANSWERED = "#BBBBBB"
# The verdict that one wants of each probe (`Recycling.cells`).
SOUND = {"kill": "recovers", "terminate": "finishes"}
READING = (
    "Above the line: requests answered per second; what had queued up and is answered at once may "
    "reach beyond the panel. Below it, black: requests lost to the signal; grey: other failures, "
    "such as requests sent when the server had been told to end."
)


@chart(
    "A worker killed, a server stopped",
    about="`kill -9` of one of the workers, and SIGTERM to the server while requests are in flight.",
)
def probes(study: Study) -> Figure | None:
    """A row for each configuration, a column for each probe; first repeats only. None without probes."""
    if study.recycling is None:
        return None
    chosen = _first(study.recycling.cells, KINDS)
    kinds = {name: told for name, told in KINDS.items() if (chosen["treatment"] == name).any()}
    return _drawn(study, chosen, kinds, "treatment", _title) if len(chosen) else None


@chart(
    "A deploy under load",
    about="In the midst of the load the app gets a new release, and the server is told to take it up.",
)
def deploys(study: Study) -> Figure | None:
    """A row for each configuration, a column for each scenario; first repeats only. None without deploys."""
    if study.recycling is None:
        return None
    chosen = _first(study.recycling.cells, ["deploy"])
    if chosen.empty or study.deploys is None:
        return None
    chosen = chosen[chosen["workers"] == chosen["workers"].max()]
    named = {name: str(name) for name in dict.fromkeys(chosen["scenario"])}
    finding = study.deploys.finding
    return _drawn(study, chosen, named, "scenario", lambda _: finding)


def _first(cells: pd.DataFrame, treatments: Collection[str]) -> pd.DataFrame:
    """The first repeats of some probes."""
    chosen: pd.DataFrame = cells[cells["treatment"].isin(list(treatments))]
    first: pd.DataFrame = chosen[chosen["repeat"] == chosen["repeat"].min()]
    return first


def _drawn(
    study: Study,
    chosen: pd.DataFrame,
    kinds: Mapping[str, str],
    by: str,
    title: Callable[[pd.DataFrame], str],
) -> Figure:
    """A panel for each configuration and kind of cell, which `by` is the column of."""
    looks = style.looks(study.results.configurations)
    names = [name for name in looks if (chosen["configuration"] == name).any()]
    places = [(name, kind) for name in names for kind in kinds]
    size = 9.5 if len(kinds) < 3 else 8.0
    with style.styled():
        figure, axes = style.panels(len(places), height=1.35, columns=len(kinds))
        for place, (axis,) in enumerate(axes):
            name, kind = places[place]
            one = chosen[(chosen["configuration"] == name) & (chosen[by] == kind)]
            told = f"{name}: {_outcome(one.iloc[0])}" if len(one) else name
            axis.set_title(f"{kinds[kind]}\n{told}" if place < len(kinds) else told, fontsize=size)
            if place >= len(kinds) * (len(names) - 1):
                axis.set_xlabel("seconds since the signal")
            if one.empty:
                axis.set_axis_off()
                axis.text(0, 0.5, "not measured", transform=axis.transAxes, fontsize=9, color=style.FAINT)
            else:
                _panel(axis, study, one.iloc[0], looks[name])
        return style.finish(figure, title(chosen), READING, style.footer(study.results))


def _panel(axis: Axes, study: Study, judged: pd.Series, look: style.Look) -> None:
    assert study.recycling is not None  # there are panels only of runs of recycling
    number: Any = judged.name
    cell = study.results.cells.loc[number]
    losses = study.recycling.losses
    since = answered(study.results.trace, number) - cell["probe_time"]
    lost = losses[losses["cell"] == number]
    when = lost["time"] - cell["probe_time"]
    until = float(cell["window_end"] - cell["probe_time"])
    rate = float(cell["rate_per_s"])
    width = max(BIN_S, REQUESTS / rate)
    # The signal is where two bars meet.
    edges = np.concatenate([-np.arange(width, BEFORE_S, width)[::-1], np.arange(0, until, width)])
    blamed = lost["in_probe"].astype(bool)
    above, below, beside = (
        np.histogram(one, edges)[0] / width for one in (since, when[blamed], when[~blamed])
    )
    axis.stairs(above, edges, fill=True, color=look.colour)
    axis.stairs(-below, edges, fill=True, color=style.INK)
    axis.stairs(-below - beside, edges, baseline=-below, fill=True, color=UNANSWERED)
    axis.axhline(0, color=style.FAINT, linewidth=0.7)
    axis.axvline(0, color=style.INK, linestyle=":", linewidth=1.2)
    deepest = min((below + beside).max(initial=0), MOST * rate)
    axis.set_ylim(-1.1 * max(deepest, 0.4 * rate), 1.1 * min(max(above.max(initial=0), rate), MOST * rate))
    axis.set_xlim(-BEFORE_S, until)
    axis.yaxis.set_major_locator(ticker.MaxNLocator(3, integer=True))
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{abs(value):,.0f}"))
    axis.set_ylabel("requests/s", fontsize=8)


def _outcome(judged: pd.Series) -> str:
    return f"{judged['verdict']}, {int(judged['lost']):,} lost"


def _title(chosen: pd.DataFrame) -> str:
    """Who comes through both probes, and how many do not."""
    sound = chosen["verdict"] == chosen["treatment"].map(SOUND)
    by_name = sound.groupby(chosen["configuration"], observed=True, sort=False).all()
    passed, failed = list(by_name.index[by_name]), list(by_name.index[~by_name])
    if not failed:
        return "Every server replaces a worker that is killed, and finishes its requests before it stops."
    if not passed:
        return "No server both replaces a worker that is killed and finishes its requests before it stops."
    one = len(passed) == 1
    does = "does" if len(failed) == 1 else "do"
    return (
        f"{listed(passed)} replace{'s' * one} a worker that is killed, and finish{'es' * one} "
        f"{'its' if one else 'their'} requests before stopping; {listed(failed)} {does} not do both."
    )
