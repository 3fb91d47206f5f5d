"""The command ``bench known-answers``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from bench.cli.terminal import console, errors, reports_errors
from bench.experiment import run as experiment
from bench.experiment.run import Request
from bench.model import documents
from bench.model.errors import UserError
from bench.model.files import ROOT

if TYPE_CHECKING:
    from bench.studies.self_check.known.comparison import KnownAnswer, KnownRun

app = typer.Typer()

PLANS = ROOT / "bench" / "studies" / "self_check" / "known" / "plans"
IDLE, ANSWERS, STALL = PLANS / "idle.toml", PLANS / "answers.toml", PLANS / "stall.toml"
DOCUMENT = documents.TRUST
BLOCK = "known-answers"


@app.command("known-answers")
@reports_errors
def known_answers(
    results_folder: Annotated[
        Path, typer.Option("--results", help="The folder that holds the runs of known servers.")
    ] = Path("results/known-answers"),
    update_docs: Annotated[
        bool,
        typer.Option("--update-docs", help="Write the tables into bench/studies/README.md, if all is right."),
    ] = False,
) -> None:
    """Check the whole pipeline against servers whose timing is known exactly.

    One server answers after a fixed time, one after one of two times, one fails every twentieth request, one
    stalls for one second in ten. Arithmetic says what sockets, generator, files and analysis together must
    make of them. It takes some two minutes.

    Exit status: 0 every figure is right; 1 one is not, or a cell failed; 130 interrupted.
    """
    if update_docs:
        documents.check(DOCUMENT, [BLOCK])
    runs = [measure(results_folder, plan) for plan in (IDLE, ANSWERS, STALL)]
    answers = [answer for run in runs for answer in run.answers()]
    _show(answers)
    wrong = sum(not answer.right for answer in answers)
    if wrong:
        errors.print(
            f"{wrong} of {len(answers)} figures are wrong: quiet the machine and try again; what stays wrong "
            f"is a defect of the suite. The runs are in {results_folder}",
            soft_wrap=True,
        )
        raise typer.Exit(1)
    console.print(f"all {len(answers)} figures are right")
    if update_docs:
        from bench.studies.self_check.known.comparison import markdown

        documents.replace(DOCUMENT, {BLOCK: markdown(answers, runs[-1], "make known-answers")})


def measure(results_folder: Path, plan: Path) -> "KnownRun":
    """Run one plan of known servers, which are in no image, to its end.

    Raises:
        UserError: a cell failed, or the results cannot be read.
        typer.Exit: the run was interrupted.
    """
    from bench.studies.self_check.known.comparison import read

    result = experiment.run(Request(results_folder, str(plan), fresh=True, launcher="processes"), console)
    if result.interrupted:
        raise typer.Exit(130)
    if result.outcome.failed:
        raise UserError(f"{result.outcome.failed} cells of {result.folder} failed, see above")
    return read(result.folder)


def _show(answers: "Sequence[KnownAnswer]") -> None:
    from bench.studies.self_check.known.comparison import CAPTION, COLUMNS, by_cell, row

    for cell, of_cell in by_cell(answers).items():
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for column, width in COLUMNS.items():
            table.add_column(
                width=width, no_wrap=True, justify="left" if column in ("figure", "") else "right"
            )
        table.add_row(*COLUMNS, style="dim")
        for answer in of_cell:
            table.add_row(*row(answer), style=None if answer.right else "red")
        console.print(f"\n[bold]{cell}[/bold]", table, sep="\n")
    console.print(f"\n{CAPTION}\n")
