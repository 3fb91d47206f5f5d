"""The charts over time: within the measured window, and over the life of a server."""

from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.counters import server_memory
from analysis.cells.summary import LOAD
from analysis.charts.drawing import ceilings, style
from analysis.charts.registry import chart
from analysis.findings.steadiness import UNSTEADY
from analysis.study import Study
from analysis.words import MIB, counted, figures
from bench.stats.histograms import describe


@chart(
    "How long an answer takes",
    heading="Second by second",
    about="A level line was worth measuring; a slope needs a longer warm-up; a notch is a stall.",
)
def over_time(study: Study) -> Figure | None:
    """Throughput and p99 second by second at the load that decides each scenario; None without a success."""
    looks = style.looks(study.results.configurations)
    tables = study.verdict.tables
    seconds = _seconds(study)
    if all(table.of(seconds).empty for table in tables):
        return None
    with style.styled():
        figure, axes = style.panels(len(tables), rows=2, height=2.8)
        drawn: set[str] = set()
        for (above, below), table in zip(axes, tables, strict=True):
            chosen = table.of(seconds)
            for name in [name for name in looks if (chosen["configuration"] == name).any()]:
                drawn.add(name)
                rows = chosen[chosen["configuration"] == name]
                _trace(above, rows, "throughput", looks[name])
                _trace(below, rows, "p99_ms", looks[name])
            style.from_zero(above, "y")
            ceilings.draw(above, table.of(study.loads), "y")
            above.yaxis.set_major_formatter(style.thousands)
            above.set(title=table.title, ylabel="requests per second")
            style.milliseconds(below)
            below.set(xlabel="seconds into the window", ylabel="p99 latency (ms, log)")
            if chosen.empty:
                style.remark(above, "no request succeeded")
            if chosen["p99_ms"].isna().all():
                style.remark(below, "too few requests succeeded in a second")
        moved = study.about("steadiness")
        title = f"Throughput was steady: no second was {UNSTEADY:.0%} off the mean of its window."
        if moved:
            title = f"In {moved[0].scenario} {moved[0].message}."
        reading = "Thick: mean of the repeats. Faint: each repeat. Each point is one second."
        if study.loads["ceiling"].notna().any():
            reading += f" {ceilings.READING}"
        shown = {name: look for name, look in looks.items() if name in drawn}
        return style.finish(figure, title, reading, style.footer(study.results), shown)


def _seconds(study: Study) -> pd.DataFrame:
    """Per cell and second: `offset` into the window (s), `throughput`, `p99_ms` (NaN if too few).

    Of cells that were loaded throughout: the seconds of a rotated one belong to all configurations.
    """
    latencies, finished = study.results.latencies, study.results.finished
    alone = finished.index[(finished["load_kind"] == "closed") & ~finished["rotated"]]
    described = describe(latencies[latencies["cell"].isin(alone)], ["cell", "second"])
    cells = finished[["configuration", *LOAD, "repeat", "window_start"]]
    seconds = described.join(cells, on="cell")
    seconds["offset"] = seconds["second"] - seconds["window_start"] + 0.5
    seconds["p99_ms"] = seconds["p99_us"] / 1e3
    return seconds.rename(columns={"requests": "throughput"})


def _trace(axis: Axes, rows: pd.DataFrame, metric: str, look: style.Look) -> None:
    """Every repeat faintly and their mean with markers."""
    for _, one in rows.groupby("repeat"):
        axis.plot(one["offset"], one[metric], color=look.colour, linewidth=0.8, alpha=0.3)
    mean = rows.groupby("offset")[metric].mean()
    # At most some ten markers, or a long window becomes a string of beads.
    axis.plot(
        mean.index, mean, linestyle=look.line, markevery=max(1, len(mean) // 10), **look.dots()
    )  # fmt: skip


@chart("What a request costs", heading="Memory")
def memory(study: Study) -> Figure | None:
    """PSS and RSS of all the server's processes over the life of each server.

    None where there are only cells of recycling, whose memory has charts of its own, or nobody metered any.
    """
    looks = style.looks(study.results.configurations)
    finished = study.results.finished
    cells = finished.loc[_shown(study, finished), ["configuration", "workers", "block", "server_started"]]
    processes = study.results.processes
    if cells.empty or processes.empty:
        return None
    samples = server_memory(processes[processes["cell"].isin(cells.index)]).join(cells, on="cell")
    samples["age"] = samples["time"] - samples["server_started"]
    counts = sorted({int(workers) for workers in samples["workers"]})
    columns = [("pss_bytes", "PSS"), ("rss_bytes", "RSS")]
    with style.styled():
        figure, axes = style.panels(len(counts) * 2, height=3.4, columns=2)
        for (axis,), (workers, (column, label)) in zip(axes, product(counts, columns), strict=True):
            chosen = samples[samples["workers"] == workers]
            for name, look in looks.items():
                _lives(axis, chosen[chosen["configuration"] == name], column, look)
            axis.set(
                title=f"{label}, {counted(workers, 'worker')}",
                xlabel="seconds since the server started", ylabel=f"{label} (MiB)",
            )  # fmt: skip
            style.from_zero(axis, "y")
            if chosen[column].isna().all():
                style.remark(axis, "not available on this system")
        reading = (
            "All processes of a server added up; a line per server start. PSS counts memory that processes "
            "share once, RSS once per process."
        )
        shown = {name: look for name, look in looks.items() if (samples["configuration"] == name).any()}
        foot = style.footer(study.results)
        return style.finish(figure, _memory_title(study), reading, foot, shown)


def _shown(study: Study, cells: pd.DataFrame) -> pd.Series:
    """Of some cells those of ordinary servers; the control of a rotation is one that is there twice."""
    twice = cells["rotated"] & cells["configuration"].isin(study.results.run.plan.get("aliases", {}))
    return (cells["treatment"] == "none") & ~twice


def _lives(axis: Axes, samples: pd.DataFrame, column: str, look: style.Look) -> None:
    """One line per server start, its marker at the end, where it is read."""
    for _, life in samples[samples[column].notna()].groupby("block"):
        ordered = life.sort_values("age")
        last = [len(ordered) - 1]
        axis.plot(
            ordered["age"], ordered[column] / MIB, linestyle=look.line, linewidth=1.2, markevery=last,
            **look.dots(),
        )  # fmt: skip


def _memory_title(study: Study) -> str:
    """Who needs least and most, at the fewest workers; in PSS if the system tells it."""
    summary = study.summary[_shown(study, study.summary)]
    workers = int(summary["workers"].min())
    fewest = summary[summary["workers"] == workers]
    for column, label in (("pss_bytes", "PSS"), ("rss_bytes", "RSS")):
        most = fewest.groupby("configuration")[column].max().dropna().sort_values() / MIB
        if len(most) == 1:
            needs = f"{most.index[0]} needs {figures(most.iloc[0])} MiB of memory"
            return f"With {counted(workers, 'worker')} {needs} ({label}, at its peak)."
        if len(most):
            return (
                f"With {counted(workers, 'worker')} {most.index[0]} needs the least memory, "
                f"{figures(most.iloc[0])} MiB, and {most.index[-1]} the most, {figures(most.iloc[-1])} MiB "
                f"({label}, at their peak)."
            )
    return "Memory is not available on this system."
