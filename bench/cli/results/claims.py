"""The command ``bench claims``."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.padding import Padding

from bench.cli.options import ResultsOption
from bench.cli.terminal import console, reports_errors, say
from bench.machine import host
from bench.model.errors import UsageError, UserError

if TYPE_CHECKING:
    from analysis.claims import Claim

app = typer.Typer()

_STYLES = {"holds": "green", "holds in part": "yellow", "does not hold": "red"}


@app.command()
@reports_errors
def claims(results_folder: ResultsOption = Path("results")) -> None:
    """Check what people say about serving Sanic apps against your measurements; measure nothing.

    The claims are those of an old discussion, and what is said of each setting (`bench configurations
    --variants`). The answers come from the latest run of performance (`make bench`), the latest run of
    recycling (`make recycle`), the latest replay (`make replay`) and for each setting the latest run that
    tried it (`make settings`) on this machine; where one is missing, the answer says so.
    analysis/notebooks/claims.py shows how each is found.

    Exit status: 0 every claim has an answer; 1 some were not measured; 2 there is no run.
    """
    # Imported here: it brings pandas and SciPy, which most commands do not need.
    from analysis.claims import claims as answer
    from analysis.claims import gather

    try:
        with console.status("reading the runs …"):
            material = gather(results_folder, host.facts()["machine_id"])
            answered = answer(material)
    except UserError as error:
        raise UsageError(str(error)) from error
    if not material.studies and not material.settings and material.replay is None:
        raise UsageError(
            f"no finished run of this machine in {results_folder}: make bench, make recycle, make settings "
            "and make replay measure what claims are answered from"
        )
    for claim in answered.told.rows:
        _show(claim)
    if answered.untold:
        say(f"\n{answered.untold} make settings measures them, bench configurations --variants lists them.")
    console.print(f"\n[bold]{escape(answered.finding)}[/bold]")
    if any(claim.answer.outcome == "not measured" for claim in answered.rows):
        raise typer.Exit(1)


def _show(claim: "Claim") -> None:
    answer = claim.answer
    style = _STYLES.get(answer.outcome, "dim")
    console.print(f"\n[bold]{escape(claim.text)}[/bold]")
    console.print(Padding(f"[{style}]{answer.outcome}[/]: {escape(answer.figure)}", (0, 0, 0, 2)))
    for text in (", ".join(answer.runs), claim.source and f"said in {claim.source}"):
        if text:
            console.print(Padding(f"[dim]{escape(text)}[/dim]", (0, 0, 0, 2)))
