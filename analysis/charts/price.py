"""What recycling costs at each N: curves from one N that was measured, and all that were measured."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.registry import chart
from analysis.recycling.price import GRID, PriceOfN, computed
from analysis.study import Study
from analysis.words import counted, figures

# What the title tells of: an N in the middle.
TOLD = 10_000
# Where curves are computed.
REQUESTS = np.geomspace(GRID[0], GRID[-1], 80)
READING = (
    "Lower is better. Throughput is that of a saturated server. Curves: computed from the smallest N at "
    "which what queues during a replacement is worked off before the next (filled mark); band: its 95 % "
    "interval. Hollow marks: other N that were measured; a curve that meets them holds. Marks stand where "
    "workers ended in fact, beyond N."
)
_PANELS: dict[str, Callable[[PriceOfN, float], float]] = {
    "throughput lost (%)": lambda price, n: 100 * price.throughput_share(n).mean,
    "added to the p99 (ms)": lambda price, n: price.p99_added_ms(n),
    "requests lost of a million": lambda price, n: price.lost_per_million(n).mean,
}


@chart(
    "What recycling costs",
    heading="What each N costs",
    about="A replacement costs the same at each N, so that a larger N costs less in proportion.",
    caption="what each N costs",
)
def price_of_n(study: Study) -> dict[str, Figure]:
    """What each N costs under each load, by the figure's name: `price_of_n_<scenario>_w<workers>`."""
    places = dict.fromkeys((each.scenario, each.workers) for each in study.prices)
    return {
        f"price_of_n_{scenario}_w{workers}": _figure(
            study, [each for each in study.prices if (each.scenario, each.workers) == (scenario, workers)]
        )
        for scenario, workers in places
    }


def _figure(study: Study, prices: Sequence[PriceOfN]) -> Figure:
    looks = style.looks(study.results.configurations)
    first, bases = prices[0], computed(prices)
    shown = {name: look for name, look in looks.items() if any(each.configuration == name for each in prices)}
    with style.styled():
        figure, axes = style.panels(len(_PANELS), height=3.6, columns=len(_PANELS))
        for (axis,), (what, value) in zip(axes, _PANELS.items(), strict=True):
            for each in prices:
                _mark(axis, each, value, looks[each.configuration], hollow=each not in bases)
            for each in bases:
                _curve(axis, each, value, looks[each.configuration])
            axis.set_title(what, fontsize=10)
            axis.set_xlabel("requests that a worker serves")
            _scale(axis)
        _band(axes[0][0], bases, looks)
        place = f"{first.scenario}, {counted(first.workers, 'worker')}, {figures(first.rate_per_s)}/s"
        return style.finish(figure, _title(bases), f"{place}. {READING}", style.footer(study.results), shown)


def _curve(axis: Axes, price: PriceOfN, value: Callable[[PriceOfN, float], float], look: style.Look) -> None:
    axis.plot(REQUESTS, [value(price, each) for each in REQUESTS], color=look.colour, linestyle=look.line)


def _scale(axis: Axes) -> None:
    """Logarithmic scales; the upright one has a place for nothing: no request lost, a p99 that stays."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(ticker.FixedLocator([GRID[0], 10 * GRID[0], 100 * GRID[0]]))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.xaxis.set_major_formatter(style.thousands)
    axis.set_yscale("symlog", linthresh=1, linscale=0.4)
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_ylim(bottom=0)


def _mark(
    axis: Axes, price: PriceOfN, value: Callable[[PriceOfN, float], float], look: style.Look, *, hollow: bool
) -> None:
    axis.plot(
        [price.per_life], [value(price, price.per_life)], linestyle="none", zorder=3,
        **look.dots(hollow=hollow),
    )  # fmt: skip


def _band(axis: Axes, prices: Sequence[PriceOfN], looks: dict[str, style.Look]) -> None:
    """The interval of what is lost of the throughput."""
    for each in prices:
        shares = [each.throughput_share(n) for n in REQUESTS]
        if not np.isnan(shares[0].low):
            low, high = ([100 * getattr(share, end) for share in shares] for end in ("low", "high"))
            axis.fill_between(REQUESTS, low, high, color=looks[each.configuration].colour, alpha=0.15)


def _title(prices: Sequence[PriceOfN]) -> str:
    """Which configurations lose the least and the most of their throughput at N in the middle."""
    shares = sorted((each.throughput_share(TOLD).mean, each.configuration) for each in prices)
    least, most = (f"{figures(100 * share)} % with {name}" for share, name in (shares[0], shares[-1]))
    costs = least if len(shares) == 1 else f"from {least} to {most}"
    return f"At N = {TOLD:,} replacing workers costs a saturated server {costs} of its throughput."
