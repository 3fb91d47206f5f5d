"""The chart of the answer: what each configuration serves beside the best, and how certainly."""

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.rotation import Control
from analysis.charts.drawing import style
from analysis.charts.registry import chart
from analysis.rankings.ranking import RankedRow, Ranking
from analysis.study import Study
from analysis.words import Value, figures
from bench.stats.comparison import MATERIAL

# Inches: of a row, and of what stands above and below the rows of a panel.
ROW, HEAD = 0.3, 1.0
# With a space that no line ends at.
INTERVAL = "95\N{NO-BREAK SPACE}% interval"
READING = (
    "The best is 1; 0.5 is half as many requests per second or, where not every server was saturated, per "
    "second of CPU time. Bars: "
    + INTERVAL
    + " of that pair, compared within each {unit}. Grey: too close to "
    "call it worse ({margin:.0%}). To the right the ratio, and what was served or used."
)
CONTROL = "Control: one server measured twice, beside itself."


@chart(
    "How much each configuration serves",
    heading="Beside the best",
    about="What a run makes precise is how two configurations compare: what the machine did to one of them, "
    "it did to the other. Requests per second belong to the machine and the hour.",
    lead=2,
    caption="what each configuration serves beside the best",
)
def ratios(study: Study) -> Figure | None:
    """The ratio of each configuration to the best of each ranking; None where nothing is ranked."""
    tables = [table for table in study.verdict.tables if table.leaders]
    if not tables:
        return None
    looks = style.looks(study.results.configurations)
    order = list(dict.fromkeys(row.configuration for table in tables for row in table.rows))
    rows = len(order) + max(len(table.controls) for table in tables)
    with style.styled():
        figure, axes = style.panels(len(tables), height=HEAD + ROW * rows, columns=2)
        for index, ((axis,), table) in enumerate(zip(axes, tables, strict=True)):
            for row in table.rows:
                _row(axis, table, row, order.index(row.configuration), looks[row.configuration])
            for place, control in enumerate(table.controls, len(order)):
                _control(axis, control, place)
            _frame(axis, table, [*order, *_controls(table)] if index % 2 == 0 else [], rows)
        unit = "sitting" if any(table.controls for table in tables) else "repeat"
        reading = READING.format(unit=unit, margin=MATERIAL - 1)
        if any(table.controls for table in tables):
            reading += f" {CONTROL}"
        return style.finish(figure, _title(study, tables), reading, style.footer(study.results))


def _title(study: Study, tables: list[Ranking]) -> str:
    """The finding of the run where it is one about speed, else that of the first ranking."""
    return study.verdict.finding if study.recycling is None else tables[0].finding


def _frame(axis: Axes, table: Ranking, names: list[str], rows: int) -> None:
    """Scales and names of a panel, the line of the best and the band of what ties with it."""
    what = "requests/s" if table.metric == "throughput" else "requests per CPU-second"
    axis.set(title=table.title, xlabel=f"{what}, over those of the best", ylim=(rows - 0.4, -0.6))
    axis.set_yticks(range(len(names)), names)
    axis.axvspan(1 / MATERIAL, MATERIAL, color=style.GRID, zorder=0)
    axis.axvline(1, color=style.FAINT, linewidth=1, zorder=1)
    if table.controls:
        axis.axhline(rows - len(table.controls) - 0.5, color=style.FAINT, linewidth=0.8, linestyle=":")
    axis.set_xlim(0, max(1.06, axis.get_xlim()[1]))
    axis.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axis.grid(visible=False, axis="y")


def _row(axis: Axes, table: Ranking, row: RankedRow, place: int, look: style.Look) -> None:
    """A configuration with its interval, or why it has none."""
    beside = _absolute(table, row)
    if row.ratio is None:
        style.remark(axis, row.notes[-1] if row.notes else "not ranked", place)
        _beside(axis, beside, place)
        return
    axis.hlines(place, 0, row.ratio.mean, color=look.colour, linewidth=1, alpha=0.35)
    axis.errorbar(
        [row.ratio.mean], [place], xerr=_bars(row.ratio), capsize=3, **look.dots() | {"markersize": 5.5}
    )
    _beside(axis, f"{row.ratio.text()} · {beside}", place)


def _control(axis: Axes, control: Control, place: int) -> None:
    versus = control.versus
    value = Value.of(versus)
    axis.errorbar(
        [value.mean], [place], xerr=_bars(value), capsize=3, color=style.FAINT, marker="o", markersize=5,
        markerfacecolor="white",
    )  # fmt: skip
    _beside(axis, value.text(), place)


def _controls(table: Ranking) -> list[str]:
    return [f"control: {control.original}" for control in table.controls]


def _absolute(table: Ranking, row: RankedRow) -> str:
    """What ranks, as it was measured; empty where it is unknown."""
    value, unit = (row.throughput, "/s") if table.metric == "throughput" else (row.cpu_us, " µs")
    if np.isnan(value.mean):
        return ""
    bound = "≥ " if table.metric == "throughput" and row.saturated is False else ""
    return f"{bound}{figures(value.mean)}{unit}"


def _beside(axis: Axes, text: str, place: int) -> None:
    """Words to the right of a row."""
    axis.text(1.01, place, text, va="center", fontsize=8.5, transform=axis.get_yaxis_transform())


def _bars(value: Value) -> list[list[float]] | None:
    """Distances from the ratio to both ends of its interval; None for the best itself, which has none."""
    if np.isnan(value.low):
        return None
    return [[value.mean - value.low], [value.high - value.mean]]
