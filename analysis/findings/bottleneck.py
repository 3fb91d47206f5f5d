"""Whose number is it: did the server limit a cell, or the generator, or neither?"""

from collections.abc import Iterator

import pandas as pd

from analysis.cells import counters
from analysis.findings.errors import ERROR_RATE
from analysis.findings.finding import (
    Finding,
    Kind,
    Measurements,
    at_loads,
    by_configuration,
    finds,
    generator_log,
    shares,
    worst,
)
from analysis.words import figures
from bench.model.thresholds import SATURATED, Metric, ranking_metric

# A generator that used more of its CPUs than this may have been.
GENERATOR_BUSY = 0.90
# Beyond this share of what the generator reaches against a server that does nothing, most of the time between
# two requests of a user is the generator's.
CEILING_SHARE = 0.60
# Share of the median that may be the time for which the generator left answers unread.
LOOP_WAIT = 0.10
# Longest time for which the generator may have been deaf, as a share of the cell's p99.
LOOP_LAG = 0.5
# Share of their time that users may spend outside of requests, beyond what its CPU time explains, ...
IDLE_USERS = 0.10
# ... and by which requests may fill more than all of it before the books do not balance.
CROWDED_USERS = 0.05

GENERATOR_BOUND = Kind(
    "generator-bound", "answer", "Whose number is it?", "generator-bound",
    f"server below `SATURATED` = {SATURATED:g} of its CPUs while the generator is above "
    f"`GENERATOR_BUSY` = {GENERATOR_BUSY:g} of those its processes can use, or above `CEILING_SHARE` = "
    f"{CEILING_SHARE:g} of its ceiling (unless that is only \"at least\")",
    "the throughput is a lower bound (≥, hollow markers) and ranks nothing",
    topics=("throughput",), note="the generator was the limit",
)  # fmt: skip
UNSATURATED = Kind(
    "unsaturated", "number", "Whose number is it?", "server not saturated",
    "below `SATURATED`, and not generator-bound",
    "something else was the limit: a lower bound as well",
    topics=("throughput",), note="server not saturated",
)  # fmt: skip
WAITING = Kind(
    "waiting", "note", "Whose number is it?", "users were waiting",
    "the same, where `users / shortest latency` requests per second (Little's law) would not fill the "
    "CPUs, or there are no more users than CPUs",
    "an idle server is expected: throughput says how many users there were",
    topics=("throughput",),
)  # fmt: skip
WAIT = Kind(
    "loop-wait", "number", "Whose number is it?", "generator's wait",
    f"`LOOP_WAIT` = {LOOP_WAIT:g} of the median",
    "an answer lies unread for so long on average (`loop_wait_us`): latencies that hold it are marked †",
    topics=("latency", "open loops"), note="† holds the generator's wait",
)  # fmt: skip
LAG = Kind(
    "loop-lag", "note", "Whose number is it?", "generator deaf",
    f"`LOOP_LAG` = {LOOP_LAG:g} of the cell's p99",
    "the longest that the generator did not look at its sockets: p99.9 and the maximum may be its own",
    topics=("latency",), note="tail may be the generator's",
)  # fmt: skip
LOCUST_USERS = Kind(
    "locust-users", "note", "Whose number is it?", "Locust's own users",
    "engine `locust`",
    "`HttpUser` and `FastHttpUser` are slower than the servers, and their waiting is not known",
)  # fmt: skip
IDLE = Kind(
    "idle-users", "note", "Whose number is it?", "idle users",
    "throughput times mean latency over users (Little's law: 1) below 1 by more than `IDLE_USERS` = "
    f"{IDLE_USERS:g}, the generator's CPU time and one latency at the edges taken off; not beyond "
    "`ERROR_RATE` failures",
    "users spent time outside of requests; on purpose if the scenario waits",
    topics=("throughput",),
)  # fmt: skip
BOOKS = Kind(
    "books", "answer", "Whose number is it?", "books do not balance",
    f"above 1 by more than `CROWDED_USERS` = {CROWDED_USERS:g} and the longest latency over the "
    "window's length",
    "more requests in flight than users is impossible: throughput or latency is wrong",
    topics=("throughput",), note="books do not balance",
)  # fmt: skip


def nearly_full(rows: pd.DataFrame) -> pd.Series:
    """Whether the generator used up its CPUs or came near its known ceiling; an unknown one is none.

    Where the null server was the limit the ceiling is only "at least", and a share of it says nothing.
    """
    near = (rows["ceiling_share"] > CEILING_SHARE) & ~rows["ceiling_at_least"].eq(True)
    return (rows["generator_busy"] > GENERATOR_BUSY) | near


def generator_bound(rows: pd.DataFrame) -> pd.Series:
    """Whether the generator was the limit: nearly full, and the server not known to be saturated."""
    return ~(rows["busy"] >= SATURATED) & nearly_full(rows)


def ranked_by(cells: pd.DataFrame) -> Metric:
    """What ranks the cells of one load (`thresholds.ranking_metric`)."""
    return ranking_metric(cells.groupby("configuration")["busy"].mean())


def could_saturate(summary: pd.DataFrame, cpus: pd.Series) -> pd.Series:
    """Whether so many users could have kept the server's `cpus` busy at all.

    A closed loop of `users` asks at most `users / shortest latency` requests per second (Little's law).
    If even that many would leave the CPUs below `SATURATED`, the users were waiting for something else,
    such as the app's own I/O, and an idle server is no fault of the measurement. The same holds for no
    more users than CPUs: while an answer travels, its user's CPU has nothing to do.
    """
    most = summary["users"] / summary["min_us"] * summary["cpu_us"] / cpus
    return (most >= SATURATED) & (summary["users"] > cpus)


@finds(GENERATOR_BOUND)
def bound(measured: Measurements) -> Iterator[Finding]:
    """Closed-loop cells in which the generator was the limit."""
    closed = measured.closed
    for scenario, group in closed[generator_bound(closed)].groupby("scenario"):
        alone = bool((group["users"] == 1).all())
        yield GENERATOR_BOUND.found(
            f"the generator was the limit at {at_loads(group)}, not the server: "
            + by_configuration(group, _strain),
            spoils="throughput there, which is a lower bound (≥) and ranks nothing; CPU per request holds",
            advice="go by CPU per request; a single user waits for server and generator in turn"
            if alone
            else "use more generator processes or more CPUs for the generator, or go by CPU per request",
            scenario=scenario,
            cells=group,
        )


@finds(UNSATURATED, WAITING)
def unsaturated(measured: Measurements) -> Iterator[Finding]:
    """Closed-loop cells whose server had CPU time to spare although the generator was not the limit."""
    closed, database = measured.closed, measured.results.run.database
    idle = closed[(closed["busy"] < SATURATED) & (closed["requests"] > 0) & ~generator_bound(closed)]
    possible = could_saturate(idle, counters.server_cpus(measured.results.finished).reindex(idle.index))
    for scenario, group in idle[possible].groupby("scenario"):
        # A scenario that asks a database is expected to wait for it.
        asks = database is not None and scenario in database.scenarios
        yield UNSATURATED.found(
            f"the server was not busy, and neither was the generator"
            f"{', which leaves the database' if asks else ''}: "
            f"{by_configuration(group, lambda rows: shares(rows['busy']))} of its CPUs at {at_loads(group)}",
            spoils="throughput there, which is a lower bound (≥); CPU per request holds",
            advice="compare CPU per request and latency, or give the database CPUs of its own"
            if asks
            else "use more users, or find what the server waits for",
            scenario=scenario,
            cells=group,
            group="note" if asks else "number",
        )
    for scenario, group in idle[~possible].groupby("scenario"):
        yield WAITING.found(
            f"{at_loads(group)} cannot fill the server ({shares(group['busy'])} busy): the time goes into "
            "waiting for answers, not into its CPU",
            spoils="throughput there, which says how many users there were, not what the server can do",
            advice="compare CPU per request and latency, or measure with more users",
            scenario=scenario,
            cells=group,
        )


@finds(WAIT)
def loop_wait(measured: Measurements) -> Iterator[Finding]:
    """Cells in which answers lay unread for a noticeable share of the median."""
    summary = measured.summary
    for scenario, group in summary[_wait_share(summary) > LOOP_WAIT].groupby("scenario"):
        yield WAIT.found(
            f"the generator left answers unread at {at_loads(group)}: of the median "
            f"{by_configuration(group, _its_part)} is the generator's",
            spoils="latency there (marked †), which is that much shorter without the generator",
            advice="use more generator processes or CPUs; compare latencies at fewer users or a lower rate",
            scenario=scenario,
            cells=group,
        )


@finds(IDLE, BOOKS)
def little(measured: Measurements) -> Iterator[Finding]:
    """Little's law on closed loops: requests in flight (X·R) should be as many as users (N).

    What is explained is not reported: while the generator works for one user the others may have to wait
    for it, which takes at most the CPUs it used from the N users; and requests that cross an edge of the
    window count wholly where they end, which moves X·R by about one mean latency in the window's length, and
    after a stall before the window by at most one of the longest. Users whose requests failed spent time that
    X and R do not have, so cells with more than a few failures are left out.
    """
    finished = measured.results.finished
    sound = measured.closed[~(measured.closed["error_rate"] > ERROR_RATE)]
    # Every slice of a rotation has edges of its own.
    window_s = sound["slice_s"].fillna(sound["loaded_s"])
    edges = sound["mean_us"] / 1e6 / window_s
    own = (
        sound["generator_busy"].fillna(0) * finished["generator_usable"].reindex(sound.index) / sound["users"]
    )
    log = generator_log(measured.results.directory)
    for scenario, group in sound[sound["little"] < 1 - IDLE_USERS - edges - own].groupby("scenario"):
        yield IDLE.found(
            "users spent part of their time outside of requests at "
            f"{at_loads(group)}: {by_configuration(group, lambda rows: shares(1 - rows['little']))}",
            spoils="throughput there, unless the scenario waits on purpose: fewer users were at work than it "
            "says",
            advice=f"leave it if the scenario waits; else look in {log} for tasks that block",
            scenario=scenario,
            cells=group,
        )
    stalls = sound["max_us"] / 1e6 / window_s
    for scenario, group in sound[sound["little"] > 1 + CROWDED_USERS + stalls].groupby("scenario"):
        yield BOOKS.found(
            f"the books do not balance at {at_loads(group)}: throughput times latency is more than there "
            f"are users, {by_configuration(group, lambda rows: shares(rows['little']))} of them",
            spoils="throughput or latency there: one of the two is wrong (Little's law)",
            advice="measure the cell again; if it stays, it is a mistake of this suite: report it",
            scenario=scenario,
            cells=group,
        )


@finds(LAG)
def loop_lag(measured: Measurements) -> Iterator[Finding]:
    """Cells in which one long spell of deafness may have made the tail."""
    summary = measured.summary
    deaf = summary[summary["loop_lag_ms"] * 1000 > LOOP_LAG * summary["p99_us"]]
    for scenario, group in deaf.groupby("scenario"):
        longest = by_configuration(group, lambda rows: f"{rows['loop_lag_ms'].max():.1f} ms")
        yield LAG.found(
            f"the generator did not look at its sockets for as long as {longest}, where p99 is "
            f"{group['p99_us'].min() / 1000:.1f} to {group['p99_us'].max() / 1000:.1f} ms",
            spoils="p99.9 and maximum there, which may be the generator's own",
            advice="leave the generator's CPU to it alone",
            scenario=scenario,
            cells=group,
        )


@finds(LOCUST_USERS)
def locust_users(measured: Measurements) -> Iterator[Finding]:
    """Cells loaded by Locust's own users."""
    finished = measured.results.finished
    for scenario, group in finished[finished["engine"] == "locust"].groupby("scenario"):
        yield LOCUST_USERS.found(
            "the load came from Locust's own users. Their ceiling is thousands of requests per second and "
            "process, below what most of these servers answer (make bench-self measures it here). They may "
            "silently send a request again on a connection that the server has closed",
            spoils="throughput of fast servers; every latency, which contains their greenlet switches but "
            "not what a stall keeps others waiting, as each user waits for its answer; the count of lost "
            "requests, which may be higher; the times in locust_*.csv, in whole milliseconds (latency.csv "
            "is exact)",
            advice="go by CPU per request, or write the scenario as a SwarmUser (locustfiles/README.md)",
            scenario=scenario,
            cells=group,
        )


def _strain(rows: pd.DataFrame) -> str:
    known = rows["ceiling_share"].dropna()
    ceiling = f" and {shares(known)} of its ceiling" if len(known) else ""
    used = f"{shares(rows['generator_busy'])} of its CPUs"
    busy = "not metered," if rows["busy"].isna().all() else f"{shares(rows['busy'])} busy"
    return f"{busy} under a generator at {used}{ceiling}"


def _wait_share(rows: pd.DataFrame) -> pd.Series:
    """The share of the median latency for which answers lay unread in the generator."""
    return rows["loop_wait_us"] / rows["p50_us"]


def _its_part(rows: pd.DataFrame) -> str:
    row = worst(rows, _wait_share(rows))
    return f"{figures(row['p50_us'] / 1e3)} ms about {figures(row['loop_wait_us'] / 1e3)} ms"
