"""The command ``bench coverage``."""

from typing import Annotated

import typer

from bench.cli.terminal import console, errors, reports_errors, say, show
from bench.model import documents
from bench.model.files import ROOT

app = typer.Typer()

DOCUMENT = documents.TRUST
MARKER = "coverage"


@app.command()
@reports_errors
def coverage(
    runs: Annotated[int, typer.Option(min=100, max=1_000_000, help="Simulated runs of each design.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 1,
    docs: Annotated[bool, typer.Option("--docs", help="Put it into bench/studies/README.md.")] = False,
) -> None:
    """How often does the 95 % interval of a ratio have the truth in it? On simulated runs; measures nothing.

    Their machine drifts, and its speed in one window depends on that in the last.

    Exit status: 0 between 93 and 97 % of the intervals of each design do; 1 more or fewer do.
    """
    from bench.studies.self_check import coverage as study

    with console.status("simulating …"):
        held, beside = study.measured(runs, seed)
    tables = study.tables(held, beside)
    provenance = f"Simulated by `make coverage RUNS={runs}`, seed {seed}."
    show(tables)
    say(f"\n{provenance}")
    wrong = [each.words for each in held if not each.held]
    if wrong:
        errors.print(f"not between 93 and 97 %: {'; '.join(wrong)}", soft_wrap=True)
        raise typer.Exit(1)
    if docs:
        documents.replace(DOCUMENT, {MARKER: documents.markdown(tables, provenance)})
        say(f"updated: {DOCUMENT.relative_to(ROOT)}")
