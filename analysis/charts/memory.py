"""Memory with and without recycling: the saw-tooth under its bound against the slope of a leak."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.cells.counters import server_memory
from analysis.charts.drawing import style
from analysis.charts.drawing.naming import answered, is_leak
from analysis.charts.registry import chart
from analysis.study import Study
from analysis.words import MIB, counted
from analysis.words import figures as digits


@chart(
    "Memory with and without recycling",
    about="The app keeps 50 kB of every request. Without recycling it grows for as long as it serves; with "
    "recycling, each new worker starts small again.",
    caption="memory with and without recycling",
)
def figures(study: Study) -> dict[str, Figure]:
    """A figure for each number of workers, by its name in the report: `memory_recycled_w<workers>`."""
    samples = leaked(study)
    return {
        f"memory_recycled_w{workers}": _figure(study, part, int(str(workers)))
        for workers, part in samples.groupby("workers")
    }


def leaked(study: Study) -> pd.DataFrame:
    """Memory of the whole server in the leaking cells of the first repeat, a row per sample.

    `configuration`, `scenario`, `workers`, `treatment`, `max_rss_mib`, `time` (Unix s), `answered` (requests
    that had been answered by then, warm-up included), `rss_bytes`, `pss_bytes`.
    """
    columns = ["configuration", "scenario", "workers", "treatment", "max_rss_mib", "window_end"]
    if study.recycling is None:
        return pd.DataFrame(columns=[*columns, "cell", "time", "answered", "rss_bytes", "pss_bytes"])
    cells = study.results.finished
    chosen = cells[
        cells["scenario"].astype(str).map(is_leak) & cells["treatment"].isin(["control", "recycled"])
    ]
    chosen = chosen[chosen["repeat"] == chosen["repeat"].min()]
    processes, trace = study.results.processes, study.results.trace
    samples = server_memory(processes[processes["cell"].isin(chosen.index)]).join(chosen[columns], on="cell")
    samples = samples[samples["time"] <= samples["window_end"]]  # afterwards the server is stopped
    parts = [
        rows.assign(answered=np.searchsorted(np.sort(answered(trace, cell)), rows["time"].to_numpy()))
        for cell, rows in samples.groupby("cell")
    ]
    return pd.concat(parts, ignore_index=True) if parts else samples.assign(answered=0)


def _figure(study: Study, samples: pd.DataFrame, workers: int) -> Figure:
    looks = style.looks(study.results.configurations)
    shown = [name for name in looks if (samples["configuration"] == name).any()]
    with style.styled():
        figure, axes = style.panels(len(shown), height=2.5)
        most = samples["rss_bytes"].max() / MIB * 1.08
        for (axis,), name in zip(axes, shown, strict=True):
            _panel(axis, samples[samples["configuration"] == name], looks[name])
            limits = _limits(samples[samples["configuration"] == name])
            axis.set_title(" ".join([name, *(f"(dotted: {limit:g} MiB)" for limit in limits)]))
            axis.set(xlabel="requests answered", ylabel="RSS (MiB)", ylim=(0, most))
            axis.xaxis.set_major_formatter(style.thousands)
            axis.yaxis.set_major_formatter(style.thousands)
            axis.xaxis.set_major_locator(ticker.MaxNLocator(4))
            axis.set_xlim(0, None)
        reading = (
            "RSS of all processes of a server, while every request leaks: without recycling (dashed) and "
            "with it (solid). The numbers are the peaks. RSS counts pages that processes share once for each."
        )
        if samples["max_rss_mib"].notna().any():
            reading += " Dotted: the size at which one worker is replaced."
        return style.finish(figure, _title(samples, workers), reading, style.footer(study.results))


def _panel(axis: Axes, samples: pd.DataFrame, look: style.Look) -> None:
    for treatment, line in (("control", "--"), ("recycled", "-")):
        rows = samples[(samples["treatment"] == treatment) & samples["rss_bytes"].notna()].sort_values("time")
        if rows.empty:
            continue
        memory = rows["rss_bytes"].to_numpy() / MIB
        axis.plot(rows["answered"], memory, linestyle=line, color=look.colour, linewidth=1.4)
        peak = int(memory.argmax())
        axis.annotate(
            digits(memory[peak]), (rows["answered"].iloc[peak], memory[peak]), (-2, 3), ha="right",
            textcoords="offset points", fontsize=8.5,
        )  # fmt: skip
    for limit in _limits(samples):
        axis.axhline(limit, color=style.FAINT, linestyle=":", linewidth=1.2)
    if "recycled" not in set(samples["treatment"]):
        axis.text(0.04, 0.06, "recycles nothing", fontsize=8.5, color=style.FAINT, transform=axis.transAxes)


def _limits(samples: pd.DataFrame) -> list[float]:
    """The sizes at which a server was told to replace a worker, in MiB; none where it counts requests."""
    return sorted(samples["max_rss_mib"].dropna().astype(float).unique())


def peaks(samples: pd.DataFrame) -> Iterator[tuple[str, float, float]]:
    """Each configuration's highest RSS without and with recycling, in MiB, where both are known."""
    highest = samples.groupby(["configuration", "treatment"], observed=True)["rss_bytes"].max() / MIB
    table = highest.unstack().reindex(columns=["control", "recycled"]).dropna()
    for name, row in table.iterrows():
        yield str(name), float(row["control"]), float(row["recycled"])


def _title(samples: pd.DataFrame, workers: int) -> str:
    """By how much recycling lowers the peak where it does most, and where least."""
    known = sorted(peaks(samples), key=lambda one: one[2] / one[1])
    where = f"with {counted(workers, 'worker')}"
    if not known:
        return f"Nothing was measured both with and without recycling {where}."
    best, least = known[0], known[-1]
    told = f"A leak that takes {best[0]} to {digits(best[1])} MiB {where} ends at {digits(best[2])} MiB"
    told += " with recycling"
    if len(known) == 1:
        return f"{told}."
    return f"{told}; {least[0]} goes from {digits(least[1])} to {digits(least[2])} MiB."
