"""What clients lose when workers are replaced: behind the run's proxy, and past it."""

import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.recycling import LINEAR
from analysis.charts.registry import chart
from analysis.proxy.losses import per_1000
from analysis.recycling.requests import DIRECT
from analysis.study import Study
from analysis.words import figures


@chart(
    "What recycling costs", heading="Behind the proxy and past it", caption="what clients lose behind a proxy"
)
def behind_proxy(study: Study) -> Figure | None:
    """Losses of each configuration on both ways, a panel for each method; None without a proxy."""
    if study.proxied is None or not study.proxied.rows:
        return None
    kind = study.proxied.kind
    found = per_1000(study.proxied.counts, ["method", "configuration", "proxy"])
    looks = style.looks(study.results.configurations)
    names = [name for name in looks if name in found.index.unique("configuration")]
    methods = list(found.index.unique("method"))
    told = {(method, name) for method, name, _ in found.index}
    with style.styled():
        figure, axes = style.panels(len(methods), height=1.0 + 0.42 * len(names), columns=2)
        for place, ((axis,), method) in enumerate(zip(axes, methods, strict=True)):
            for row, name in enumerate(names):
                if (method, name) in told:
                    _ways(axis, found.loc[(method, name)], row, looks[name], kind)
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.set_yticks(range(len(names)), names if place == 0 else [])
            axis.grid(visible=False, axis="y")
            axis.set(title=method, xlabel="requests lost per 1,000 replacements")
            _scale(axis, float(found["lost"].max()))
        reading = (
            f"Left is better. Filled: clients behind {kind}, with how many handlers ran twice. Hollow: those "
            "that go to the server itself. All scenarios of a method together."
        )
        return style.finish(figure, study.proxied.finding, reading, style.footer(study.results))


def _ways(axis: Axes, ways: pd.DataFrame, row: int, look: style.Look, kind: str) -> None:
    """The marks of one configuration, with a line between them."""
    lost = ways["lost"]
    axis.plot(lost, [row] * len(lost), color=look.colour, linewidth=1, alpha=0.5)
    for way in (DIRECT, kind):
        if way in lost.index:
            axis.plot([lost[way]], [row], linestyle="none", **look.dots(hollow=way == DIRECT))
    if kind in lost.index:
        twice = float(ways["ran_twice"][kind])
        text = figures(lost[kind]) + (f", {figures(twice)} ran twice" if twice else "")
        axis.annotate(text, (lost[kind], row), (0, 7), textcoords="offset points", ha="center", fontsize=8)


def _scale(axis: Axes, most: float) -> None:
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=1)
    axis.set_xlim(-12, max(LINEAR * 10, most * 3))
    axis.xaxis.set_major_locator(ticker.SymmetricalLogLocator(base=10, linthresh=LINEAR))
    axis.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
