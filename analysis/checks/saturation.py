"""Was the server what limited a closed loop? If not, its throughput is somebody else's."""

from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, at_loads, each, loads, names, shares
from analysis.checks.generator import generator_bound
from analysis.checks.limits import SATURATED
from analysis.schema import Database

# What is left where a server asks a database, and what to do about it.
DATABASE_WAIT = (
    ", which leaves the database",
    "compare CPU per request and latency, or give the database CPUs of its own",
)


def could_saturate(summary: pd.DataFrame, cpus: pd.Series) -> pd.Series:
    """Whether so many users could have kept the server's `cpus` busy at all.

    A closed loop of `users` asks at most `users / shortest latency` requests per second (Little's law).
    If even that many would leave the CPUs below `SATURATED`, the users were waiting for something else,
    such as the app's own I/O, and an idle server is no fault of the measurement. The same holds for no
    more users than CPUs: while an answer travels, its user's CPU has nothing to do.
    """
    most = summary["users"] / summary["min_us"] * summary["cpu_us"] / cpus
    return (most >= SATURATED) & (summary["users"] > cpus)


def unsaturated(closed: pd.DataFrame, cpus: pd.Series, database: Database | None) -> Iterator[Finding]:
    """Closed-loop cells whose server had CPU time to spare although the generator was not the limit.

    `cpus` is how many each cell's server was pinned to, `database` that of the run: the scenarios that ask
    it are expected to wait for it.
    """
    idle = closed[(closed["busy"] < SATURATED) & (closed["requests"] > 0) & ~generator_bound(closed)]
    possible = could_saturate(idle, cpus.reindex(idle.index))
    for scenario, group in idle[possible].groupby("scenario"):
        asks = database is not None and scenario in database.scenarios
        whose, advice = DATABASE_WAIT if asks else ("", "more users, or find what the server waits for")
        yield Finding(
            "unsaturated", "note" if asks else "warning",
            f"the server was not busy, and neither was the generator{whose}: "
            f"{each(group, lambda rows: shares(rows['busy']))} of its CPUs at {at_loads(group)}",
            "throughput there, which is a lower bound (≥); CPU per request holds",
            advice,
            str(scenario), names(group), loads(group),
        )  # fmt: skip
    for scenario, group in idle[~possible].groupby("scenario"):
        yield Finding(
            "waiting", "note",
            f"{at_loads(group)} cannot fill the server ({shares(group['busy'])} busy): the time goes into "
            "waiting for answers, not into its CPU",
            "throughput there, which says how many users there were, not what the server can do",
            "compare CPU per request and latency, or measure with more users",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
