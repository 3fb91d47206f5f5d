"""The commands ``bench planted``, ``manners``, ``alone`` and ``calm``: what a rotation can tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from bench.cli.options import ResultsOption
from bench.cli.terminal import console, reports_errors, say, show
from bench.experiment import results
from bench.model import documents
from bench.model.documents import ShownTable
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT

app = typer.Typer()

DOCUMENT = documents.TRUST
CALM_MARKER = "calm"

ResumeOption = Annotated[
    str | None, typer.Option("--resume", metavar="SERIES", help="Go on with this one; its options hold.")
]
ShowOption = Annotated[
    str | None,
    typer.Option(
        "--show", metavar="SERIES", help='Measure nothing: show this one ("latest" for the latest).'
    ),
]
DocsOption = Annotated[
    bool,
    typer.Option(
        "--docs", help="Measure nothing: put the latest, or that of --show, into bench/studies/README.md."
    ),
]
SittingsOption = Annotated[int, typer.Option(min=2, max=100, help="Sittings of each rotation.")]
TurnsOption = Annotated[int, typer.Option(min=2, max=100, help="Sittings, and blocks of each configuration.")]


@app.command()
@reports_errors
def planted(
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often the pair is measured.")] = 10,
    share: Annotated[
        float, typer.Option(min=0.001, max=1, help="The planted cost, as a share of a request's CPU time.")
    ] = 0.05,
    results_folder: ResultsOption = Path("results"),
    resume: ResumeOption = None,
    shown: ShowOption = None,
    docs: DocsOption = False,
) -> None:
    """Does a rotation see a planted cost? A server beside itself with more CPU time per request.

    A pilot finds out how much work that is here. Then the pair is measured so many times, two minutes each.

    Exit status: 0 everything was measured; 1 something was not; 2 wrong options; 130 interrupted.

    For example: `bench planted --runs 10 --share 0.05`
    """
    from bench.studies.rotation import planted as question

    _answer(question, {"runs": runs, "share": share}, results_folder, resume, shown, docs=docs)


@app.command()
@reports_errors
def manners(
    sittings: SittingsOption = 8,
    results_folder: ResultsOption = Path("results"),
    resume: ResumeOption = None,
    shown: ShowOption = None,
    docs: DocsOption = False,
) -> None:
    """Does the generator's manner decide? Every server under one that polls and one that sleeps.

    Once with receive packet steering of the loopback device and once without, a quarter of an hour together.

    Exit status: 0 everything was measured; 1 something was not; 2 wrong options; 130 interrupted.
    """
    from bench.studies.rotation import manners as question

    _answer(question, {"sittings": sittings}, results_folder, resume, shown, docs=docs)


@app.command()
@reports_errors
def alone(
    turns: TurnsOption = 10,
    results_folder: ResultsOption = Path("results"),
    resume: ResumeOption = None,
    shown: ShowOption = None,
    docs: DocsOption = False,
) -> None:
    """What do idle neighbours cost? Every server in a rotation, and by itself in a block, by turns.

    Every five turns are also a run of either kind: 15 turns show how wide the intervals of three are.

    Exit status: 0 everything was measured; 1 something was not; 2 wrong options; 130 interrupted.
    """
    from bench.studies.rotation import alone as question

    _answer(question, {"turns": turns}, results_folder, resume, shown, docs=docs)


@app.command()
@reports_errors
def calm(
    results_folder: ResultsOption = Path("results"),
    shown: Annotated[
        str | None, typer.Option("--show", metavar="RUN", help="This run of the plan aa.")
    ] = None,
    docs: Annotated[bool, typer.Option("--docs", help="Put it into bench/studies/README.md.")] = False,
) -> None:
    """How often were equals called different? Shows the latest run of the plan aa, and measures nothing.

    `bench run --plan aa` (`make bench PLAN=aa`) measures it.
    """
    from bench.studies.rotation import calm as question

    folder = results.find(results_folder, shown) if shown else question.latest(results_folder)
    studies = question.read(folder)
    _show([question.table(studies)], question.provenance(studies), CALM_MARKER, docs=docs)


def _answer(
    question: ModuleType,
    settings: Mapping[str, int | float],
    results_folder: Path,
    resume: str | None,
    shown: str | None,
    *,
    docs: bool,
) -> None:
    """Measure a question as far as it is not, unless it is only to be shown, and show it."""
    from bench.studies.rotation import series as serial

    if resume is not None and (docs or shown is not None):
        raise UsageError("--resume measures, --show and --docs do not: leave out one of them")
    if docs or shown is not None:
        series = serial.find(results_folder, question.QUESTION, shown or "latest")
    else:
        series = (
            serial.Series.begin(results_folder, question.QUESTION, settings)
            if resume is None
            else serial.find(results_folder, question.QUESTION, resume)
        )
        again = f"bench {question.QUESTION} --resume {series.folder.name}"
        if not serial.measure(series, question.legs, console):
            say(f"interrupted; go on: {again}")
            raise typer.Exit(130)
        say(f"\neverything: {series.folder}\ninto the document: bench {question.QUESTION} --docs")
    if docs and not series.record.finished:
        raise UserError(
            f"{series.folder.name} was not finished, so it is no figure for a document; go on: "
            f"bench {question.QUESTION} --resume {series.folder.name}"
        )
    from bench.studies.rotation.figures import provenance

    studies = list(series.studies.values())
    if not studies:
        raise UserError(f"{series.folder.name} has no run yet: --resume {series.folder.name}")
    _show(question.tables(series), provenance(studies, question.command(series)), question.MARKER, docs=docs)


def _show(tables: Sequence[ShownTable], provenance: str, marker: str, *, docs: bool) -> None:
    show(tables)
    say(f"\n{provenance}")
    if docs:
        documents.replace(DOCUMENT, {marker: documents.markdown(tables, provenance)})
        say(f"updated: {DOCUMENT.relative_to(ROOT)}")
