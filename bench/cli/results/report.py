"""The command ``bench report``, and what the terminal shows of a report."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.padding import Padding

from bench.cli.options import ResultsOption
from bench.cli.results import verdict_shown
from bench.cli.terminal import console, errors, reports_errors, say, show_listing
from bench.experiment import results
from bench.experiment.progress import Progress
from bench.model.errors import UserError

if TYPE_CHECKING:
    from analysis.report.build import Rendered

app = typer.Typer()


@app.command()
@reports_errors
def report(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's name or folder.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Make the report of a run from its files: of the latest one unless you name another; measure nothing.

    Exit status: 0 there is a report of measurements; 1 there is none, or every cell failed and it says why.

    For example: `bench report 20261122-080000-quick`
    """
    rendered = render(results.find(results_folder, name))
    if rendered is None or rendered.nothing:
        raise typer.Exit(1)


def render(folder: Path) -> "Rendered | None":
    """Analyse a run and print its ranking; a failure (``None``) loses nothing, so it is only told."""
    try:
        # Imported here: it brings pandas and matplotlib, which no other command needs.
        from analysis.report import build as page

        try:
            with Progress(console, "%", 100) as progress:

                def begins(part: str, share: float) -> None:
                    progress.reach(share)
                    progress.begin(part)

                rendered = page.render(folder, begins)
        except UserError as error:
            errors.print("[red]error:[/red] no report: ", end="")
            errors.print(str(error), markup=False, soft_wrap=True)
        else:
            show(rendered)
            return rendered
    except Exception:  # noqa: BLE001  (a mistake of ours: told in full, and the measurements are safe)
        traceback.print_exc()
    errors.print(
        f"The results in {folder} are whole; try again: make report RUN={folder.name}", soft_wrap=True
    )
    return None


def show(rendered: "Rendered") -> None:
    """Print what the report opens with, its rankings, what spoils them, and where it is."""
    for ranking in rendered.ranking:
        show_listing(ranking)
    for finding in rendered.findings:
        if finding.severity == "warning":
            where = f"{finding.scenario}: " if finding.scenario else ""
            console.print(f"\n[yellow]warning[/yellow] {escape(where + finding.message)}")
            console.print(Padding(f"→ {escape(finding.advice)}", (0, 0, 0, 8)))
    if rendered.violations:
        console.print("\n[red]not within the thresholds of the plan:[/red]")
        for violation in rendered.violations:
            say(f"  {violation.text}")
    console.print(f"\n[bold]{escape(rendered.finding)}[/bold]\n")
    if rendered.changes is not None:
        console.print(f"[bold]{escape(rendered.changes.finding)}[/bold]\n")
    if rendered.verdict is not None:
        verdict_shown.answer(rendered.verdict, reasons=True)
    say(f"report: {rendered.html}")
