"""What is missing from a run, and what failed in it."""

from collections.abc import Iterator, Sequence

import pandas as pd

from analysis.checks.findings import Finding, cells, loads, names
from analysis.checks.limits import ERROR_RATE
from analysis.results import Results
from analysis.schema import Run
from analysis.summary import LOAD
from analysis.words import UNKNOWN


def missing(run: Run, notes: Sequence[str]) -> Iterator[Finding]:
    """Cells that were not run, by the notes of `Results`, and what could not be measured here."""
    for note in notes:
        yield Finding(
            "incomplete", "note", note, "comparisons, which may lack candidates and repeats", "resume the run"
        )  # fmt: skip
    for absent in run.unavailable:
        yield Finding(
            "unavailable", "note", f"{absent.name} could not be measured: {absent.reason}",
            "the ranking, which lacks it", absent.remedy,
            configurations=(absent.configuration,) if absent.configuration else (),
        )  # fmt: skip


def alone(summary: pd.DataFrame) -> Iterator[Finding]:
    """Whether there is anything to compare."""
    load = [*LOAD, "arrivals", "rate_per_s"]
    if summary.groupby(["configuration", *load], dropna=False)["repeat"].nunique().max() < 2:
        yield Finding(
            "one-repeat", "warning", "every cell was measured once",
            "comparisons: there are no intervals, so nothing can be ranked",
            "use a plan with three or more repeats, such as quick",
        )  # fmt: skip


def external(run: Run) -> Iterator[Finding]:
    """Whether the server was there already: then nobody metered it."""
    if run.external is not None:
        yield Finding(
            "external", "note",
            f"what ran at {run.external} was not started for this run: the CPU time, memory, workers and "
            "settings of the server are unknown",
            "throughput: whether the server was saturated is unknown, so it may be able to do more",
            "see CPU and memory where it runs, or have bench serve the app itself",
        )  # fmt: skip


def unmetered(summary: pd.DataFrame) -> Iterator[Finding]:
    """Cells without CPU time."""
    missing = int(summary["cpu_s"].isna().sum())
    if missing:
        yield Finding(
            "unmetered", "warning",
            f"the samples of the server's CPU time do not cover the window of {cells(missing)}",
            "CPU per request and saturation there, which are left out",
            "see processes.csv of these cells; a loaded machine can hold up the meter",
        )  # fmt: skip


def failed(cells_of_run: pd.DataFrame) -> Iterator[Finding]:
    """Cells that have a reason instead of numbers; `cells_of_run` is `Results.cells`."""
    broken = cells_of_run[cells_of_run["status"] == "failed"]
    for (configuration, scenario), group in broken.groupby(["configuration", "scenario"]):
        yield Finding(
            "failed", "warning",
            f"{configuration}: {cells(len(group))} failed: {_commonest(group)}",
            "its interval, or its whole place in the ranking",
            f"read {_log(group)}, then resume the run",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _log(group: pd.DataFrame) -> str:
    """Where the server of some cells wrote why; an external one did elsewhere."""
    if (group["workers"] == UNKNOWN).all():
        return "what that server itself has logged"
    return f"server.log in {group['path'].iloc[0]}"


def _commonest(failed: pd.DataFrame) -> str:
    """The most frequent reason, without the server's last words, which begin in its second line."""
    return str(failed["reason"].value_counts().index[0]).partition("\n")[0]


def errors(results: Results, summary: pd.DataFrame) -> Iterator[Finding]:
    """Failed requests, by kind."""
    spoiled = summary[summary["failures"] > 0]
    for (configuration, scenario), group in spoiled.groupby(["configuration", "scenario"]):
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
            f"read failures.csv and {_log(results.cells.loc[group.index])}",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
