"""Whether workers lived through the cells in which nobody replaced them."""

import signal
from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, each, loads, names
from analysis.results import Results


def died(results: Results) -> Iterator[Finding]:
    """Workers that ended in warm-up or window of a cell without recycling and without a probe.

    Managers start another one: the server serves on, and the cell does not fail.
    """
    cells = results.finished[results.finished["treatment"] == "none"]
    events = results.workers.join(cells[["path", "window_end"]], on="cell", how="inner")
    deaths = events[(events["role"] == "worker") & (events["event"] == "died")]
    # After the window the server is stopped.
    deaths = deaths[deaths["time"] < deaths["window_end"]]
    for scenario, group in deaths.groupby("scenario", observed=True):
        yield Finding(
            "worker-died", "warning",
            f"workers died although nobody replaced or stopped them: {each(group, _ends)}",
            "throughput and latency there, which hold the time with a worker fewer and the start of the next",
            f"read server.log in {group['path'].iloc[0]}; a SIGKILL may be the kernel's, for want of memory",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _ends(deaths: pd.DataFrame) -> str:
    """How many ended in which way, such as "2 by SIGKILL, 1 with exit status 3"."""
    counts = deaths["exit_status"].map(_end).value_counts()
    return ", ".join(f"{count:,} {end}" for end, count in counts.items())


def _end(status: float) -> str:
    """The end of a process in words; negative statuses are signals, NaN is unknown."""
    if pd.isna(status):
        return "with an unknown exit status"
    if status < 0:
        return f"by {signal.Signals(-int(status)).name}"
    return f"with exit status {int(status)}"
