"""What went wrong in finished cells: requests that failed or were none, users' code, workers that died."""

import signal
from collections.abc import Iterator
from http import HTTPMethod
from pathlib import PurePath

import pandas as pd

from analysis.findings.finding import (
    Finding,
    Kind,
    Measurements,
    by_configuration,
    finds,
    generator_log,
    in_first,
    names,
    server_log,
)
from analysis.reading import frames
from analysis.reading.results import Results
from analysis.words import counted, listed, quoted
from bench.model.thresholds import ERROR_RATE as ERROR_RATE

ERRORS = Kind(
    "errors", "answer", "What else happened?", "errors",
    f"`ERROR_RATE` = {ERROR_RATE:g} of all requests is a warning",
    "any failure is reported; above this, the rest describes another service",
    topics=("latency", "cost", "open loops"),
)  # fmt: skip
NO_SUCCESS = Kind(
    "no-success", "answer", "What else happened?", "no request succeeded",
    "a cell without a success",
    "it has neither throughput nor latency, and no server kept up with its rate",
    note="no success in some cells",
)  # fmt: skip
EXCEPTIONS = Kind(
    "exceptions", "number", "What else happened?", "exceptions",
    "any, in a task or listener of the scenario",
    "a task that raises leaves out the rest of what it says, and no request fails by it",
    note="users' code raised",
)  # fmt: skip
REPORTED = Kind(
    "reported", "number", "What else happened?", "events counted as requests",
    "any request type that is no method of HTTP",
    "what a locustfile fires itself (events.request.fire) counts as it does for Locust: as a request",
    note="own events counted",
)  # fmt: skip
WORKER_DIED = Kind(
    "worker-died", "number", "What else happened?", "a worker died",
    "any, in warm-up or window of a cell in which none is to be replaced",
    "the cell holds the time with a worker fewer and the start of the next",
)  # fmt: skip
# What exceptions spoil, by their source.
SPOILT = {
    "task": "what was measured there: a task that raises leaves out the rest of what the scenario says",
    "listener": "what was measured there, as far as the scenario rests on what its listeners do",
}


@finds(NO_SUCCESS)
def no_success(measured: Measurements) -> Iterator[Finding]:
    """Cells in which every request failed."""
    results, summary = measured.results, measured.served
    cells = summary.groupby(["configuration", "scenario"])["requests"].transform("size")
    unserved = _without_success(summary.assign(cells=cells))
    for scenario, group in unserved.groupby("scenario"):
        yield NO_SUCCESS.found(
            f"no request succeeded: {by_configuration(group, _in_cells)}; {group['failures'].sum():,} "
            f"failed, most often with {_commonest(results, group)}",
            spoils="everything there: without a success there is no throughput, no latency and no rank",
            advice=_read(results, group),
            scenario=scenario,
            cells=group,
        )


@finds(ERRORS)
def failures(measured: Measurements) -> Iterator[Finding]:
    """Failed requests, by kind; cells without any success have a finding of their own."""
    results, summary = measured.results, measured.served
    spoiled = summary[summary["failures"] > 0]
    for (configuration, scenario), group in spoiled.groupby(["configuration", "scenario"]):
        if not group["requests"].any():
            continue
        rows = results.failures[results.failures["cell"].isin(group.index)]
        kinds = rows.groupby("kind", observed=True)["count"].sum().sort_values(ascending=False)
        counts = ", ".join(f"{count:,} {kind!s}" for kind, count in kinds.items())
        failed = int(group["failures"].sum())
        rate = failed / (failed + int(group["requests"].sum()))
        grave = rate > ERROR_RATE
        yield ERRORS.found(
            f"{configuration}: {rate:.2%} of the requests failed ({counts})",
            spoils="throughput and latency, which count successes only" if grave else "little, at this rate",
            advice=_read(results, group),
            scenario=scenario,
            cells=group,
            group="answer" if grave else "note",
        )


@finds(EXCEPTIONS)
def raised(measured: Measurements) -> Iterator[Finding]:
    """Exceptions of users' own code, which fail no request."""
    results = measured.results
    of_scenario = results.finished.groupby("scenario").size().to_dict()
    for (scenario, source), group in results.exceptions.groupby(["scenario", "source"]):
        spoilt = results.cells.loc[group["cell"].unique()]
        few = spoilt["configuration"].nunique() < results.finished["configuration"].nunique()
        whose = f" of {listed(list(names(spoilt)))}" if few else ""
        yield EXCEPTIONS.found(
            f"{source}s raised {counted(int(group['count'].sum()), 'exception')} in {len(spoilt)} of "
            f"{counted(of_scenario[scenario], 'cell')}{whose}, {_most_often(group)}",
            spoils=SPOILT[str(source)],
            advice=f"read {in_first(results.directory, spoilt)}/{frames.EXCEPTIONS_FILE}, which has "
            f"every traceback, and {generator_log(results.directory)}",
            scenario=scenario,
            cells=spoilt,
        )


@finds(REPORTED)
def reported(measured: Measurements) -> Iterator[Finding]:
    """Successes of a type that no server is asked by: times that locustfiles report, or messages."""
    results = measured.results
    service = results.latencies[results.latencies["kind"] == "service"]
    own = service[~service["method"].isin([str(method) for method in HTTPMethod])]
    scenario_of = results.finished["scenario"]
    for scenario, rows in own.groupby(own["cell"].map(scenario_of), observed=True):
        cells = results.cells.loc[rows["cell"].unique()]
        counted_there = service[service["cell"].isin(cells.index)]["count"].sum()
        by_name = rows.groupby(["method", "name"], observed=True)["count"].sum().sort_values()
        yield REPORTED.found(
            f"{rows['count'].sum() / counted_there:.0%} of what counts as a request are events that the "
            f"locustfile fired, most of them {quoted(' '.join(map(str, by_name.index[-1])))}",
            spoils="requests per second, latency and CPU time per request, unless a server answered each",
            advice="leave them out of a measurement of servers, or count by name in latency.csv",
            scenario=scenario,
            cells=cells,
        )


@finds(WORKER_DIED)
def died(measured: Measurements) -> Iterator[Finding]:
    """Workers that ended in warm-up or window of a cell without recycling and without a probe.

    Managers start another one: the server serves on, and the cell does not fail.
    """
    results = measured.results
    cells = results.finished[results.finished["treatment"] == "none"]
    events = results.workers.join(cells[["path", "window_end"]], on="cell", how="inner")
    deaths = events[(events["role"] == "worker") & (events["event"] == "died")]
    # After the window the server is stopped.
    deaths = deaths[deaths["time"] < deaths["window_end"]]
    for scenario, group in deaths.groupby("scenario", observed=True):
        yield WORKER_DIED.found(
            f"workers died although nothing replaced or stopped them: {by_configuration(group, _ends)}",
            spoils="throughput and latency there, which hold the time with a worker fewer and the start of "
            "the next",
            advice=f"read {in_first(results.directory, group)}/server.log; the kernel sends SIGKILL "
            "where memory runs out",
            scenario=scenario,
            cells=group,
        )


def nothing_served(results: Results, summary: pd.DataFrame) -> str | None:
    """A sentence that says so where no request of any finished cell succeeded, else None."""
    unserved = _without_success(summary)
    if summary["requests"].any() or unserved.empty:
        return None
    failed = int(unserved["failures"].sum())
    return (
        f"No request succeeded: all {failed:,} in {counted(len(unserved), 'cell')} failed, most often with "
        f"{_commonest(results, unserved)}."
    )


def _without_success(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[(summary["requests"] == 0) & (summary["failures"] > 0)]


def _in_cells(rows: pd.DataFrame) -> str:
    """In how many of a configuration's cells, such as "in 1 of 3 cells"."""
    return f"in {len(rows)} of {counted(int(rows['cells'].iloc[0]), 'cell')}"


def _commonest(results: Results, group: pd.DataFrame) -> str:
    """How most requests of some cells failed, and which: "http_4xx (“status 404”) at “GET /missing”"."""
    rows = results.failures[results.failures["cell"].isin(group.index)]
    by = ["kind", "detail", "method", "name"]
    counts = rows.groupby(by, observed=True, dropna=False)["count"].sum()
    kind, detail, method, name = counts.sort_values().index[-1]
    why = "" if pd.isna(detail) else f" ({quoted(str(detail))})"
    request = " ".join(str(part) for part in (method, name) if not pd.isna(part))
    return f"{kind}{why} at {quoted(request)}"


def _most_often(group: pd.DataFrame) -> str:
    """The most frequent message with its place: "most often (900 times) “'it'” at load.py:12 (“…”)"."""
    counts = group.groupby(["message", "place", "code"])["count"].sum()
    message, place, code = counts.sort_values().index[-1]
    often = f"most often ({counts.max():,} times) " if len(counts) > 1 else "each time "
    said = quoted(message) if message else "without a message"
    at = f" at {PurePath(place).name}" if place else ""
    return f"{often}{said}{at}" + (f" ({quoted(code)})" if code else "")


def _read(results: Results, group: pd.DataFrame) -> str:
    """Where failures and what the server printed are, of the first of some cells."""
    first = results.cells.loc[group.index]
    folder, log = in_first(results.directory, first), server_log(results.directory, first)
    return f"read {folder}/failures.csv and {log}"


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
