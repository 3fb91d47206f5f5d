"""The charts. Each takes a `Study` and returns a `Figure` whose title is what it shows, computed.

What was not measured is not drawn; a server that was not saturated is drawn hollow.
"""

from collections.abc import Iterator

import matplotlib.ticker as ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import ceilings, style
from analysis.checks.findings import Load
from analysis.checks.limits import LOOP_WAIT, SATURATED
from analysis.histograms import merge, quantile
from analysis.ranking import Table
from analysis.study import Study
from analysis.words import MARK, figures, listed, with_workers

BARS = "Bars: 95 % interval over repeats."
HOLLOW = "Hollow: the server was not saturated, so this is a lower bound."
UNMETERED = "Hollow: nobody knows whether the server was saturated; it may be able to do more."
# From 0 to 99.99 %, evenly on the logarithm of what lies beyond.
TAIL = 10.0 ** -np.linspace(0, 4, 161)


def throughput(study: Study) -> Figure | None:
    """Requests per second of every configuration at the load that decides each scenario."""
    if not study.verdict.tables:
        return None
    return _dots(
        study, "throughput", study.verdict.tables[0].finding, "requests per second",
        f"Longer is better. {BARS} {_hollow(study)} {_ceiling_reading(study)}",
    )  # fmt: skip


def cpu_per_request(study: Study) -> Figure | None:
    """CPU time of all the server's processes per successful request; None where nobody metered them."""
    if not study.verdict.tables:
        return None
    if study.results.run.external is not None:
        return None
    table = study.verdict.tables[0]
    costs = _known(study, table)["cpu_us"].dropna().sort_values()
    title = "CPU per request is unknown."
    if len(costs):
        title = f"The CPU time of a request to {table.scenario} is {_ends(costs, 'µs on')}."
    reading = f"Shorter is better; hardly depends on the load generator. {BARS}"
    return _dots(study, "cpu_us", title, "CPU time per request (µs)", reading)


def _dots(study: Study, metric: str, title: str, label: str, reading: str) -> Figure:
    """A row per configuration, a panel per scenario; all panels in the order of the first."""
    looks = style.looks(study.results.configurations)
    tables = study.verdict.tables
    order = [row.configuration for row in tables[0].rows]
    order += sorted({row.configuration for table in tables for row in table.rows} - set(order))
    with style.styled():
        figure, axes = style.panels(len(tables), height=0.9 + 0.3 * len(order), columns=2)
        for index, ((axis,), table) in enumerate(zip(axes, tables, strict=True)):
            known = _known(study, table)
            for name, row in known[known[metric].notna()].iterrows():
                hollow = metric == "throughput" and not row["busy"] >= SATURATED
                _point(axis, row, metric, order.index(str(name)), looks[str(name)], hollow)
            axis.set(title=table.title, xlabel=label, ylim=(len(order) - 0.4, -0.6))
            axis.set_yticks(range(len(order)), order if index % 2 == 0 else [])
            axis.set_xlim(0, max(1e-9, axis.get_xlim()[1]) * 1.12)
            if metric == "throughput":
                ceilings.draw(axis, known, "x")
            axis.grid(visible=False, axis="y")
            axis.xaxis.set_major_formatter(style.thousands)
            axis.xaxis.set_major_locator(ticker.MaxNLocator(5))
        return style.finish(figure, title, reading, style.footer(study.results))


def _point(axis: Axes, row: pd.Series, metric: str, place: int, look: style.Look, hollow: bool) -> None:
    value, high = row[metric], row[f"{metric}_high"]
    axis.hlines(place, 0, value, color=look.colour, linewidth=1, alpha=0.35)
    axis.errorbar([value], [place], xerr=_bars(row, metric), capsize=3, **look.dots(hollow=hollow))
    end = value if np.isnan(high) else high
    axis.annotate(
        figures(value), (end, place), xytext=(7, 0), textcoords="offset points", va="center", fontsize=9
    )


def throughput_by_concurrency(study: Study) -> Figure | None:
    """Requests per second against users; None if no scenario was run at two loads."""
    panels = [panel for panel in _panels(study) if panel[1]["users"].nunique() > 1]
    if not panels:
        return None
    first, rows = panels[0]
    throughput = rows.pivot(index="users", columns="configuration", values="throughput")
    near_best = (throughput >= 0.95 * throughput.max()).sum(axis=1)
    users = int(near_best.index[near_best * 2 >= throughput.shape[1]][0])
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


def latency_by_throughput(study: Study) -> Figure | None:
    """p99 against requests per second, one line per configuration through its loads."""
    if not study.verdict.tables:
        return None
    looks = style.looks(study.results.configurations)
    panels = list(_panels(study))
    table = study.verdict.tables[0]
    p99 = _known(study, table)["p99_us"].dropna().sort_values()
    title = "Too few requests for a p99."
    if len(p99):
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
        shown = marked(study, pd.concat([panel for _, panel in panels]))
        reading = (
            f"Right and low is better; a line follows a server from few users to many. {BARS} "
            f"{_hollow(study)} {_ceiling_reading(study)} {marked_reading(shown)}"
        )
        return style.finish(figure, title, reading, style.footer(study.results), shown)


def percentiles(study: Study) -> Figure | None:
    """Latency of every percentile, on an axis that stretches the tail, all repeats merged."""
    if not study.verdict.tables:
        return None
    looks = style.looks(study.results.configurations)
    tables = study.verdict.tables
    by = ["configuration", "scenario", "workers", "users"]
    closed = study.results.latencies[study.results.latencies["load_kind"] == "closed"]
    merged = dict(iter(merge(closed, by).groupby(by, observed=True)))
    title = _percentile_title(study)
    with style.styled():
        figure, axes = style.panels(len(tables), height=3.8, columns=2)
        for (axis,), table in zip(axes, tables, strict=True):
            for name, row in _known(study, table).iterrows():
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
        shown = marked(study, pd.concat([table.of(study.loads) for table in tables]))
        reading = (
            "Lower is better. All repeats together; a curve ends where fewer than 10 requests were slower. "
            f"Bars at 50 and 99: 95 % interval over repeats. {marked_reading(shown)}"
        )
        return style.finish(figure, title, reading, style.footer(study.results), shown)


def _percentile_title(study: Study) -> str:
    table = study.verdict.tables[0]
    known = _known(study, table)
    for column, share in (("merged_p999_us", "99.9 %"), ("merged_p99_us", "99 %"), ("merged_p50_us", "50 %")):
        best = known[column].dropna().sort_values() / 1e3
        if len(best):
            return f"{share} of the requests to {table.scenario} are answered within {_ends(best, 'ms by')}."
    return "Too few requests for percentiles."


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


def _heading(table: Table) -> str:
    return f"{table.scenario}, {with_workers(table.workers)}"


def _known(study: Study, table: Table) -> pd.DataFrame:
    """The rows of `loads` behind a table, by configuration."""
    return table.of(study.loads).set_index("configuration")


def _panels(study: Study) -> Iterator[tuple[Table, pd.DataFrame]]:
    """Each scenario and worker count with all its loads, in the order of the tables."""
    for table in study.verdict.tables:
        loads = study.loads
        yield table, loads[(loads["scenario"] == table.scenario) & (loads["workers"] == table.workers)]


def _by_configuration(study: Study, panel: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each configuration that has any, in the order of the catalogue."""
    for name in study.results.configurations:
        group = panel[panel["configuration"] == name]
        if len(group):
            yield name, group


def _used(study: Study, panels: list[tuple[Table, pd.DataFrame]]) -> dict[str, style.Look]:
    """What the legend needs: the looks of the configurations that are in `panels`."""
    names = {name for _, panel in panels for name in panel["configuration"]}
    looks = style.looks(study.results.configurations)
    return {name: look for name, look in looks.items() if name in names}


def marked(study: Study, drawn: pd.DataFrame) -> dict[str, style.Look]:
    """The legend of a chart of latencies: the looks of the configurations in `drawn`, by name.

    Where the generator's own waiting is much of a latency that is drawn, the name has the mark.
    """
    findings = study.about("loop-wait")
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
