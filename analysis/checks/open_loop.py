"""Did an open loop offer what it promised, and was it answered?"""

from collections.abc import Iterator

import pandas as pd

from analysis.checks.findings import Finding, at_loads, each, loads, names, shares
from analysis.checks.generator import nearly_full
from analysis.checks.limits import GENERATOR_BUSY, LATE, LATE_MS, POOL_FULL, REACHED, SATURATED
from analysis.words import figures

# Why a rate was not reached, and what to do about it.
CAUSES = {
    "server": (
        "the server was saturated",
        "a lower rate; the highest that it serves is in the table of rates, or let the plan search for it",
    ),
    "generator": (
        f"the generator was nearly full (above {GENERATOR_BUSY:.0%} of its CPUs or near its ceiling)",
        "more generator processes, or more CPUs for the generator",
    ),
    "pool": (
        "all users were busy, so arrivals had to wait for one although the server was not saturated",
        "more users in the open load (`users`)",
    ),
    "unmetered": (
        "whether the server was saturated is unknown",
        "see the CPU time of the server where it runs, or measure with a lower rate",
    ),
    "unknown": (
        "neither server nor generator nor the number of users explains it",
        "see the chart over time and server.log for stalls",
    ),
}


def in_flight_share(rows: pd.DataFrame) -> pd.Series:
    """How many of its users were in a request on average, as a share (Little's law)."""
    return rows["throughput"] * rows["mean_us"] / 1e6 / rows["users"]


def cause(rows: pd.DataFrame) -> pd.Series:
    """Which of `CAUSES` kept a cell from its rate; the first that holds."""
    found = pd.Series("unknown", index=rows.index)
    found[rows["busy"].isna()] = "unmetered"
    found[in_flight_share(rows) > POOL_FULL] = "pool"
    found[nearly_full(rows)] = "generator"
    found[rows["busy"] >= SATURATED] = "server"
    return found


def unreached(opened: pd.DataFrame) -> Iterator[Finding]:
    """Open loops that completed fewer requests than arrived; a step of a search is meant to find that."""
    missed = opened[opened["achieved"] < REACHED]
    for (scenario, why), group in missed.groupby(["scenario", cause(missed)]):
        explanation, advice = CAUSES[str(why)]
        yield Finding(
            "rate-not-reached", "warning",
            f"the rate was not reached at {at_loads(group)}, because {explanation}: "
            + each(group, lambda rows: f"{shares(rows['achieved'])} of the arrivals")
            if why not in ("unknown", "unmetered") else
            f"the rate was not reached at {at_loads(group)}, and {explanation}: "
            + each(group, lambda rows: f"{shares(rows['achieved'])} of the arrivals"),
            "latency from the schedule there, which grows for as long as one measures",
            advice, str(scenario), names(group), loads(group),
        )  # fmt: skip


def late(opened: pd.DataFrame) -> Iterator[Finding]:
    """Open loops whose generator sent late; from-schedule latency does not contain its lateness."""
    tardy = (opened["late_p99_us"] > LATE * opened["schedule_p99_us"]) | (
        opened["late_p99_us"] > LATE_MS * 1e3
    )
    for scenario, group in opened[tardy].groupby("scenario"):
        yield Finding(
            "generator-late", "note",
            f"the generator sent late at {at_loads(group)}: 1 % of the requests by more than "
            + each(group, lambda rows: f"{figures(rows['late_p99_us'].max() / 1e3)} ms"),
            "the pattern of arrivals there, which came in bunches; latencies do not contain the lateness",
            "more generator processes or CPUs, or a lower rate",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
