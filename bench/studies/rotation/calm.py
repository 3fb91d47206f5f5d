"""Calm: how often a run of the plan aa called a configuration different from itself."""

from pathlib import Path

from analysis.rankings.aliases import Alike
from analysis.reproduction import command
from analysis.study import Study, study
from analysis.words import MISSING
from bench.experiment import results
from bench.model.documents import ShownTable
from bench.model.errors import UsageError, UserError
from bench.studies.rotation.figures import provenance as measured

PLAN = "aa"


def latest(results_folder: Path) -> Path:
    """The latest finished run of the plan; raises ``UsageError`` without one."""
    for folder in reversed(results.runs(results_folder)):
        try:
            run = results.read_run(folder)
        except UserError:  # of another version of the suite
            continue
        if run["plan"]["name"] == PLAN and run["status"] == "finished":
            return folder
    raise UsageError(
        f"no finished run of the plan {PLAN} in {results_folder}; `make bench PLAN={PLAN}` makes one"
    )


def read(folder: Path) -> Study:
    """A run with aliases, analysed."""
    found = study(folder)
    if not found.alike.pairs:
        raise UserError(
            f"{folder.name} measured nothing under two names twice: `make bench PLAN={PLAN}` does"
        )
    return found


def table(found: Study) -> ShownTable:
    """A row for each figure."""
    alike: Alike = found.alike
    rows = [[text or MISSING for text in row.texts()] for row in alike.rows]
    return ShownTable(alike.title, alike.columns, rows, [alike.finding, alike.basis])


def provenance(found: Study) -> str:
    """When, by which command and where it was measured."""
    return measured([found], command(found.results.run))
