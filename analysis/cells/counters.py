"""Cumulative counters and samples over a cell's measured window: CPU time, arrivals, memory.

Every function takes frames of `Results` and gives a value per finished cell, indexed by its number, NaN
where the samples do not tell.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.results import Results
from bench.stats.counters import growth

# Rows of processes.csv closer than this are one look at the process tree.
SAMPLE_GAP_S = 0.1
# A row of generator.csv is about so long.
REPORT_S = 1.0
# Kernels that do not time idle CPUs exactly book a CPU's time in ticks, and a process's exactly: the
# difference is then known to this share of the CPU time there was, ...
BOOKING_ERROR = 0.05
# ... and always to a tick (10 ms) of every CPU at both edges of the window.
TICK_S = 0.01
# What tells a CPU of another machine, on which the servers were, from those of the generator's.
APART = "apart"
# The states of a CPU in which it does no work.
NOT_BUSY = ["idle_s", "iowait_s", "steal_s"]


def metered(cells: pd.DataFrame) -> pd.Series:
    """Whether the server of each finished cell was metered, as all are but external ones."""
    return cells["server_cpus"].notna()


def server_cpus(cells: pd.DataFrame) -> pd.Series:
    """How many CPUs the server of each finished cell was pinned to; NaN where that is unknown."""
    return cells["server_cpus"].map(len, na_action="ignore").astype(float)


def window(cells: pd.DataFrame, cell: Any) -> tuple[float, float]:
    """Start and end of a cell's measured window in Unix seconds."""
    start: Any = cells["window_start"].at[cell]
    end: Any = cells["window_end"].at[cell]
    return float(start), float(end)


def within(samples: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The samples taken in the measured window of their cell, its edges included."""
    start = cells["window_start"].reindex(samples["cell"]).to_numpy()
    end = cells["window_end"].reindex(samples["cell"]).to_numpy()
    return samples[(samples["time"].to_numpy() >= start) & (samples["time"].to_numpy() <= end)]


def reports_within(generator: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """The rows of generator.csv that speak of the window: each is about the second that ended with it."""
    return within(generator.assign(time=generator["time"] - REPORT_S / 2), cells)


def server_cpu(results: Results) -> pd.Series:
    """CPU seconds of all the server's processes in each finished cell's window; the meter is not one."""
    return _processes_cpu(results, results.processes["role"] != "meter")


def meter_cpu(results: Results) -> pd.Series:
    """CPU seconds of the meter, which runs on the server's CPUs."""
    return _processes_cpu(results, results.processes["role"] == "meter")


def _processes_cpu(results: Results, selected: pd.Series) -> pd.Series:
    cells = results.finished
    events = results.workers.drop_duplicates(["cell", "pid", "event"]).set_index(["cell", "pid", "event"])
    moments: dict[Any, float] = events["time"].to_dict()
    windows = _windows(cells)
    used: dict[Any, float] = {}
    for (cell, pid), times, values in _each(results.processes[selected], ["cell", "pid"], "cpu_s"):
        born, died = (moments.get((cell, pid, event)) for event in ("born", "died"))
        grown = growth(times, values, *windows[cell], born=born, died=died)
        used[cell] = used.get(cell, 0.0) + grown
    return pd.Series(used, dtype=float).reindex(cells.index)


def _each(
    samples: pd.DataFrame, by: list[str], column: str
) -> Iterator[tuple[Any, list[float], list[float]]]:
    """Times and values of each cumulative counter in a column, by what tells it from the others.

    To take each out as a frame would take longer than all that is done with it.
    """
    times, values = samples["time"].to_numpy(), samples[column].to_numpy()
    for key, rows in samples.groupby(by).indices.items():
        yield key, times[rows].tolist(), values[rows].tolist()


def _windows(cells: pd.DataFrame) -> dict[Any, tuple[float, float]]:
    """Start and end of every cell's measured window in Unix seconds."""
    edges = zip(cells["window_start"].tolist(), cells["window_end"].tolist(), strict=True)
    return dict(zip(cells.index, edges, strict=True))


def generator_growth(results: Results, column: str) -> pd.Series:
    """How much a cumulative `column` of generator.csv grew in the window, over all Locust processes."""
    cells = results.finished
    windows = _windows(cells)
    grown: dict[Any, float] = {}
    for (cell, _), times, values in _each(results.generator, ["cell", "process"], column):
        grown[cell] = grown.get(cell, 0.0) + growth(times, values, *windows[cell])
    return pd.Series(grown, dtype=float).reindex(cells.index)


def server_memory(processes: pd.DataFrame) -> pd.DataFrame:
    """PSS and RSS of the whole server: `cell`, `time`, `pss_bytes`, `rss_bytes`, a row per sample.

    The processes are read one after the other, so rows less than `SAMPLE_GAP_S` apart are one sample. A
    sum with an unknown part is unknown (NaN).
    """
    known = processes[processes[["pss_bytes", "rss_bytes"]].notna().any(axis=1)]
    own = known[known["role"] != "meter"].sort_values(["cell", "time"])
    fresh = (own["time"].diff() > SAMPLE_GAP_S) | (own["cell"].diff() != 0)
    time = own.groupby(fresh.cumsum())["time"].transform("first")
    columns = ["pss_bytes", "rss_bytes"]
    return own.assign(time=time).groupby(["cell", "time"])[columns].sum(skipna=False).reset_index()


def steal(results: Results) -> pd.Series:
    """Share of the time of the server's and the generator's CPUs that other guests of the host got."""
    return _host_cpu(results, ["steal_s"]) / _cpu_time(results.finished)


def others(results: Results) -> pd.Series:
    """Share of the time of the server's and the generator's CPUs that neither they nor the meter used.

    An external server is one of the others, and only the generator's CPUs count; of a generator on other
    machines none does. In a rotation the share is
    that of the whole sitting under a load, in which none of its servers and meters is one of the others: the
    clocks of CPUs tick too seldom for slices.

    The time in which the CPUs were not idle, less the server, the generator (its polling included), the
    meter, the proxy, and what the server's processes may have used unseen (`unmetered_ends`). That is other
    processes and what the kernel does for no process. A difference below zero is zero where the error of the
    bookkeeping explains it (`BOOKING_ERROR`, `TICK_S`), and unknown where it does not.

    A CPU was busy for as long as it was not idle: kernels that stop the tick of an idle CPU
    (NO_HZ, the usual ones) measure that exactly, while user and system time are counted in ticks, which
    see too much or nothing of a load that comes in step with them (the kernel's admin-guide/cpu-load).
    """
    cells = results.finished
    own = (server_cpu(results) + meter_cpu(results)).where(metered(cells), 0.0) + _proxy_cpu(results)
    generator = generator_growth(results, "cpu_s").where(cells["generator_cpus"].map(bool), 0.0)
    known = generator + _of_sitting(cells, own)
    total = _cpu_time(cells)
    left = total - _host_cpu(results, NOT_BUSY) - known
    seconds = cells["window_end"] - cells["window_start"]
    error = np.maximum(BOOKING_ERROR, 2 * TICK_S / seconds)
    share = (left - _of_sitting(cells, unmetered_ends(results))).clip(lower=0.0) / total
    return share.where(left / total >= -error)


def _proxy_cpu(results: Results) -> pd.Series:
    """CPU seconds of the proxy in each window, if it shared CPUs with the generator.

    Its clock was read at the ends of the cell, between which it was under load.
    """
    cells, proxy = results.finished, results.run.proxy
    if proxy is None or not set(proxy.cpus) & set(results.run.cpu_split.generator):
        return pd.Series(0.0, cells.index)
    window = (cells["window_end"] - cells["window_start"]) / (cells["ended"] - cells["started"])
    return (cells["proxy_cpu_s"] * window).where(cells["proxied"], 0.0)


def _of_sitting(cells: pd.DataFrame, values: pd.Series) -> pd.Series:
    """Of each rotated cell the sum over all that shared its window; of others their own. NaN where one is."""
    together = values.groupby([cells[name] for name in ("scenario", "workers", "users", "block")])
    summed = together.transform(lambda group: group.sum(skipna=False))
    return summed.where(cells["rotated"], values)


def unmetered_ends(results: Results) -> pd.Series:
    """The most CPU seconds that processes of the server can have used in the window after their last sample.

    One that died is known up to the last sample that saw it; from there to its death, or from its birth if
    none did, it may have kept one CPU busy.
    """
    cells = results.finished
    events = results.workers.drop_duplicates(["cell", "pid", "event"])
    born, died = (
        events[events["event"] == event].set_index(["cell", "pid"])["time"] for event in ("born", "died")
    )
    sampled = results.processes[results.processes["role"] != "meter"]
    seen = sampled.groupby(["cell", "pid"])["time"].max().reindex(died.index)
    cell = died.index.get_level_values("cell")
    begin = np.maximum(seen.fillna(born.reindex(died.index)), cells["window_start"].reindex(cell).to_numpy())
    until = np.minimum(died, cells["window_end"].reindex(cell).to_numpy())
    unseen = (until - begin).clip(lower=0.0)
    total: pd.Series = unseen.groupby(level="cell").sum().reindex(cells.index).fillna(0.0)
    return total


def _host_cpu(results: Results, columns: list[str]) -> pd.Series:
    """Seconds that the server's and the generator's CPUs spent so in the window; NaN where one is unknown."""
    cells = results.finished
    used, windows = used_cpus(cells).to_dict(), _windows(cells)
    spent: dict[Any, list[float]] = {cell: [] for cell in cells.index}
    for machine, host in (("", results.host), (APART, results.server_host)):
        read = host[["cell", "cpu", "time"]].assign(spent=host[columns].sum(axis=1, skipna=False))
        for (cell, cpu), times, values in _each(read, ["cell", "cpu"], "spent"):
            if (machine, cpu) in used[cell]:
                spent[cell].append(growth(times, values, *windows[cell]))
    whole = {cell: sum(parts) for cell, parts in spent.items() if len(parts) == len(used[cell])}
    return pd.Series(whole, dtype=float).reindex(cells.index)


def softirq(results: Results) -> pd.Series:
    """Share of the server's CPUs that the kernel spent on interrupts in the window, which no process has.

    NaN where the server was on the machine of the generator: there it is the traffic of both.
    """
    cells, columns = results.finished, ["irq_s", "softirq_s"]
    here = results.run.generators is not None and results.run.server_host is None
    host = results.host if here else results.server_host
    read = host[["cell", "cpu", "time"]].assign(spent=host[columns].sum(axis=1, skipna=False))
    spent: dict[Any, float] = {}
    of_server: dict[Any, list[int]] = cells["server_cpus"].to_dict()
    windows = _windows(cells)
    for (cell, cpu), times, values in _each(read, ["cell", "cpu"], "spent"):
        if cpu in of_server[cell]:
            spent[cell] = spent.get(cell, 0.0) + growth(times, values, *windows[cell])
    seconds = (cells["window_end"] - cells["window_start"]) * server_cpus(cells)
    return pd.Series(spent, dtype=float).reindex(cells.index) / seconds


def used_cpus(cells: pd.DataFrame) -> pd.Series:
    """The CPUs that server or generator of each cell ran on, by machine (`APART`: another) and number."""
    split = zip(cells["server_cpus"], cells["generator_cpus"], cells["apart"], strict=True)
    used = [
        {(APART if apart else "", cpu) for cpu in server or ()} | {("", cpu) for cpu in generator}
        for server, generator, apart in split
    ]
    return pd.Series(used, cells.index, dtype=object)


def sliced_cpus(cells: pd.DataFrame) -> pd.Series:
    """How many of these the generator looks at in a rotation: those of its machine."""
    return used_cpus(cells).map(lambda used: sum(machine != APART for machine, _ in used))


def _cpu_time(cells: pd.DataFrame) -> pd.Series:
    """Seconds that the CPUs of `used_cpus` had in the window."""
    return (cells["window_end"] - cells["window_start"]) * used_cpus(cells).map(len)
