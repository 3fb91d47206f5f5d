"""A soak as a picture: memory and the tail over its hours, with workers replaced and without."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.soak.judging import LaneVerdict
from analysis.soak.reading import Soak
from analysis.words import MIB, figures

NAME = "soak"
# Lines of workers that are replaced, and of those that are not, as in the other chart of memory.
_RECYCLED, _CONTROL = "-", "--"
# An interval that begins so many lengths after the one before it ended is behind a gap.
_GAP = 2.0


def figure(soak: Soak, verdicts: tuple[LaneVerdict, ...], title: str) -> Figure:
    """A panel for each configuration: memory above, p99 below."""
    looks = style.looks([each.name for each in soak.run.configurations])
    names = list(dict.fromkeys(each.lane.record.configuration for each in verdicts))
    begin = min(float(each.lane.intervals["start"].min()) for each in verdicts if len(each.lane.intervals))
    known = [each.memory.most for each in verdicts if not np.isnan(each.memory.most)]
    most = max(known, default=MIB) / MIB
    with style.styled():
        drawn, axes = style.panels(len(names), rows=2, height=2.1)
        for (above, below), name in zip(axes, names, strict=True):
            for verdict in verdicts:
                if verdict.lane.record.configuration == name and len(verdict.lane.intervals):
                    _memory(above, verdict, begin, looks[name])
                    _tail(below, verdict, begin, looks[name])
            above.set_title(name)
            above.set(ylabel="memory (MiB)", ylim=(0, 1.08 * most), xlim=(0, None))
            above.yaxis.set_major_formatter(style.thousands)
            if soak.allowance_bytes is not None:
                above.axhline(soak.allowance_bytes / MIB, color=style.FAINT, linestyle=":", linewidth=1.2)
            below.set(xlabel="hours", ylabel="p99 (ms)", xlim=(0, None))
            style.from_zero(below, "y")
        return style.finish(drawn, title, _reading(soak), style.source(soak.run))


def _reading(soak: Soak) -> str:
    told = (
        "Memory (PSS) of all processes of a server, the most of each interval, and the p99 from the "
        "schedule: with workers replaced (solid) and without (dashed)."
    )
    if soak.allowance_bytes is not None:
        told += f" Dotted: what it may take, {figures(soak.allowance_bytes / MIB)} MiB."
    return f"{told} Lines are broken where nothing was loaded."


def _memory(axis: Axes, verdict: LaneVerdict, begin: float, look: style.Look) -> None:
    kept = verdict.lane.intervals
    _line(axis, kept, kept["memory_most_bytes"] / MIB, begin, look, verdict)


def _line(
    axis: Axes, kept: pd.DataFrame, values: pd.Series, begin: float, look: style.Look, verdict: LaneVerdict
) -> None:
    """Values of intervals as a line that is broken at gaps."""
    middle = (kept["start"] + kept["span_s"] / 2 - begin).to_numpy(dtype=float) / 3600
    ends = (kept["start"] + kept["span_s"]).to_numpy(dtype=float)
    behind = (
        np.flatnonzero(kept["start"].to_numpy()[1:] - ends[:-1] > _GAP * kept["span_s"].to_numpy()[:-1]) + 1
    )
    axis.plot(
        np.insert(middle, behind, np.nan),
        np.insert(values.to_numpy(dtype=float), behind, np.nan),
        linestyle=_RECYCLED if verdict.lane.record.recycles else _CONTROL,
        color=look.colour,
        linewidth=1.3,
    )


def _tail(axis: Axes, verdict: LaneVerdict, begin: float, look: style.Look) -> None:
    bins = verdict.series.bins
    kept = verdict.lane.intervals
    loaded = kept[kept["loaded_s"] > 0]
    if loaded.empty:
        return
    first = float(loaded["start"].iloc[0] - begin) / 3600
    for _, part in bins.groupby("leg"):
        axis.plot(
            part["hours"] + first,
            part["p99"],
            linestyle=_RECYCLED if verdict.lane.record.recycles else _CONTROL,
            color=look.colour,
            linewidth=1.1,
        )
