"""What of a cell's numbers is the generator's and not the server's."""

from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, at_loads, each, loads, names, shares, worst
from analysis.checks.limits import (
    CEILING_SHARE,
    CROWDED_USERS,
    ERROR_RATE,
    GENERATOR_BUSY,
    IDLE_USERS,
    LOOP_LAG,
    LOOP_WAIT,
    SATURATED,
)
from analysis.words import figures


def nearly_full(rows: pd.DataFrame) -> pd.Series:
    """Whether the generator used up its CPUs or came near its known ceiling; an unknown one is none.

    Where the null server was the limit the ceiling is only "at least", and a share of it says nothing.
    """
    near = (rows["ceiling_share"] > CEILING_SHARE) & ~rows["ceiling_at_least"].eq(True)
    return (rows["generator_busy"] > GENERATOR_BUSY) | near


def generator_bound(rows: pd.DataFrame) -> pd.Series:
    """Whether the generator was the limit: nearly full, and the server not known to be saturated."""
    return ~(rows["busy"] >= SATURATED) & nearly_full(rows)


def loop_wait_share(rows: pd.DataFrame) -> pd.Series:
    """The share of the median latency for which answers lay unread in the generator."""
    return rows["loop_wait_us"] / rows["p50_us"]


def bound(closed: pd.DataFrame) -> Iterator[Finding]:
    """Closed-loop cells in which the generator was the limit."""
    for scenario, group in closed[generator_bound(closed)].groupby("scenario"):
        alone = bool((group["users"] == 1).all())
        yield Finding(
            "generator-bound", "warning",
            f"the generator was the limit at {at_loads(group)}, not the server: {each(group, _strain)}",
            "throughput there, which is a lower bound (≥) and ranks nothing; CPU per request holds",
            "go by CPU per request; a single user waits for server and generator in turn" if alone else
            "more generator processes, more CPUs for the generator, or go by CPU per request",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _strain(rows: pd.DataFrame) -> str:
    known = rows["ceiling_share"].dropna()
    ceiling = f" and {shares(known)} of its ceiling" if len(known) else ""
    used = f"{shares(rows['generator_busy'])} of its CPUs"
    busy = "not metered," if rows["busy"].isna().all() else f"{shares(rows['busy'])} busy"
    return f"{busy} under a generator at {used}{ceiling}"


def loop_wait(summary: pd.DataFrame) -> Iterator[Finding]:
    """Cells in which answers lay unread for a noticeable share of the median."""
    marked = summary[loop_wait_share(summary) > LOOP_WAIT]
    for scenario, group in marked.groupby("scenario"):
        yield Finding(
            "loop-wait", "warning",
            f"the generator left answers unread at {at_loads(group)}: of the median "
            + each(group, _its_part) + " is the generator's",
            "latency there (marked †), which is that much shorter without the generator",
            "more generator processes or CPUs; compare latencies at fewer users or a lower rate",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _its_part(rows: pd.DataFrame) -> str:
    row = worst(rows, loop_wait_share(rows))
    return f"{figures(row['p50_us'] / 1e3)} ms about {figures(row['loop_wait_us'] / 1e3)} ms"


def loop_lag(summary: pd.DataFrame) -> Iterator[Finding]:
    """Cells in which one long spell of deafness may have made the tail."""
    deaf = summary[summary["loop_lag_ms"] * 1000 > LOOP_LAG * summary["p99_us"]]
    for scenario, group in deaf.groupby("scenario"):
        yield Finding(
            "loop-lag", "note",
            "the generator did not look at its sockets for as long as "
            + each(group, lambda rows: f"{rows['loop_lag_ms'].max():.1f} ms")
            + f", where p99 is {group['p99_us'].min() / 1000:.1f} to {group['p99_us'].max() / 1000:.1f} ms",
            "p99.9 and maximum there, which may be the generator's own",
            "leave the generator's CPU to it alone",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def locust_users(finished: pd.DataFrame) -> Iterator[Finding]:
    """Cells loaded by Locust's own users; `finished` is `Results.finished`."""
    for scenario, group in finished[finished["engine"] == "locust"].groupby("scenario"):
        yield Finding(
            "locust-users", "note",
            "the load came from Locust's own users: their ceiling is thousands of requests per second and "
            "process, below what most of these servers answer (make bench-self measures it here), and a "
            "request on a connection that the server has closed may be sent again without a word",
            "throughput of fast servers; every latency, which contains their greenlet switches and, as each "
            "user waits for its answer, not what a stall keeps others waiting; the count of lost requests, "
            "which may be higher; the times in locust_*.csv, in whole milliseconds (latency.csv is exact)",
            "go by CPU per request, or write the scenario as a SwarmUser (docs/adding-a-scenario.md)",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def little(closed: pd.DataFrame, usable_cpus: pd.Series, window_s: pd.Series) -> Iterator[Finding]:
    """Little's law on closed loops: requests in flight (X·R) should be as many as users (N).

    What is explained is not reported: while the generator works for one user the others may have to wait
    for it, which takes at most the CPUs it used (of the `usable_cpus` of each cell) from the N users; and
    requests that cross an edge of the window count wholly where they end, which moves X·R by about one
    mean latency in the window's length, and after a stall before the window by at most one of the longest.
    Users whose requests failed spent time that X and R do not have, so cells with more than a few failures
    are left out.
    """
    sound = closed[~(closed["error_rate"] > ERROR_RATE)]
    edges = sound["mean_us"] / 1e6 / window_s.reindex(sound.index)
    own = sound["generator_busy"].fillna(0) * usable_cpus.reindex(sound.index) / sound["users"]
    for scenario, group in sound[sound["little"] < 1 - IDLE_USERS - edges - own].groupby("scenario"):
        yield Finding(
            "idle-users", "note",
            "users spent part of their time outside of requests at "
            f"{at_loads(group)}: {each(group, lambda rows: shares(1 - rows['little']))}",
            "throughput there, if the scenario does not wait on purpose: there were fewer users than it says",
            "nothing if the scenario waits; else see the log of the generator for tasks that block",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
    stalls = sound["max_us"] / 1e6 / window_s.reindex(sound.index)
    for scenario, group in sound[sound["little"] > 1 + CROWDED_USERS + stalls].groupby("scenario"):
        yield Finding(
            "books", "warning",
            f"the books do not balance at {at_loads(group)}: throughput times latency is more than there "
            f"are users, {each(group, lambda rows: shares(rows['little']))} of them",
            "throughput or latency there: one of the two is wrong (Little's law)",
            "measure the cell again; if it stays, it is a mistake of this suite: report it",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
