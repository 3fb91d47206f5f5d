"""The command that makes a report, and what a terminal is told of one: ``bench report``."""

import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

from bench import results, verdict_shown
from bench.steps import time_left
from bench.terminal import ResultsOption, console, errors, reports_errors

if TYPE_CHECKING:
    from analysis.report import Listing, Rendered

app = typer.Typer()

# Columns of a terminal that has room for intervals and notes in the ranking.
_WIDE = 150


@app.command()
@reports_errors
def report(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's name or folder.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Make the report of a run (the latest without a name) from its files; measures nothing.

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
        from analysis import report as page
        from analysis.errors import AnalysisError

        try:
            with _Progress() as progress:
                rendered = page.render(folder, progress.told)
        except AnalysisError as error:
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


class _Progress:
    """A bar on a terminal, with what is done, and how long the rest takes at the pace so far."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("making the report", total=1.0, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def told(self, text: str, share: float) -> None:
        """A part of the work begins, with this share of all done."""
        left = time_left(time.monotonic() - self._started, share) if share else ""
        self._bar.update(self._task, description=text, completed=share, left=left)


def show(rendered: "Rendered") -> None:
    """Print what the report opens with, its rankings, what spoils them, and where it is."""
    wide = console.width >= _WIDE
    for ranking in rendered.ranking:
        columns = [column for column in ranking.columns if wide or column != "notes"]
        # Where there is no room for intervals and notes, they are in the report.
        rows = [[text if wide else text.partition(" (")[0] for text in row.texts()] for row in ranking.rows]
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
    for finding in rendered.findings:
        if finding.severity == "warning":
            where = f"{finding.scenario}: " if finding.scenario else ""
            console.print(f"\n[yellow]warning[/yellow] {escape(where + finding.message)}")
            console.print(Padding(f"→ {escape(finding.advice)}", (0, 0, 0, 8)))
    if rendered.violations:
        console.print("\n[red]not within the thresholds of the plan:[/red]")
        for violation in rendered.violations:
            console.print(f"  {violation.text}", markup=False, soft_wrap=True)
    console.print(f"\n[bold]{escape(rendered.finding)}[/bold]\n")
    if rendered.verdict is not None:
        verdict_shown.answer(rendered.verdict)
    console.print(f"report: {rendered.html}", markup=False, soft_wrap=True)


def _one_below_the_other(listing: "Listing") -> Table:
    """A table that is too wide for the terminal: under the first text of each row a line for each other."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    for row in listing.rows:
        first, *others = row.texts()
        table.add_row(f"[bold]{escape(first)}[/bold]")
        for column, text in zip(listing.columns[1:], others, strict=True):
            table.add_row(Padding(escape(column), (0, 0, 0, 2)), escape(text))
    return table
