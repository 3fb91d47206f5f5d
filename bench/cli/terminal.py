"""What the commands share: where they print, how they show tables, and how they tell of errors."""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table as TableInTerminal

from bench.model.documents import NOTES, ShownTable
from bench.model.errors import UserError
from targets.catalogue.tables import ConfigurationError

if TYPE_CHECKING:
    from analysis.table import Listing

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

# Columns of a terminal that has room for intervals and notes; more than any table has.
_WIDE, _WIDEST = 150, 10_000

P = ParamSpec("P")


def reports_errors(command: Callable[P, None]) -> Callable[P, None]:
    """Turn errors that a user can mend into a message and an exit status."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except ConfigurationError as error:
            _fail(str(error), 2)
        except UserError as error:
            _fail(str(error), error.status)
        except OSError as error:  # a folder that may not be written to, a program that is missing
            where = "" if error.filename is None else f"{error.filename}: "
            _fail(f"{where}{error.strerror or error}", 1)
        except MemoryError:
            _fail("there is no memory left for this command; what is finished is kept", 1)
        except KeyboardInterrupt:  # where a command has nothing more to say of it
            errors.print("interrupted")
            raise typer.Exit(130) from None

    return wrapped


def say(text: str) -> None:
    """Print a line as it is; the terminal wraps it, so that it can be copied."""
    console.print(text, markup=False, soft_wrap=True)


def show(tables: Iterable[ShownTable]) -> None:
    """Print tables, each with its notes below it."""
    for table in tables:
        if table.title:
            console.print(_heading(table.title), soft_wrap=True)
        _print_whole(_grid(table))
        console.print(*map(escape, table.notes), sep="\n", end="\n" if table.notes else "", soft_wrap=True)


def show_listing(listing: "Listing") -> None:
    """Print a table of the report, as far as the terminal has room for it.

    A narrow one has no notes, and no intervals but those of ratios; the report has them.
    """
    from analysis.rankings.ranking import RATIO  # loaded by now; bench starts without it

    wide = console.width >= _WIDE
    columns = [column for column in listing.columns if wide or column != NOTES]
    rows = [
        [
            cell.text if wide or column == RATIO else cell.shown + cell.mark
            for column, cell in zip(listing.columns, row.cells(), strict=True)
            if column in columns
        ]
        for row in listing.rows
    ]
    grid = _grid(ShownTable(listing.title, columns, rows), whole=True)
    if sum(1 + (column.min_width or 0) for column in grid.columns) > console.width:
        grid = _one_below_the_other(listing)
    console.print(_heading(listing.title), grid, escape(listing.basis), sep="\n")


def _heading(title: str) -> str:
    return f"\n[bold]{escape(title)}[/bold]"


def _grid(table: ShownTable, *, whole: bool = False) -> TableInTerminal:
    """A table as the terminal shows it; where it is ``whole``, nothing but headings and notes is broken."""
    grid = TableInTerminal(box=None, pad_edge=False, collapse_padding=whole)
    for number, heading in enumerate(table.headings):
        is_text = heading in ("configuration", NOTES) or (not number and heading != "rank")
        least: int | None = max(map(len, heading.split()), default=0)  # else a narrow terminal cuts it off
        if whole:
            least = None if heading == NOTES else max((len(row[number]) for row in table.rows), default=0)
        grid.add_column(
            heading.replace(" ", "\n", 1) if whole else heading,
            justify="left" if is_text else "right",
            no_wrap=not number,
            min_width=least,
        )
    for row in table.rows:
        grid.add_row(*map(_marked_up, row))
    return grid


def _one_below_the_other(listing: "Listing") -> TableInTerminal:
    """A table that is too wide for the terminal: under the first text of each row a line for each other."""
    from analysis.words import MISSING

    grid = TableInTerminal(box=None, pad_edge=False, show_header=False)
    grid.add_column()
    grid.add_column(overflow="fold")
    for row in listing.rows:
        first, *others = row.texts()
        grid.add_row(f"[bold]{escape(first)}[/bold]")
        for column, text in zip(listing.columns[1:], others, strict=True):
            if text == MISSING:
                continue  # a question that was not asked
            grid.add_row(Padding(escape(column), (0, 0, 0, 2)), escape(text))
    return grid


def _print_whole(table: TableInTerminal) -> None:
    """Print a table with nothing cut off: a file has no width, and a terminal wraps."""
    least, most = Measurement.get(console, console.options.update(width=_WIDEST), table)
    width = max(console.width, least) if console.is_terminal else most
    # A width that was set stays, and hides the terminal's own from all that is printed later.
    terminal = console.is_terminal
    Console(file=console.file, force_terminal=terminal, width=width, highlight=False).print(table)


def _marked_up(text: str) -> str:
    """A cell as the terminal shows it: bold in Markdown is bold there."""
    return re.sub(r"^\*\*(.*)\*\*$", r"[bold yellow]\1[/]", escape(text))


def _fail(message: str, status: int) -> NoReturn:
    errors.print("[red]error:[/red] ", end="")
    errors.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(status)
