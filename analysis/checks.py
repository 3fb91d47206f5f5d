"""What may be wrong with a run: findings, each with what it spoils and what to do about it.

Every threshold is explained in docs/methodology.md. A finding speaks for all cells it was found in: it
names the configurations and loads of one scenario, or the whole run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.results import Results
from analysis.statistics import LOAD, window

# A server that used less of its CPUs than this was not what limited the throughput.
SATURATED = 0.90
# A generator that used more of its CPUs than this may have been.
GENERATOR_BUSY = 0.90
# Failures beyond this share of all requests make the rest of the numbers describe another service.
ERROR_RATE = 0.001
# A second may deviate this much from the mean of its window, ...
UNSTEADY = 0.15
# ... and the repeats of a cell this much from each other (largest over smallest).
SPREAD = 1.20
# Share of CPU time the hypervisor may give to others.
STEAL = 0.02
# Longest time the generator may have been deaf, as a share of the cell's p99.
LOOP_LAG = 0.5


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in one scenario; without a scenario, in the whole run.

    `severity` is `warning` where a number on the page is not what it seems, `note` where it only needs
    to be read with care. `loads` are the (workers, users) it was found at.
    """

    kind: str
    severity: Literal["warning", "note"]
    message: str
    spoils: str
    advice: str
    scenario: str | None = None
    configurations: tuple[str, ...] = ()
    loads: frozenset[tuple[int, int]] = frozenset()

    @property
    def text(self) -> str:
        """All of it in two sentences."""
        where = f"{self.scenario}: " if self.scenario else ""
        advice = self.advice[0].upper() + self.advice[1:]
        return f"{where}{self.message}. This spoils {self.spoils}. {advice}."

    def concerns(self, configuration: str, scenario: str, workers: int, users: int) -> bool:
        """Whether it was found in this configuration at this load."""
        return (
            self.scenario == scenario
            and configuration in self.configurations
            and (workers, users) in self.loads
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


def check(results: Results, summary: pd.DataFrame) -> list[Finding]:
    """All findings, warnings first; `summary` is `statistics.summarise(results)`."""
    findings = [
        *_of_the_run(results),
        *_of_the_cells(summary),
        *_failed(results),
        *_unsaturated(results, summary),
        *_errors(results, summary),
        *_unsteady(results, summary),
        *_spread(summary),
        *_loop_lag(summary),
        *_locust_users(results),
    ]
    return sorted(findings, key=lambda finding: finding.severity != "warning")


def _of_the_run(results: Results) -> Iterator[Finding]:
    for note in results.notes:
        yield Finding(
            "incomplete", "note", note, "comparisons, which may lack candidates and repeats", "resume the run"
        )  # fmt: skip
    for missing in results.run.unavailable:
        yield Finding(
            "unavailable", "note", f"{missing.configuration} could not be measured: {missing.reason}",
            "the ranking, which lacks it", missing.remedy, configurations=(missing.configuration,),
        )  # fmt: skip
    if not results.run.cpu_split.trusted:
        yield Finding(
            "cpu-split", "warning", "server and generator shared CPUs",
            "every number: each took CPU time from the other",
            "measure on a machine with two or more CPUs",
        )  # fmt: skip


def _of_the_cells(summary: pd.DataFrame) -> Iterator[Finding]:
    stolen = summary["steal"][summary["steal"] > STEAL]
    if len(stolen):
        yield Finding(
            "steal", "warning",
            f"other guests of this host took up to {stolen.max():.0%} of the CPU time "
            f"({_cells(len(stolen))} above {STEAL:.0%})",
            "throughput and latency, and least of all CPU per request",
            "run again at a quieter time, or on dedicated cores",
        )  # fmt: skip
    if summary.groupby(["configuration", *LOAD])["repeat"].nunique().max() < 2:
        yield Finding(
            "one-repeat", "warning", "every cell was measured once",
            "comparisons: there are no intervals, so nothing can be ranked",
            "use a plan with three or more repeats, such as quick",
        )  # fmt: skip
    unmetered = int(summary["cpu_s"].isna().sum())
    if unmetered:
        yield Finding(
            "unmetered", "warning",
            f"the samples of the server's CPU time do not cover the window of {_cells(unmetered)}",
            "CPU per request and saturation there, which are left out",
            "see processes.csv of these cells; a loaded machine can hold up the meter",
        )  # fmt: skip


def _failed(results: Results) -> Iterator[Finding]:
    failed = results.cells[results.cells["status"] == "failed"]
    for (configuration, scenario), group in failed.groupby(["configuration", "scenario"]):
        yield Finding(
            "failed", "warning",
            f"{configuration}: {_cells(len(group))} failed: {group['reason'].value_counts().index[0]}",
            "its interval, or its whole place in the ranking",
            f"read server.log in {group['path'].iloc[0]}, then resume the run",
            str(scenario), (str(configuration),), _loads(group),
        )  # fmt: skip


def _unsaturated(results: Results, summary: pd.DataFrame) -> Iterator[Finding]:
    cpus = results.finished["server_cpus"].map(len)
    idle = summary[(summary["busy"] < SATURATED) & (summary["requests"] > 0)]
    limited = idle["generator_busy"] > GENERATOR_BUSY
    # A generator that is late makes every answer look late, so its users only seem to wait for the app.
    possible = limited | could_saturate(idle, cpus.reindex(idle.index))
    for (scenario, generator), group in idle[possible].groupby(["scenario", limited[possible]]):
        cause = "because the generator was" if generator else "and neither was the generator"
        yield Finding(
            "unsaturated", "warning",
            f"the server was not busy, {cause}: {_each(group, lambda rows: _range(rows['busy']))} "
            f"of its CPUs at {_users(group)}",
            "throughput there, which is a lower bound (≥); CPU per request holds",
            "give the generator more CPUs" if generator else "more users, or find what the server waits for",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip
    for scenario, group in idle[~possible].groupby("scenario"):
        yield Finding(
            "waiting", "note",
            f"{_users(group)} cannot fill the server ({_range(group['busy'])} busy): the time goes into "
            "waiting for answers, not into its CPU",
            "throughput there, which says how many users there were, not what the server can do",
            "compare CPU per request and latency, or measure with more users",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip


def _errors(results: Results, summary: pd.DataFrame) -> Iterator[Finding]:
    failed = summary[summary["failures"] > 0]
    for (configuration, scenario), group in failed.groupby(["configuration", "scenario"]):
        rows = results.failures[results.failures["cell"].isin(group.index)]
        kinds = rows.groupby("kind", observed=True)["count"].sum().sort_values(ascending=False)
        listed = ", ".join(f"{count:,} {kind!s}" for kind, count in kinds.items())
        failures = int(group["failures"].sum())
        rate = failures / (failures + int(group["requests"].sum()))
        grave = rate > ERROR_RATE
        yield Finding(
            "errors", "warning" if grave else "note",
            f"{configuration}: {rate:.2%} of the requests failed ({listed})",
            "throughput and latency, which count successes only" if grave else "little, at this rate",
            f"read failures.csv and server.log in {results.cells['path'].to_dict()[group.index[0]]}",
            str(scenario), (str(configuration),), _loads(group),
        )  # fmt: skip


def _unsteady(results: Results, summary: pd.DataFrame) -> Iterator[Finding]:
    swing = _swing(results)
    affected = summary.assign(swing=swing)[swing.reindex(summary.index) > 0]
    for scenario, group in affected.groupby("scenario"):
        yield Finding(
            "unsteady", "warning",
            "throughput swung within the window by up to "
            + _each(group, lambda rows: f"{rows['swing'].max():.0%}"),
            "throughput there, which depends on the moment, and the tail latency, which holds the stalls",
            "see the chart over time; a longer warm-up or window tells a trend from a stall",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip


def _swing(results: Results) -> pd.Series:
    """Per cell, the largest deviation of a second from the window's mean, as a share; 0 if tolerable."""
    cells = results.finished
    users: dict[object, int] = cells["users"].to_dict()
    service = results.latencies[results.latencies["kind"] == "service"]
    per_second = service.groupby(["cell", "second"])["count"].sum()
    swing: dict[object, float] = {}
    for cell, counts in per_second.groupby(level="cell"):
        start, end = window(cells, cell)
        every = counts.droplevel("cell").reindex(range(int(start), int(end)), fill_value=0)
        deviation = (every - every.mean()).abs().max()
        # What `users` have in flight may fall on either side of a second's end.
        tolerable = deviation <= max(UNSTEADY * every.mean(), users[cell])
        swing[cell] = 0.0 if tolerable else deviation / every.mean()
    return pd.Series(swing, dtype=float)


def _spread(summary: pd.DataFrame) -> Iterator[Finding]:
    throughput = summary.groupby(["configuration", *LOAD])["throughput"]
    ratio = (throughput.max() / throughput.min()).rename("ratio").reset_index()
    for scenario, group in ratio[ratio["ratio"] > SPREAD].groupby("scenario"):
        yield Finding(
            "spread", "note",
            "repeats of the same cell differ by up to "
            + _each(group, lambda rows: f"{rows['ratio'].max():.2f}x"),
            "the intervals there, which are wide",
            "more repeats, or a quieter machine",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip


def _loop_lag(summary: pd.DataFrame) -> Iterator[Finding]:
    deaf = summary[summary["loop_lag_ms"] * 1000 > LOOP_LAG * summary["p99_us"]]
    for scenario, group in deaf.groupby("scenario"):
        yield Finding(
            "loop-lag", "note",
            "the generator did not look at its sockets for as long as "
            + _each(group, lambda rows: f"{rows['loop_lag_ms'].max():.1f} ms")
            + f", where p99 is {group['p99_us'].min() / 1000:.1f} to {group['p99_us'].max() / 1000:.1f} ms",
            "p99.9 and maximum there, which may be the generator's own",
            "leave the generator's CPU to it alone",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip


def _locust_users(results: Results) -> Iterator[Finding]:
    plain = results.finished[results.finished["engine"] == "locust"]
    for scenario, group in plain.groupby("scenario"):
        yield Finding(
            "locust-users", "note",
            "the load came from Locust's own users, whose ceiling is thousands of requests per second and "
            "process, below what most of these servers answer (make bench-self measures it here)",
            "throughput of fast servers, and every latency, which contains their greenlet switches",
            "write the scenario as a SwarmUser (docs/adding-a-scenario.md)",
            str(scenario), _names(group), _loads(group),
        )  # fmt: skip


def _names(group: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(name) for name in group["configuration"].unique())


def _loads(group: pd.DataFrame) -> frozenset[tuple[int, int]]:
    return frozenset(zip(group["workers"].astype(int), group["users"].astype(int), strict=True))


def _each(group: pd.DataFrame, text: Callable[[pd.DataFrame], str]) -> str:
    """`text` of each configuration's rows, with its name."""
    return ", ".join(f"{name} {text(rows)}" for name, rows in group.groupby("configuration", sort=False))


def _cells(count: int) -> str:
    return f"{count} cell" if count == 1 else f"{count} cells"


def _users(group: pd.DataFrame) -> str:
    users = sorted(group["users"].unique())
    return f"{' or '.join(map(str, users))} {'user' if users == [1] else 'users'}"


def _range(shares: pd.Series) -> str:
    low, high = f"{shares.min():.0%}", f"{shares.max():.0%}"
    return low if low == high else f"{low} to {high}"
