"""The charts of open loops: latency against the rate of arrivals, and what a closed view of it would hide."""

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.cells.capacity import last_attempts
from analysis.cells.summary import OPEN_LOAD, aggregate
from analysis.charts.closed_loop import marked, marked_reading
from analysis.charts.drawing import style
from analysis.charts.registry import chart
from analysis.findings.open_loop import REACHED
from analysis.rankings.rates import LADDER
from analysis.study import Study
from analysis.words import Workers, figures, with_workers, workers_of

# From-schedule p99 beyond this many times that of the service time is drawn as hidden by the latter.
HIDDEN = 1.1


@chart(
    "What an open loop shows",
    heading="Latency against the rate of arrivals",
    about="Every rate that was measured, the steps of searches included. Beyond what a server can do, "
    "requests queue up for as long as one measures: latency there is no property of the server.",
    lead=4,
)
def latency_by_rate(study: Study) -> Figure | None:
    """Median and p99 from the schedule at every rate that was measured; None without open loops."""
    panels = list(_panels(study))
    if not panels:
        return None
    looks = style.looks(study.results.configurations)
    with style.styled():
        figure, axes = style.panels(len(panels), height=4.2, columns=2)
        for (axis,), (key, ladder) in zip(axes, panels, strict=True):
            for name, group in ladder.groupby("configuration", observed=True):
                _line(axis, group, "schedule_p50_us", looks[str(name)], "-")
                _line(axis, group, "schedule_p99_us", looks[str(name)], "--")
            limits_ms = _limits(axis, study, key, looks)
            _frame(axis, key, ladder[["schedule_p50_us", "schedule_p99_us"]], limits_ms)
            axis.set_ylabel("latency from the schedule (ms, log)")
            _styles(axis, {"p50": "-", "p99": "--"})
        shown = marked(study, pd.concat([ladder for _, ladder in panels]).dropna(subset="schedule_p50_us"))
        limit = (
            " ▼ at the dotted limit: the highest rate that searches found; of their steps, the rates that at "
            "least half of the repeats tried."
            if len(study.capacity)
            else ""
        )
        reading = (
            f"Right and low is better. Geometric means over repeats, bars: 95 % interval. Hollow: under "
            f"{REACHED:.0%} of the arrivals were served, so the latency only says how long was measured."
            f"{limit} {marked_reading(shown)}"
        )
        return style.finish(figure, _rate_title(study), reading, style.footer(study.results), shown)


@chart(
    "What an open loop shows",
    heading="What the service time hides",
    about="A request that has to wait for its turn is sent late, and its service time starts when it is "
    "sent. Where the two differ, service times alone would have been wrong by as much (coordinated "
    "omission).",
)
def hidden_latency(study: Study) -> Figure | None:
    """p99 from the schedule beside that of the service time, for the servers in which they differ."""
    panels = []
    for key, ladder in _panels(study):
        apart = ladder["schedule_p99_us"] > HIDDEN * ladder["p99_us"]
        names = ladder["configuration"][apart].unique()
        if len(names):
            panels.append((key, ladder[ladder["configuration"].isin(names)]))
    if not panels:
        return None
    looks = style.looks(study.results.configurations)
    with style.styled():
        figure, axes = style.panels(len(panels), height=4.2, columns=2)
        for (axis,), (key, ladder) in zip(axes, panels, strict=True):
            for name, group in ladder.groupby("configuration", observed=True):
                _line(axis, group, "schedule_p99_us", looks[str(name)], "--")
                _line(axis, group, "p99_us", looks[str(name)], ":")
            _frame(axis, key, ladder[["p99_us", "schedule_p99_us"]])
            axis.set_ylabel("p99 latency (ms, log)")
            _styles(axis, {"from the schedule": "--", "service time": ":"})
        shown = marked(study, pd.concat([ladder for _, ladder in panels]))
        reading = (
            "Service time starts when a request is sent, so it leaves out how long the request had to wait "
            "for its turn: coordinated omission. Only servers in which the two differ. Hollow: the rate was "
            f"not reached. {marked_reading(shown)}"
        )
        title = _hidden_title(pd.concat([ladder for _, ladder in panels]))
        return style.finish(figure, title, reading, style.footer(study.results), shown)


def _panels(study: Study) -> Iterator[tuple[tuple[str, Workers, str, int], pd.DataFrame]]:
    """Each scenario, worker count, kind of arrivals and pool, with the rates of its ladder and of searches.

    Where searches differ, a rate that fewer than half of the repeats tried is left out: beside its neighbours
    it would show how the repeats differ, and not the rates. Cells of recycling are left out: their servers
    were traced, and it is not their speed that they tell. So is a panel in which nothing is known, as there
    were too few requests for any percentile.
    """
    summary = study.summary
    opened = last_attempts(summary[(summary["load_kind"] == "open") & (summary["treatment"] == "none")])
    if opened.empty:
        return
    tried = opened.groupby(["configuration", *OPEN_LOAD], observed=True)["repeat"].transform("nunique")
    often = tried * 2 >= opened["repeat"].nunique()
    every = aggregate(study.results, opened[often | opened["search_p99_ms"].isna()], OPEN_LOAD)
    for _, ladder in every.groupby(LADDER, observed=True):
        if ladder["schedule_p50_us"].isna().all():
            continue
        first = ladder.iloc[0]
        yield (
            (first["scenario"], workers_of(first["workers"]), first["arrivals"], int(first["users"])),
            ladder,
        )


def _line(axis: Axes, group: pd.DataFrame, metric: str, look: style.Look, line: style.Line) -> None:
    """One percentile of a configuration through its rates."""
    rows = group[group[metric].notna()].sort_values("rate_per_s")
    axis.plot(rows["rate_per_s"], rows[metric] / 1e3, linestyle=line, color=look.colour, linewidth=1.3)
    for _, row in rows.iterrows():
        low, high = row[f"{metric}_low"], row[f"{metric}_high"]
        bars = None if pd.isna(low) else [[(row[metric] - low) / 1e3], [(high - row[metric]) / 1e3]]
        dots = look.dots(hollow=row["achieved"] < REACHED) | {"markersize": 5.5}
        axis.errorbar([row["rate_per_s"]], [row[metric] / 1e3], yerr=bars, capsize=2, elinewidth=0.9, **dots)


def _limits(
    axis: Axes, study: Study, key: tuple[str, Workers, str, int], looks: dict[str, style.Look]
) -> list[float]:
    """Draw the limits of the searches with the highest rate of each configuration; returns them in ms."""
    found = study.capacity
    of_panel = found[(found[LADDER] == list(key)).all(axis=1)]
    limits_ms = sorted(map(float, of_panel["p99_ms"].unique()))
    for limit_ms in limits_ms:
        rows = of_panel[of_panel["p99_ms"] == limit_ms]
        axis.axhline(limit_ms, color=style.FAINT, linestyle=":", linewidth=1.2)
        axis.annotate(
            f"p99 within {limit_ms:g} ms", (0.01, limit_ms), (0, -3), va="top",
            xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=8.5, color=style.FAINT,
        )  # fmt: skip
        for _, row in rows[rows["rate_per_s"].notna()].iterrows():
            axis.annotate(
                "▼", (row["rate_per_s"], limit_ms), (0, 1), textcoords="offset points",
                ha="center", va="bottom", fontsize=10, color=looks[row["configuration"]].colour,
            )  # fmt: skip
    return limits_ms


def _frame(
    axis: Axes, key: tuple[str, Workers, str, int], drawn: pd.DataFrame, limits_ms: Sequence[float] = ()
) -> None:
    """Titles and scales that both charts share; call it when `drawn` (microseconds) is."""
    scenario, workers, arrivals, _ = key
    axis.set(
        title=f"{scenario}, {arrivals} arrivals, {with_workers(workers)}",
        xlabel="arrivals per second (log)",
    )
    # By the points: the interval of repeats that disagree can span many decades.
    every = [*(drawn.stack().dropna() / 1e3), *limits_ms]
    axis.set_ylim(min(every) / 1.8, max(every) * 1.8)
    style.milliseconds(axis)
    # A search doubles its rates, and the servers' own are decades apart.
    style.logarithmic_counts(axis)


def _styles(axis: Axes, lines: dict[str, style.Line]) -> None:
    """What the line styles stand for, in the panel."""
    handles = [Line2D([], [], linestyle=line, color=style.INK) for line in lines.values()]
    axis.legend(handles, list(lines), loc="upper left", frameon=False, fontsize=8.5)


def _rate_title(study: Study) -> str:
    """The finding of the first search, or of the first ladder."""
    verdict = study.verdict
    ranked = [table.finding for table in verdict.capacity if table.leaders]
    ranked += [table.finding for table in verdict.rates]
    return ranked[0] if ranked else verdict.capacity[0].finding


def _hidden_title(ladder: pd.DataFrame) -> str:
    """The server and rate in which the service time hides most; of those that reached it, if there is one."""
    reached = ladder[ladder["achieved"] >= REACHED]
    ratio = reached["schedule_p99_us"] / reached["p99_us"]
    if not (ratio > HIDDEN).any():
        reached, ratio = ladder, ladder["schedule_p99_us"] / ladder["p99_us"]
    row = reached.iloc[int(ratio.fillna(0.0).to_numpy().argmax())]
    return (
        f"At {row['rate_per_s']:,.0f} requests/s the p99 of {row['configuration']} is "
        f"{figures(row['schedule_p99_us'] / 1e3)} ms from the schedule; its service time alone says "
        f"{figures(row['p99_us'] / 1e3)} ms."
    )
