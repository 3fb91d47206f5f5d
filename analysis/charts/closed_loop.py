"""The charts of closed loops. Each takes a `Study` and returns a `Figure` titled by what it shows.

What was not measured is not drawn, and where nothing was there is no chart; a server that was not saturated
is drawn hollow.
"""

from collections.abc import Iterator

import matplotlib.ticker as ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.charts.drawing import ceilings, style
from analysis.charts.registry import chart
from analysis.findings.bottleneck import LOOP_WAIT
from analysis.findings.finding import Load
from analysis.rankings.ranking import Ranking
from analysis.study import Study
from analysis.words import MARK, figures, listed, with_workers
from bench.model.thresholds import SATURATED
from bench.stats.histograms import merge, quantile

BARS = "Bars: 95 % interval over repeats."
HOLLOW = "Hollow: the server was not saturated, so this is a lower bound."
UNMETERED = "Hollow: nobody knows whether the server was saturated; it may be able to do more."
# From 0 to 99.99 %, evenly on the logarithm of what lies beyond.
TAIL = 10.0 ** -np.linspace(0, 4, 161)


@chart(
    "How much each configuration serves",
    heading="At the load that decides",
    about="The highest concurrency that most configurations finished. A hollow marker is a server that "
    "still had CPU time to spare: what it served is a lower bound of what it can serve. The ceiling "
    "is what the generator reaches against a server that does nothing; a server near it may be faster"
    " than the generator can show.",
)
def throughput(study: Study) -> Figure | None:
    """Requests per second of every configuration at the load that decides each scenario."""
    if not study.verdict.tables:
        return None
    return _dots(
        study, "throughput", study.verdict.tables[0].finding, "requests per second",
        f"Longer is better. {BARS} {_hollow(study)} {_ceiling_reading(study)}",
    )  # fmt: skip


@chart(
    "What a request costs",
    heading="CPU time",
    about="All processes of the server, manager and helpers included, over the successful requests. It "
    "hardly depends on the load generator, and holds where the server was not saturated.",
)
def cpu_per_request(study: Study) -> Figure | None:
    """CPU time of all the server's processes per successful request; None where nobody metered them."""
    if not study.verdict.tables:
        return None
    if study.results.run.external is not None:
        return None
    table, costs = _first_known(study, "cpu_us")
    if table is None:
        return None
    title = f"The CPU time of a request to {table.scenario} is {_ends(costs, 'µs on')}."
    reading = f"Shorter is better; hardly depends on the load generator. {BARS}"
    return _dots(study, "cpu_us", title, "CPU time per request (µs)", reading)


def _dots(study: Study, metric: str, title: str, label: str, reading: str) -> Figure | None:
    """A row per configuration, a panel per scenario; all panels in the order of the first.

    A row without a value says why; None where no row has one.
    """
    looks = style.looks(study.results.configurations)
    tables = study.verdict.tables
    if _first_known(study, metric)[0] is None:
        return None
    order = [row.configuration for row in tables[0].rows]
    order += sorted({row.configuration for table in tables for row in table.rows} - set(order))
    with style.styled():
        figure, axes = style.panels(len(tables), height=0.9 + 0.3 * len(order), columns=2)
        for index, ((axis,), table) in enumerate(zip(axes, tables, strict=True)):
            known = _known(study, table)
            for name, row in known[known[metric].notna()].iterrows():
                hollow = metric == "throughput" and not row["busy"] >= SATURATED
                _point(axis, row, metric, order.index(str(name)), looks[str(name)], hollow)
            for name, row in known[known[metric].isna()].iterrows():
                style.remark(axis, _why_unknown(row), order.index(str(name)))
            axis.set(title=table.title, xlabel=label, ylim=(len(order) - 0.4, -0.6))
            axis.set_yticks(range(len(order)), order if index % 2 == 0 else [])
            axis.set_xlim(0, max(1e-9, axis.get_xlim()[1]) * 1.12)
            if metric == "throughput":
                ceilings.draw(axis, known, "x")
            axis.grid(visible=False, axis="y")
            axis.xaxis.set_major_formatter(style.thousands)
            axis.xaxis.set_major_locator(ticker.MaxNLocator(5))
            if known[metric].isna().all():
                axis.set_xticks([])
        return style.finish(figure, title, reading, style.footer(study.results))


def _why_unknown(row: pd.Series) -> str:
    """Why a row of `loads` lacks a figure, in a few words."""
    if row["error_rate"] == 1:
        return "every request failed"
    return "every request failed in some repeats" if np.isnan(row["throughput"]) else "unknown"


def _point(axis: Axes, row: pd.Series, metric: str, place: int, look: style.Look, hollow: bool) -> None:
    value, high = row[metric], row[f"{metric}_high"]
    axis.hlines(place, 0, value, color=look.colour, linewidth=1, alpha=0.35)
    axis.errorbar([value], [place], xerr=_bars(row, metric), capsize=3, **look.dots(hollow=hollow))
    end = value if np.isnan(high) else high
    axis.annotate(
        figures(value), (end, place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9
    )


@chart(
    "How much each configuration serves",
    heading="With more users",
    about="In a closed loop every user waits for an answer before it asks again. Once the server's CPU is "
    "used up, more users only wait longer.",
)
def throughput_by_concurrency(study: Study) -> Figure | None:
    """Requests per second against users; None if no scenario was served at two loads."""
    panels = [panel for panel in _panels(study, "throughput") if panel[1]["users"].nunique() > 1]
    if not panels:
        return None
    first, rows = panels[0]
    throughput = rows.pivot(index="users", columns="configuration", values="throughput")
    near_best = (throughput >= 0.95 * throughput.max()).sum(axis=1)
    most = near_best * 2 >= throughput.shape[1]
    users = int(throughput.index[int((most if most.any() else near_best).to_numpy().argmax())])
    title = (
        f"In {first.scenario} {near_best[users]} of {throughput.shape[1]} servers reach 95 % of their best "
        f"throughput with {users} {'user' if users == 1 else 'users'}."
    )
    looks = style.looks(study.results.configurations)
    with style.styled():
        figure, axes = style.panels(len(panels))
        for (axis,), (table, panel) in zip(axes, panels, strict=True):
            for name, group in _by_configuration(study, panel):
                _line(axis, group, "users", "throughput", looks[name], 1.0)
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted(panel["users"].unique()))
            axis.xaxis.set_major_formatter(ticker.ScalarFormatter())
            axis.yaxis.set_major_formatter(style.thousands)
            axis.set(title=_heading(table), xlabel="users (closed loop)", ylabel="requests per second")
            style.from_zero(axis, "y")
            ceilings.draw(axis, panel, "y", by="users")
        reading = f"Higher is better. {BARS} {_hollow(study)} {_ceiling_reading(study)}"
        return style.finish(figure, title, reading, style.footer(study.results), _used(study, panels))


@chart("How much each configuration serves", heading="What the throughput costs in latency")
def latency_by_throughput(study: Study) -> Figure | None:
    """p99 against requests per second, one line per configuration through its loads; None without a p99."""
    looks = style.looks(study.results.configurations)
    panels = list(_panels(study, "p99_us"))
    if not panels:
        return None
    table, p99 = _first_known(study, "p99_us")
    title = "Only loads that do not decide have requests enough for a p99."
    if table is not None:
        title = f"In {table.scenario} at {table.users} users p99 is {_ends(p99 / 1e3, 'ms with')}."
    with style.styled():
        figure, axes = style.panels(len(panels))
        for (axis,), (panel_table, panel) in zip(axes, panels, strict=True):
            for name, group in _by_configuration(study, panel):
                _line(axis, group, "throughput", "p99_us", looks[name], 1e-3)
            axis.xaxis.set_major_formatter(style.thousands)
            axis.xaxis.set_major_locator(ticker.MaxNLocator(4))
            style.milliseconds(axis)
            loads = " → ".join(str(users) for users in sorted(panel["users"].unique()))
            axis.set(title=f"{_heading(panel_table)} ({loads} users)", xlabel="requests per second")
            axis.set_ylabel("p99 latency (ms, log)")
            style.from_zero(axis, "x")
            ceilings.draw(axis, panel, "x")
        shown = marked(study, pd.concat([panel for _, panel in panels]).dropna(subset="p99_us"))
        reading = (
            f"Right and low is better; a line follows a server from few users to many. {BARS} "
            f"{_hollow(study)} {_ceiling_reading(study)} {marked_reading(shown)}"
        )
        return style.finish(figure, title, reading, style.footer(study.results), shown)


@chart(
    "How long an answer takes",
    heading="Every percentile",
    about="From the merged histograms of all repeats. The axis stretches the tail: each step to the right "
    "is ten times rarer.",
)
def percentiles(study: Study) -> Figure | None:
    """Latency of every percentile, on an axis that stretches the tail, all repeats merged.

    None where there are too few requests for any.
    """
    title = _percentile_title(study)
    if title is None:
        return None
    looks = style.looks(study.results.configurations)
    tables = study.verdict.tables
    by = ["configuration", "scenario", "workers", "users"]
    closed = study.results.latencies[study.results.latencies["load_kind"] == "closed"]
    merged = dict(iter(merge(closed, by).groupby(by, observed=True)))
    with style.styled():
        figure, axes = style.panels(len(tables), height=3.8, columns=2)
        for (axis,), table in zip(axes, tables, strict=True):
            known = _known(study, table)
            for name, row in known.iterrows():
                histogram = merged.get((name, table.scenario, table.workers, table.users))
                if histogram is None:
                    continue
                edges, counts = histogram["bucket_us"].to_numpy(), histogram["count"].to_numpy()
                curve = np.array([quantile(edges, counts, 1 - beyond) for beyond in TAIL]) / 1e3
                look = looks[str(name)]
                for beyond, metric in ((0.5, "p50_us"), (0.01, "p99_us")):
                    low, high = row[f"{metric}_low"] / 1e3, row[f"{metric}_high"] / 1e3
                    axis.vlines(beyond, low, high, color=look.colour, linewidth=0.9)
                marks = [int(np.abs(TAIL - beyond).argmin()) for beyond in (0.5, 0.1, 0.01, 0.001, 0.0001)]
                axis.plot(TAIL, curve, linestyle=look.line, markevery=marks, **look.dots())
            axis.set_xscale("log")
            axis.set_xlim(1, 10**-4.05)
            axis.set_xticks([0.5, 0.1, 0.01, 0.001, 0.0001], ["50", "90", "99", "99.9", "99.99"])
            axis.xaxis.set_minor_locator(ticker.NullLocator())
            style.milliseconds(axis)
            axis.set(title=table.title, xlabel="percentile (%)", ylabel="latency (ms, log)")
            if known["merged_p50_us"].isna().all():
                style.remark(axis, "too few requests succeeded")
        shown = marked(
            study, pd.concat([table.of(study.loads) for table in tables]).dropna(subset="merged_p50_us")
        )
        reading = (
            "Lower is better. All repeats together; a curve ends where fewer than 10 requests were slower. "
            f"Bars at 50 and 99: 95 % interval over repeats. {marked_reading(shown)}"
        )
        return style.finish(figure, title, reading, style.footer(study.results), shown)


def _percentile_title(study: Study) -> str | None:
    """What the furthest percentile that is known says; None where none is."""
    for column, share in (("merged_p999_us", "99.9 %"), ("merged_p99_us", "99 %"), ("merged_p50_us", "50 %")):
        table, best = _first_known(study, column)
        if table is not None:
            within = _ends(best / 1e3, "ms by")
            return f"{share} of the requests to {table.scenario} are answered within {within}."
    return None


def _ends(ordered: pd.Series, of: str) -> str:
    """The first and the last of some values with their configurations: "3 ms by one and 9 ms by another"."""
    ends = {name: ordered[name] for name in (ordered.index[0], ordered.index[-1])}
    return listed([f"{figures(value)} {of} {name}" for name, value in ends.items()])


def _line(axis: Axes, group: pd.DataFrame, x: str, y: str, look: style.Look, scale: float) -> None:
    """One configuration through its loads, with its intervals; single points hollow if not saturated."""
    rows = group[group[y].notna()].sort_values("users")
    axis.plot(rows[x], rows[y] * scale, linestyle=look.line, color=look.colour, linewidth=1.3)
    for _, row in rows.iterrows():
        dots = look.dots(hollow=not row["busy"] >= SATURATED)
        axis.errorbar(
            [row[x]], [row[y] * scale], yerr=_bars(row, y, scale), capsize=2, elinewidth=0.9, **dots
        )


def _bars(row: pd.Series, metric: str, scale: float = 1.0) -> list[list[float]] | None:
    """Distances from the mean to both ends of its interval, as matplotlib wants them."""
    if np.isnan(row[f"{metric}_low"]):
        return None
    return [
        [(row[metric] - row[f"{metric}_low"]) * scale],
        [(row[f"{metric}_high"] - row[metric]) * scale],
    ]


def _heading(table: Ranking) -> str:
    return f"{table.scenario}, {with_workers(table.workers)}"


def _known(study: Study, table: Ranking) -> pd.DataFrame:
    """The rows of `loads` behind a table, by configuration."""
    return _listed(table, table.of(study.loads)).set_index("configuration")


def _listed(table: Ranking, loads: pd.DataFrame) -> pd.DataFrame:
    """Those of some `loads` that are of configurations of a table: the control of a rotation is none."""
    return loads[loads["configuration"].isin([row.configuration for row in table.rows])]


def _first_known(study: Study, metric: str) -> tuple[Ranking | None, pd.Series]:
    """The first table of which some configuration has the `metric` of `loads`, and its values, ascending."""
    for table in study.verdict.tables:
        values = _known(study, table)[metric].dropna().sort_values()
        if len(values):
            return table, values
    return None, pd.Series(dtype=float)


def _panels(study: Study, metric: str) -> Iterator[tuple[Ranking, pd.DataFrame]]:
    """Each scenario and worker count with all its loads, in the order of the tables; some have `metric`."""
    for table in study.verdict.tables:
        loads = study.loads
        panel = loads[(loads["scenario"] == table.scenario) & (loads["workers"] == table.workers)]
        panel = _listed(table, panel)
        if panel[metric].notna().any():
            yield table, panel


def _by_configuration(study: Study, panel: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each configuration that has any, in the order of the catalogue."""
    for name in study.results.configurations:
        group = panel[panel["configuration"] == name]
        if len(group):
            yield name, group


def _used(study: Study, panels: list[tuple[Ranking, pd.DataFrame]]) -> dict[str, style.Look]:
    """What the legend needs: the looks of the configurations that have a throughput in `panels`."""
    names = {name for _, panel in panels for name in panel.dropna(subset="throughput")["configuration"]}
    looks = style.looks(study.results.configurations)
    return {name: look for name, look in looks.items() if name in names}


def marked(study: Study, drawn: pd.DataFrame) -> dict[str, style.Look]:
    """The legend of a chart of latencies: the looks of the configurations in `drawn`, by name.

    Where the generator's own waiting is much of a latency that is drawn, the name has the mark.
    """
    findings = study.found("loop-wait")
    names = set(drawn["configuration"])
    waited = {
        row["configuration"]
        for _, row in drawn.iterrows()
        for finding in findings
        if finding.concerns(row["configuration"], row["scenario"], Load.of(row))
    }
    looks = style.looks(study.results.configurations)
    return {name + MARK * (name in waited): look for name, look in looks.items() if name in names}


def marked_reading(legend: dict[str, style.Look]) -> str:
    """What the mark in a legend means, if it is there."""
    if not any(name.endswith(MARK) for name in legend):
        return ""
    return (
        f"{MARK.strip()}: over {LOOP_WAIT:.0%} of a median is the generator's own waiting, see the findings."
    )


def _hollow(study: Study) -> str:
    """What a hollow marker means."""
    return UNMETERED if study.loads["busy"].isna().all() else HOLLOW


def _ceiling_reading(study: Study) -> str:
    return ceilings.READING if study.loads["ceiling"].notna().any() else ""
