"""What is missing from a run, and which of its cells failed."""

from collections.abc import Iterator

import pandas as pd

from analysis.cells import counters
from analysis.cells.summary import LOAD
from analysis.cells.waves import waves
from analysis.findings.finding import Finding, Kind, Measurements, finds, logs
from analysis.reading.results import NothingFinished, Results
from analysis.words import counted, listed

ONE_REPEAT = Kind(
    "one-repeat", "answer", "What else happened?", "one repeat",
    "every cell was measured once",
    "there are no intervals, so nothing can be ranked",
    topics=("circumstances",),
)  # fmt: skip
DAMAGED = Kind(
    "damaged", "answer", "What else happened?", "damaged",
    "any file of a cell that is not what was measured",
    "the cell is left out, and with it the sitting or the search that it belongs to",
    topics=("circumstances",),
)  # fmt: skip
FAILED = Kind(
    "failed", "answer", "What else happened?", "failed",
    "any cell",
    "it has a reason instead of numbers",
    note="cells failed",
)  # fmt: skip
INCOMPLETE = Kind(
    "incomplete", "note", "What else happened?", "incomplete",
    "fewer cells than planned",
    "comparisons may lack candidates and repeats",
)  # fmt: skip
UNAVAILABLE = Kind(
    "unavailable", "note", "What else happened?", "unavailable",
    "any configuration or scenario that could not be measured here",
    "it is listed with the reason and the remedy",
)  # fmt: skip
EXTERNAL = Kind(
    "external", "note", "What else happened?", "external server",
    "the server ran already",
    "nothing metered it, so whether it was saturated is unknown",
)  # fmt: skip
UNMETERED = Kind(
    "unmetered", "number", "What else happened?", "unmetered",
    "1.5 sampling intervals",
    "the samples of the server's CPU time do not reach the window's edges",
    topics=("cost",),
)  # fmt: skip


@finds(INCOMPLETE, UNAVAILABLE)
def missing(measured: Measurements) -> Iterator[Finding]:
    """Cells that were not run, and what could not be measured here."""
    yield from lacking(measured.results)


@finds(DAMAGED)
def damaged(measured: Measurements) -> Iterator[Finding]:
    """Cells that cannot be used."""
    yield from damages(measured.results)


@finds(FAILED)
def failed(measured: Measurements) -> Iterator[Finding]:
    """Cells that have a reason instead of numbers."""
    yield from failures(measured.results)


@finds(ONE_REPEAT)
def alone(measured: Measurements) -> Iterator[Finding]:
    """Whether there is anything to compare, but cells that have an interval of their own."""
    load = [*LOAD, "arrivals", "rate_per_s"]
    compared = measured.served.drop(waves(measured.results.run, measured.served).index)
    repeats = compared.groupby(["configuration", *load], dropna=False)["repeat"].nunique()
    if repeats.max() < 2:
        yield ONE_REPEAT.found(
            "every cell was measured once",
            spoils="comparisons: there are no intervals, so nothing can be ranked",
            advice="use a plan with three or more repeats, such as quick",
        )


@finds(EXTERNAL)
def external(measured: Measurements) -> Iterator[Finding]:
    """Whether the server ran already: then nothing metered it."""
    url = measured.results.run.external
    if url is not None:
        yield EXTERNAL.found(
            f"the run did not start the server at {url}: its CPU time, memory, workers and settings are "
            "unknown",
            spoils="throughput: whether the server was saturated is unknown, so it may be able to do more",
            advice="see CPU and memory where it runs, or have bench serve the app itself",
        )


@finds(UNMETERED)
def unmetered(measured: Measurements) -> Iterator[Finding]:
    """Cells without CPU time."""
    summary = measured.summary[counters.metered(measured.results.finished)]
    without = int(summary["cpu_s"].isna().sum())
    if without:
        yield UNMETERED.found(
            "the samples of the server's CPU time do not cover the window of " + counted(without, "cell"),
            spoils="CPU per request and saturation there, which are left out",
            advice="see processes.csv of these cells; a loaded machine can hold up the meter",
        )


def lacking(results: Results | NothingFinished) -> Iterator[Finding]:
    """What a run lacks, by its notes and by what was unavailable."""
    for note in results.notes:
        yield INCOMPLETE.found(
            note,
            spoils="comparisons, which may lack candidates and repeats",
            advice="resume the run",
        )
    for absent in results.run.unavailable:
        absentee = pd.DataFrame({"configuration": [absent.configuration] if absent.configuration else []})
        yield UNAVAILABLE.found(
            f"{absent.name} could not be measured: {absent.reason}",
            spoils="the ranking, which lacks it",
            advice=absent.remedy,
            cells=absentee,
        )


def damages(results: Results | NothingFinished) -> Iterator[Finding]:
    """The cells of a run that are left out because a file of theirs is damaged, in one finding."""
    cells, others = results.damage.cells, results.damage.others
    if not cells:
        return
    told = list(cells.values())[:3]
    more = f" and {len(cells) - len(told)} more" if len(cells) > len(told) else ""
    beside = f", and {counted(len(others), 'cell')} of the same sittings or searches" if others else ""
    verb = "is" if len(cells) == 1 else "are"
    yield DAMAGED.found(
        f"{counted(len(cells), 'cell')} {verb} damaged: {'; '.join(told)}{more}",
        spoils=f"the comparisons that these belong to: they are left out{beside}",
        advice="resume the run: it measures them again, and keeps what is there now apart",
    )


def failures(results: Results | NothingFinished) -> Iterator[Finding]:
    """The failed cells of a run, by configuration and scenario."""
    broken = results.cells[results.cells["status"] == "failed"]
    for (configuration, scenario), group in broken.groupby(["configuration", "scenario"]):
        written = logs(results.directory, group)
        yield FAILED.found(
            f"{configuration}: {counted(len(group), 'cell')} failed: {_commonest(group)}",
            spoils="its interval, or its whole place in the ranking",
            advice=f"read {listed(written)}, then resume the run"
            if written
            else "mend that, then resume the run",
            scenario=scenario,
            cells=group,
        )


def _commonest(cells: pd.DataFrame) -> str:
    """The most frequent reason, without the server's last words, which begin in its second line."""
    return str(cells["reason"].value_counts().index[0]).partition("\n")[0]
