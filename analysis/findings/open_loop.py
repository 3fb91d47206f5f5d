"""Did an open loop offer what it promised, and was it answered?"""

from collections.abc import Iterator

import pandas as pd

from analysis.findings.bottleneck import GENERATOR_BUSY, nearly_full
from analysis.findings.finding import (
    Finding,
    Kind,
    Measurements,
    at_loads,
    by_configuration,
    finds,
    server_log,
    shares,
)
from analysis.words import figures
from bench.model.thresholds import SATURATED

# Share of its arrivals that an open loop must complete in the window to have reached its rate.
REACHED = 0.99
# Above this share of busy users on average, a random arrival had to wait for one.
POOL_FULL = 0.90
# The generator's own lateness: share of the p99 from the schedule, ...
LATE = 0.10
# ... and the bound for all of them, in milliseconds: what a timer rounded to milliseconds would add.
LATE_MS = 1.0

NOT_REACHED = Kind(
    "rate-not-reached", "number", "Did the open loop happen?", "rate not reached",
    f"fewer than `REACHED` = {REACHED:g} of the arrivals in the window were completed in it",
    "latency from the schedule grows for as long as one measures. The first cause that holds is named: the "
    "server was saturated; the generator was nearly full (as above); on average more than `POOL_FULL` = "
    f"{POOL_FULL:g} of the users were in a request. Steps of a search are not reported",
    topics=("open loops",),
)  # fmt: skip
GENERATOR_LATE = Kind(
    "generator-late", "note", "Did the open loop happen?", "generator late",
    f"the p99 of its own lateness is above `LATE` = {LATE:g} of the p99 from the schedule, or above "
    f"`LATE_MS` = {LATE_MS:g} ms",
    "arrivals came in bunches; no latency contains the lateness",
    topics=("open loops",),
)  # fmt: skip

# Why a rate was not reached, and what to do about it; `{log}` is that of the server.
CAUSES = {
    "server": (
        ", because the server was saturated",
        "lower the rate; the table of rates has the highest that it serves, and a plan can search for it",
    ),
    "generator": (
        f", because the generator was nearly full (above {GENERATOR_BUSY:.0%} of its CPUs or near its "
        "ceiling)",
        "use more generator processes, or more CPUs for the generator",
    ),
    "pool": (
        ", because all users were busy: arrivals had to wait for one although the server was not saturated",
        "use more users in the open load (`users`)",
    ),
    "unmetered": (
        ", and whether the server was saturated is unknown",
        "see the CPU time of the server where it runs, or measure with a lower rate",
    ),
    "unknown": (
        ", and neither server nor generator nor the number of users explains it",
        "look for stalls in the chart over time and in {log}",
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


@finds(NOT_REACHED)
def unreached(measured: Measurements) -> Iterator[Finding]:
    """Open loops that completed fewer requests than arrived.

    A step of a search is meant to find that; where workers are replaced, it is the answer.
    """
    opened, results = measured.opened, measured.results
    planned = opened[opened["search_p99_ms"].isna() & (opened["treatment"] == "none")]
    missed = planned[planned["achieved"] < REACHED]
    for (scenario, why), group in missed.groupby(["scenario", cause(missed)]):
        explanation, advice = CAUSES[str(why)]
        yield NOT_REACHED.found(
            f"the rate was not reached at {at_loads(group)}{explanation}: "
            + by_configuration(group, lambda rows: f"{shares(rows['achieved'])} of the arrivals"),
            spoils="latency from the schedule there, which grows for as long as one measures",
            advice=advice.format(log=server_log(results.directory, results.cells.loc[group.index])),
            scenario=scenario,
            cells=group,
        )


@finds(GENERATOR_LATE)
def late(measured: Measurements) -> Iterator[Finding]:
    """Open loops whose generator sent late; from-schedule latency does not contain its lateness."""
    opened = measured.opened
    tardy = (opened["late_p99_us"] > LATE * opened["schedule_p99_us"]) | (
        opened["late_p99_us"] > LATE_MS * 1e3
    )
    for scenario, group in opened[tardy].groupby("scenario"):
        yield GENERATOR_LATE.found(
            f"the generator sent late at {at_loads(group)}: 1 % of the requests by more than "
            + by_configuration(group, lambda rows: f"{figures(rows['late_p99_us'].max() / 1e3)} ms"),
            spoils="the pattern of arrivals there, which came in bunches; latencies do not contain the "
            "lateness",
            advice="use more generator processes or CPUs, or a lower rate",
            scenario=scenario,
            cells=group,
        )
