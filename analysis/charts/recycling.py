"""What recycling costs, how exactly it keeps to N, and what a server does when one of its workers is killed.

Filled marks are of keep-alive connections, hollow ones of a connection per request.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import style
from analysis.charts.drawing.naming import base, is_leak
from analysis.charts.registry import chart
from analysis.study import Study
from analysis.words import counted, duration, figures, listed

KINDS = "Filled: keep-alive. Hollow: a connection per request."
# How far the marks of a configuration lie beside its middle, for the two kinds of connection or of workers.
APART = 0.2
# Losses per 1000 replacements below this are drawn on a linear axis, so that 0 has a place.
LINEAR = 100


@chart("What recycling costs", lead=3, caption="what recycling costs")
def prices(study: Study) -> dict[str, Figure]:
    """What recycling costs under each scenario, by the figure's name in the report: `price_<scenario>`."""
    if study.recycling is None:
        return {}
    judged = study.recycling.cells
    chosen = judged[judged["treatment"].isin(["control", "recycled"]) & ~judged["scenario"].map(is_leak)]
    recycled = chosen.loc[chosen["treatment"] == "recycled", "scenario"]
    planned = list(study.results.run.plan.get("scenarios", []))
    names = sorted(
        set(recycled), key=lambda name: (planned.index(name) if name in planned else len(planned), name)
    )
    return {
        f"price_{name}": _price(study, chosen[chosen["scenario"].map(base) == name], name)
        for name in dict.fromkeys(map(base, names))
    }


def _price(study: Study, cells: pd.DataFrame, scenario: str) -> Figure:
    """Losses and the longest stall of every configuration, a row of panels for each number of workers."""
    looks = style.looks(study.results.configurations)
    recycled = cells[cells["treatment"] == "recycled"]
    names = [name for name in looks if (recycled["configuration"] == name).any()]
    counts = sorted({int(workers) for workers in recycled["workers"]})
    with style.styled():
        figure, axes = style.panels(len(counts) * 2, height=1.0 + 0.42 * len(names), columns=2)
        for (axis,), (workers, metric) in zip(axes, product(counts, _METRICS), strict=True):
            chosen = cells[cells["workers"] == workers]
            for _, cell in chosen[chosen["configuration"].isin(names)].iterrows():
                middle = names.index(cell["configuration"]) + (-APART if cell["keep_alive"] else APART)
                _METRICS[metric](axis, cell, middle, looks[cell["configuration"]])
        for place, ((axis,), (workers, metric)) in enumerate(
            zip(axes, product(counts, _METRICS), strict=True)
        ):
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.set_yticks(range(len(names)), names if place % 2 == 0 else [])
            axis.grid(visible=False, axis="y")
            axis.set(title=f"{scenario}, {counted(workers, 'worker')}", xlabel=metric)
            _scale(axis, [each[0] for each in axes[place % 2 :: 2]], lost=place % 2 == 0)
        reading = (
            f"Left is better. {KINDS} Bars: 95 % interval over replacements; where none was lost, up to what "
            "the rate may still be. Faint strokes, at the right: without recycling."
        )
        return style.finish(figure, _price_title(recycled, scenario), reading, style.footer(study.results))


def _lost(axis: Axes, cell: pd.Series, place: float, look: style.Look) -> None:
    if cell["treatment"] == "control":
        return
    if np.isnan(cell["per_1000"]):
        axis.annotate(
            f"{cell['verdict']}, {int(cell['lost']):,} lost", (0, place), (4, 0), va="center",
            textcoords="offset points", fontsize=8, color=style.FAINT,
        )  # fmt: skip
        return
    value, low, high = cell["per_1000"], cell["per_1000_low"], cell["per_1000_high"]
    bars = None if np.isnan(high) else [[value - low], [high - value]]
    axis.errorbar([value], [place], xerr=bars, capsize=2.5, elinewidth=1, **_dots(cell, look))
    text = "0" if value == 0 else figures(value)
    if value == 0 and not np.isnan(high):
        text = f"0 (at most {figures(high)})"
    if cell["verdict"] != "recycles":
        text += f", {cell['verdict']}"
    _beside(axis, text, value if np.isnan(high) else high, place)


def _stall(axis: Axes, cell: pd.Series, place: float, look: style.Look) -> None:
    if np.isnan(cell["gap_s"]):
        return
    if cell["treatment"] == "control":
        axis.plot(
            [cell["gap_s"]], [place], marker="|", markersize=11, markeredgewidth=2.2, color=look.colour,
            alpha=0.45, linestyle="none",
        )  # fmt: skip
        return
    axis.plot([cell["gap_s"]], [place], linestyle="none", **_dots(cell, look))
    _beside(axis, duration(cell["gap_s"]), cell["gap_s"], place)


_METRICS = {"requests lost per 1,000 replacements": _lost, "longest time without an answer (s, log)": _stall}


def _dots(cell: pd.Series, look: style.Look) -> dict[str, Any]:
    return look.dots(hollow=not cell["keep_alive"]) | {"markersize": 6}


def _beside(axis: Axes, text: str, x: float, y: float) -> None:
    axis.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=8)


def _scale(axis: Axes, alike: list[Axes], *, lost: bool) -> None:
    """The scale of a panel of losses, or of stalls, the same in all that are `alike`; numbers have room."""
    ends = np.array([each.dataLim.intervalx for each in alike if np.isfinite(each.dataLim.intervalx).all()])
    low, high = (ends[:, 0].min(), ends[:, 1].max()) if len(ends) else (np.nan, np.nan)
    if lost:
        axis.set_xscale("symlog", linthresh=LINEAR, linscale=1)
        axis.set_xlim(-6, max(LINEAR * 10, high * 30) if np.isfinite(high) else LINEAR * 10)
        axis.xaxis.set_major_locator(ticker.SymmetricalLogLocator(base=10, linthresh=LINEAR))
        axis.xaxis.set_major_formatter(ticker.EngFormatter(sep=""))
        return
    axis.set_xscale("log")
    if np.isfinite([low, high]).all():
        axis.set_xlim(low / 1.6, high * 4)
    axis.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(ticker.NullLocator())


def _price_title(recycled: pd.DataFrame, scenario: str) -> str:
    """Who lost nothing and who most, over all cells of the scenario that recycled."""
    sound = recycled[(recycled["verdict"] == "recycles") & (recycled["replaced"] > 0)]
    if sound.empty:
        return f"No configuration recycled its workers under {scenario}."
    pooled = sound.groupby("configuration", observed=True, sort=False)[["lost", "replaced"]].sum()
    free = [str(name) for name in pooled.index[pooled["lost"] == 0]]
    rate = (1000 * pooled["lost"] / pooled["replaced"]).sort_values()
    worst = f"{rate.index[-1]} {figures(rate.iloc[-1])} per 1,000 replacements"
    if rate.iloc[-1] == 0:
        return f"Under {scenario} no configuration that recycles lost a request."
    if free:
        return f"Under {scenario} {listed(free)} lost no request by recycling, {worst}."
    if len(rate) == 1:
        return f"Under {scenario} recycling cost {worst}."
    return f"Under {scenario} recycling cost {rate.index[0]} {figures(rate.iloc[0])} requests, {worst}."


@chart(
    "How many requests a worker serves",
    about="Beyond N a worker serves its jitter, what it answers while its successor starts, and what comes "
    "in until the server looks at its count again.",
)
def requests_per_life(study: Study) -> Figure | None:
    """How many requests each worker served, against N; None where no worker lived and died by N."""
    if study.recycling is None:
        return None
    asked = ["max_requests", "max_requests_jitter"]
    lives = study.recycling.lives.join(study.results.cells[asked].astype(float), on="cell")
    lives = lives[lives["whole"] & lives["max_requests"].notna() & (lives["treatment"] == "recycled")]
    if lives.empty:
        return None
    looks = style.looks(study.results.configurations)
    names = [name for name in looks if (lives["configuration"] == name).any()]
    planned = list(study.results.run.plan.get("scenarios", []))
    scenarios = sorted(
        set(lives["scenario"]), key=lambda name: planned.index(name) if name in planned else 99
    )
    counts = sorted({int(workers) for workers in lives["workers"]})
    with style.styled():
        figure, axes = style.panels(len(scenarios), height=1.0 + 0.36 * len(names), columns=2)
        for place, ((axis,), scenario) in enumerate(zip(axes, scenarios, strict=True)):
            chosen = lives[lives["scenario"] == scenario]
            for (name, workers), one in chosen.groupby(["configuration", "workers"], observed=True):
                shift = (
                    (counts.index(int(workers)) - (len(counts) - 1) / 2) * 2 * APART / max(1, len(counts) - 1)
                )
                _strip(axis, one, names.index(name) + shift, looks[name], hollow=workers != counts[0])
            _bounds(axis, chosen)
            axis.set_ylim(len(names) - 0.4, -0.6)
            axis.set_yticks(range(len(names)), names if place % 2 == 0 else [])
            axis.grid(visible=False, axis="y")
            axis.set(title=scenario, xlabel="requests of a worker's life (log)")
        reading = (
            "A mark is a worker that lived and died in the cell. Dotted: N, and N with all of its jitter."
        )
        if len(counts) > 1:
            more = listed([str(count) for count in counts[1:]])
            reading += f" Filled: {counted(counts[0], 'worker')}. Hollow: {more} workers."
        return style.finish(figure, _life_title(lives, scenarios[0]), reading, style.footer(study.results))


def _strip(axis: Axes, lives: pd.DataFrame, place: float, look: style.Look, *, hollow: bool) -> None:
    # Moved apart by their order, the same in each drawing.
    spread = place + 0.12 * np.sin(np.arange(len(lives)) * 2.4)
    dots = look.dots(hollow=hollow) | {"markersize": 4, "markeredgewidth": 0.9, "alpha": 0.7}
    axis.plot(np.maximum(lives["served"], 0.8), spread, linestyle="none", **dots)


def _bounds(axis: Axes, lives: pd.DataFrame) -> None:
    n, jitter = float(lives["max_requests"].max()), float(lives["max_requests_jitter"].max())
    for bound in (n, n + (0 if np.isnan(jitter) else jitter)):
        axis.axvline(bound, color=style.FAINT, linestyle=":", linewidth=1.2)
    low, high = (
        min(n / 1.5, lives["served"].clip(lower=0.8).min() / 1.2),
        max(n * 2, lives["served"].max() * 1.3),
    )
    axis.set_xlim(low, high)
    style.logarithmic_counts(axis)
    axis.annotate(
        f"N = {n:,.0f}", (n, 1), (-3, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
        ha="right", va="top", fontsize=8, color=style.FAINT,
    )  # fmt: skip


def _life_title(lives: pd.DataFrame, scenario: str) -> str:
    """The medians that are lowest and highest under the first scenario; a life below N is no recycling."""
    chosen = lives[lives["scenario"] == scenario]
    medians = chosen.groupby("configuration", observed=True)["served"].median().sort_values()
    first, last, n = medians.index[0], medians.index[-1], chosen["max_requests"].iloc[0]
    told = f"Told to restart after {n:,.0f} requests, a worker of {first} served {figures(medians.iloc[0])}"
    others = f", one of {last} {figures(medians.iloc[-1])}" if len(medians) > 1 else ""
    return f"{told}{others} (medians under {scenario})."
