"""The chart of what each setting is worth: ratios to the parent, a row for each setting."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.registry import chart
from analysis.settings import MEASURES, Judged, Measure, Setting, Settings
from analysis.settings.model import times_alone
from analysis.study import Study
from analysis.words import counted
from bench.stats.comparison import MATERIAL

# Inches: of a row, and of what stands above and below the rows.
ROW, HEAD = 0.27, 0.95
# Rows between two servers.
GAP = 0.7
# What an axis shows at least, and at most, to either side of 1: further away an arrow points.
NARROW, WIDE = 1.12, 4.5
_WIDTH = 10  # of a head, in characters
_TICKS = (1.1, 1.2, 1.5, 2.0, 4.0)
READING = (
    "1: the server without that setting. Bars: 95\N{NO-BREAK SPACE}% interval, compared within each sitting "
    f"or repeat. Grey: no difference, within {MATERIAL - 1:.0%}. Filled: what the setting is expected to "
    "change. Settings that are worth it come first."
)
SECTION: Final = "What each setting is worth"
# Of the first chart: how many times as good, or as bad, its axis shows; a row has a name and a figure, and as
# many servers stand abreast.
BEST, WORST = 4.0, 32.0
_TIMES = {1 / 16: "1/16", 1 / 4: "1/4", 1.0: "1", 4.0: "4"}
ROW_OF_TWO, ABREAST = 0.37, 3


@chart(
    SECTION,
    heading="What is worth it, and what costs",
    about="Each setting alone, beside the same server without it, in the measure that decides what it is "
    "worth.",
    lead=0,
    caption="what each setting is worth",
)
def settings_decided(study: Study) -> Figure | None:
    """What is worth it and what costs in a run that is about settings, server by server; None of others."""
    found = study.settings
    decided = {name: [each for each in found.of(name) if _is_decided(each)] for name in found.parents}
    if not found.alone or not any(decided.values()):
        return None
    looks = style.looks(study.results.configurations)
    rows = max(map(len, decided.values()))
    with style.styled():
        height = HEAD + ROW_OF_TWO * rows
        figure, axes = style.panels(len(decided), height=height, columns=ABREAST)
        for (axis,), (parent, judged) in zip(axes, decided.items(), strict=True):
            _server(axis, parent, judged, rows, looks)
        left = len(found.judged) - sum(map(len, decided.values()))
        reading = (
            "1: the server without that setting. To the right of it the setting is better, in the measure "
            "that is named, to the left worse. Bars: 95\N{NO-BREAK SPACE}% interval."
        )
        reading += f" Not here: {counted(left, 'setting')} of which neither is shown." if left else ""
        return style.finish(figure, found.finding, reading, style.footer(study.results))


def _is_decided(judged: Judged) -> bool:
    return judged.fate in ("worth it", "costs")


def _server(
    axis: Axes, parent: str, judged: Sequence[Judged], rows: int, looks: dict[str, style.Look]
) -> None:
    """The panel of a server: how many times as good each setting makes it, and in what."""
    axis.set_title(parent)
    _scale(axis, 1 / WORST, BEST)
    axis.set_xticks(list(_TIMES), list(_TIMES.values()), minor=False)
    axis.set_xlabel("times as good", fontsize=8.5)
    axis.set_ylim(rows - 0.4, -0.6)
    names = [f"{each.name.removeprefix(f'{parent}-')}\n{_told(each)}" for each in judged]
    axis.set_yticks(range(len(judged)), names, fontsize=8.5)
    for place, each in enumerate(judged):
        if (decisive := each.decisive) is not None:
            look = looks[each.name]
            _mark(axis, decisive.gains, place, look.dots(), bar=look.colour)
    if not judged:
        style.remark(axis, "none is shown to be worth it or to cost", (rows - 1) / 2)


def _told(judged: Judged) -> str:
    """What decides, with the ratio but not its interval, "p99 0.676x"; the lower bound of an infinite one."""
    if judged.decisive is None:
        return "does not serve"
    return f"{MEASURES[judged.decisive.measure].head} {times_alone(judged.decisive.ratio)}"


@chart(
    SECTION,
    heading="Every measure",
    about="Each setting alone, beside the same server without it: what the machine did to one of the two, it "
    "did to the other.",
    lead=1,
    caption="every measure of each setting",
)
def settings(study: Study) -> Figure | None:
    """All settings of a run that is about settings; None of others."""
    return _figure(study) if study.settings.alone else None


@chart(
    SECTION,
    heading="Connections",
    about="Clients whose connections pause around the keep-alive, bursts of new connections, and more "
    "connections than a limit takes: what these settings are there for.",
)
def connections(study: Study) -> Figure | None:
    """The settings of which a run knows what connections met; None where it knows that of none."""
    return _figure(study, of_connections=True)


@chart(SECTION, heading="Beside other configurations", about="Of runs that measured more than settings.")
def settings_beside(study: Study) -> Figure | None:
    """All settings of a run that is about more than settings; None of others, and where none was tried."""
    return None if study.settings.alone else _figure(study)


def _figure(study: Study, *, of_connections: bool = False) -> Figure | None:
    found = study.settings
    known = {each.measure for each in found.rows}
    measures = [
        measure
        for measure, about in MEASURES.items()
        if measure in known and about.of_connections == of_connections
    ]
    if not measures:
        return None
    looks = style.looks(study.results.configurations)
    judged = tuple(each for each in found.judged if not of_connections or _has(each, measures))
    places = _places(judged)
    with style.styled():
        rows = max(places.values()) + 1
        figure, axes = style.panels(len(measures), height=HEAD + ROW * rows, columns=len(measures))
        for number, ((axis,), measure) in enumerate(zip(axes, measures, strict=True)):
            _frame(axis, measure, found.rows)
            for each in judged:
                _row(axis, each, measure, places[each.name], looks[each.name])
            names = {place: name for name, place in places.items()} if number == 0 else {}
            axis.set_yticks(list(names), list(names.values()))
            axis.set_ylim(rows - 0.4, -0.6)
        fates = axes[-1][0]
        for each in judged:
            fates.text(
                1.06, places[each.name], each.fate, va="center", fontsize=8.5,
                transform=fates.get_yaxis_transform(),
            )  # fmt: skip
        finding = Settings(judged).finding if of_connections else found.finding
        return style.finish(figure, finding, READING, style.footer(study.results))


def _has(judged: Judged, measures: Sequence[Measure]) -> bool:
    return any(each.measure in measures for each in judged.measured)


def _places(judged: tuple[Judged, ...]) -> dict[str, float]:
    """Where the row of each setting is; servers stand apart."""
    places: dict[str, float] = {}
    at, before = 0.0, None
    for each in judged:
        at += GAP if before not in (None, each.parent) else 0.0
        places[each.name] = at
        at, before = at + 1, each.parent
    return places


def _frame(axis: Axes, measure: Measure, rows: tuple[Setting, ...]) -> None:
    """Scale and head of a panel, the line of the parent and the band of what makes no difference."""
    about = MEASURES[measure]
    reach = _reach([each for each in rows if each.measure == measure])
    _scale(axis, 1 / reach, reach)
    tick = max(each for each in _TICKS if each <= reach)
    axis.xaxis.set_major_locator(ticker.FixedLocator([1 / tick, 1.0, tick]))
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.tick_params(axis="x", labelsize=8.5)
    axis.set_title(_folded(about.head), fontsize=9)
    axis.set_xlabel("more is better" if about.more_is_better else "less is better", fontsize=8)


def _scale(axis: Axes, low: float, high: float) -> None:
    """A scale of ratios, with the line of the parent and the band of what makes no difference."""
    axis.set_xscale("log")
    axis.set_xlim(low, high)
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.axvspan(1 / MATERIAL, MATERIAL, color=style.GRID, zorder=0)
    axis.axvline(1, color=style.FAINT, linewidth=1, zorder=1)
    axis.grid(visible=False, axis="y")


def _folded(head: str) -> str:
    """A head in lines that are no wider than a panel, if need be."""
    return head if len(head) <= _WIDTH else textwrap.fill(head.replace("/", "/ "), _WIDTH).replace("/ ", "/")


def _reach(rows: list[Setting]) -> float:
    """How far from 1 an axis goes, so that ratios and what is finite of their intervals are seen."""
    ends = [end for each in rows for end in (each.ratio.ratio, each.ratio.low, each.ratio.high)]
    logs = [abs(math.log(end)) for end in ends if end > 0 and math.isfinite(end)]
    return min(WIDE, max(NARROW, math.exp(1.15 * max(logs, default=0.0))))


def _row(axis: Axes, judged: Judged, measure: Measure, place: float, look: style.Look) -> None:
    """A setting's ratio with its interval, an arrow where it lies beyond the axis; nothing if unknown."""
    found = [each for each in judged.measured if each.measure == measure]
    if not found or math.isnan(found[0].ratio.ratio):
        return
    (setting,) = found
    ratio = setting.ratio
    dots = look.dots(hollow=not setting.expected)
    _mark(axis, (ratio.ratio, ratio.low, ratio.high), place, dots, bar=look.colour)


def _mark(
    axis: Axes, at: tuple[float, float, float], place: float, dots: dict[str, Any], *, bar: str
) -> None:
    """A value with its interval in a row, an arrow where it lies beyond the axis."""
    value, *ends = at
    edges = axis.get_xlim()
    bounds = [end if math.isfinite(end) else edge for end, edge in zip(ends, edges, strict=True)]
    axis.hlines(
        place, *np.clip([value, value] if math.isnan(ends[0]) else bounds, *edges), color=bar, linewidth=1.6
    )
    seen = float(np.clip(value, *edges))
    beyond = {} if seen == value else {"marker": "<" if seen == edges[0] else ">"}
    axis.plot([seen], [place], linestyle="none", clip_on=False, **dots | {"markersize": 5.5} | beyond)
