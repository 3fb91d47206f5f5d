"""The generator's ceiling in the charts of throughput: what it reaches against a server that does nothing."""

from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes

from analysis.charts.drawing import style
from analysis.words import figures

LABEL = "generator's ceiling"
READING = "Generator's ceiling (dashed): what the same users reach against a server that does nothing."
# A ceiling further out than this many times the end of the data would squash them: it is told at the edge.
REACH = 1.6


def draw(axis: Axes, loads: pd.DataFrame, which: Literal["x", "y"], by: str | None = None) -> None:
    """Draw the ceiling of some `loads` across `which` axis; call it when all else is drawn.

    With `by` the ceiling is a line through that column, since it differs from load to load; without, it is
    that of the load with the most users. Nothing is drawn where no ceiling is known.
    """
    known = loads[loads["ceiling"].notna()].sort_values("users")
    if known.empty:
        return
    shown = known if by else known.tail(1)
    bound = "≥ " if shown["ceiling_at_least"].any() else ""
    low, high = shown["ceiling"].min(), shown["ceiling"].max()
    text = f"{LABEL} {bound}{figures(low)}" + (f" to {figures(high)}" if high > low * 1.01 else "")
    end = (axis.get_xlim if which == "x" else axis.get_ylim)()[1]
    if low > REACH * end:
        _at_the_edge(axis, which, text)
        return
    look: dict[str, Any] = {"color": style.FAINT, "linestyle": (0, (5, 3)), "linewidth": 1.2, "zorder": 1.5}
    if by:
        points = shown.drop_duplicates(by).sort_values(by)
        axis.plot(points[by], points["ceiling"], **look)
    elif which == "x":
        axis.axvline(high, **look)
    else:
        axis.axhline(high, **look)
    if which == "x":
        axis.set_xlim(right=max(end, high * 1.04))
        axis.annotate(
            text, (high, 1), (-4, -3), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="right", va="top", fontsize=8.5, color=style.FAINT,
        )  # fmt: skip
    else:
        axis.set_ylim(top=max(end, high * 1.12))
        axis.annotate(
            text, (0.02, low), (0, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="bottom", fontsize=8.5, color=style.FAINT,
        )  # fmt: skip


def _at_the_edge(axis: Axes, which: Literal["x", "y"], text: str) -> None:
    """Say where the ceiling is that lies beyond the axis."""
    if which == "x":
        axis.set_xlabel(f"{axis.get_xlabel()}\n{text} →")
        return
    low, high = axis.get_ylim()
    axis.set_ylim(low, low + (high - low) * 1.12)
    axis.text(0.02, 0.98, f"{text} ↑", transform=axis.transAxes, va="top", fontsize=8.5, color=style.FAINT)
