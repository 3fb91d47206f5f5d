"""The chart of all rankings of a run beside each other."""

import textwrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.charts.drawing import style
from analysis.charts.registry import chart
from analysis.rankings.overview import Overview, overview
from analysis.rankings.ranking import Ranking
from analysis.study import Study
from analysis.words import MISSING, counted, with_workers

# Inches: of a row, and of what stands above the rows of a panel.
ROW, HEAD = 0.3, 1.25
# From here on the colour is so dark that figures on it are white.
DARK = 0.6
READING = (
    "Figures: share of the best of the column; 0.50 is half as many requests per second or, where not every "
    "server was saturated, per second of CPU time (“per CPU”). Framed: rank 1; the repeats do not tell apart "
    f"who shares it. {MISSING}: not ranked. Rows: by the mean of all columns."
)


@chart(
    "All rankings beside each other",
    about="Drawn for runs that have more rankings than one compares table by table.",
    lead=1,
    caption="all rankings beside each other",
)
def rankings(study: Study) -> Figure | None:
    """What share of the best each configuration reaches in each ranking; None where there are few."""
    glance = overview(study.verdict.tables)
    if glance is None:
        return None
    panels = glance.panels()
    with style.styled():
        figure, axes = style.stacked([HEAD + ROW * len(glance.shares)] * len(panels))
        for axis, places in zip(axes, panels, strict=True):
            _panel(axis, glance, places)
            _names(axis, glance, style.looks(study.results.configurations))
        return style.finish(figure, glance.finding, READING, style.footer(study.results))


def _panel(axis: Axes, glance: Overview, places: list[int]) -> None:
    """The rankings with one number of workers."""
    shares, ranks = glance.shares[places].to_numpy(), glance.ranks[places].to_numpy(dtype=float)
    shades = np.ma.masked_invalid(shares)
    axis.pcolormesh(shades, cmap=_shades(), vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for (row, column), share in np.ndenumerate(shares):
        text, leads = MISSING if np.isnan(share) else f"{share:.2f}", ranks[row, column] == 1
        axis.text(
            column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9,
            color="white" if share > DARK else style.INK, fontweight="bold" if leads else "normal",
        )  # fmt: skip
        if leads:
            frame = Rectangle((column + 0.04, row + 0.06), 0.92, 0.88, fill=False, linewidth=1.8)
            frame.set_edgecolor(style.INK)
            axis.add_patch(frame)
    tables = [glance.tables[place] for place in places]
    axis.set_title(with_workers(tables[0].workers))
    axis.set_xticks(np.arange(len(tables)) + 0.5, [_head(table) for table in tables], fontsize=8.5)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.invert_yaxis()
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _names(axis: Axes, glance: Overview, looks: dict[str, style.Look]) -> None:
    """The names of the rows, each with the marker that it has in all other charts."""
    names = [str(name) for name in glance.shares.index]
    places = np.arange(len(names)) + 0.5
    axis.set_yticks(places, names)
    axis.tick_params(axis="y", pad=16)
    across = axis.get_yaxis_transform()
    for name, place in zip(names, places, strict=True):
        axis.plot([-0.012], [place], transform=across, clip_on=False, linestyle="", **looks[name].dots())


def _head(table: Ranking) -> str:
    scenario = textwrap.fill(table.scenario, 10)
    by = "" if table.metric == "throughput" else "\nper CPU"
    return f"{scenario}\n{counted(table.users, 'user')}{by}"


def _shades() -> LinearSegmentedColormap:
    """Blues, without the end in which frames and figures would drown."""
    return LinearSegmentedColormap.from_list("shares", mpl.colormaps["Blues"](np.linspace(0.04, 0.86, 64)))
