"""The command ``bench report``, and how the terminal shows a report."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bench.cli import verdict_shown
from bench.cli.options import ResultsOption
from bench.cli.terminal import console, errors, reports_errors, say
from bench.experiment import results
from bench.experiment.progress import Progress
from bench.model.errors import UserError

if TYPE_CHECKING:
    from analysis.report.build import Rendered
    from analysis.table import Listing

app = typer.Typer()

# Columns of a terminal that has room for intervals and notes in the ranking.
_WIDE = 150


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


def show_listing(ranking: "Listing") -> None:
    """Print a table of the report, as far as a terminal has room for it."""
    from analysis.ranking import RATIO  # loaded by now; bench starts without it

    wide = console.width >= _WIDE
    columns = [column for column in ranking.columns if wide or column != "notes"]
    # Where there is no room for notes and for intervals, but those of ratios, they are in the report.
    rows = [
        [
            cell.text if wide or column == RATIO else cell.shown + cell.mark
            for column, cell in zip(ranking.columns, row.cells(), strict=True)
        ]
        for row in ranking.rows
    ]
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for column, texts in zip(columns, zip(*rows, strict=True), strict=False):
        justify: Literal["left", "right"] = "left" if column in ("configuration", "notes") else "right"
        width = None if column == "notes" else max(map(len, texts))
        table.add_column(column.replace(" ", "\n", 1), justify=justify, min_width=width)
    for row in rows:
        table.add_row(*map(escape, row[: len(columns)]))
    if sum(1 + (column.min_width or 0) for column in table.columns) > console.width:
        table = _one_below_the_other(ranking)
    console.print(f"\n[bold]{escape(ranking.title)}[/bold]", table, escape(ranking.basis), sep="\n")


def _one_below_the_other(listing: "Listing") -> Table:
    """A table that is too wide for the terminal: under the first text of each row a line for each other."""
    from analysis.words import MISSING

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for row in listing.rows:
        first, *others = row.texts()
        table.add_row(f"[bold]{escape(first)}[/bold]")
        for column, text in zip(listing.columns[1:], others, strict=True):
            if text == MISSING:
                continue  # a question that was not asked
            table.add_row(Padding(escape(column), (0, 0, 0, 2)), escape(text))
    return table
