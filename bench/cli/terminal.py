"""What the commands share: where they print, and how they tell of errors."""

import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import NoReturn, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table as TableInTerminal

from bench.model.documents import Table
from bench.model.errors import UserError
from targets.tables import ConfigurationError

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

# More than any table has.
_WIDEST = 10_000

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
            _fail(str(error), 1)

    return wrapped


def say(text: str) -> None:
    """Print a line as it is; the terminal wraps it, so that it can be copied."""
    console.print(text, markup=False, soft_wrap=True)


def show(tables: Iterable[Table]) -> None:
    """Print tables, each with its notes below it."""
    for table in tables:
        shown = TableInTerminal(box=None, pad_edge=False)
        for number, heading in enumerate(table.headings):
            longest = max(map(len, heading.split()), default=0)  # else a narrow terminal cuts it off
            shown.add_column(
                heading, justify="right" if number else "left", no_wrap=not number, min_width=longest
            )
        for row in table.rows:
            shown.add_row(*map(_marked_up, row))
        if table.title:
            console.print(f"\n[bold]{escape(table.title)}[/bold]", soft_wrap=True)
        _print_whole(shown)
        console.print(*map(escape, table.notes), sep="\n", end="\n" if table.notes else "", soft_wrap=True)


def _print_whole(table: TableInTerminal) -> None:
    """Print a table with nothing cut off: a file has no width, and a terminal wraps."""
    before = console.width
    least, most = Measurement.get(console, console.options.update(width=_WIDEST), table)
    console.width = max(before, least) if console.is_terminal else most
    try:
        console.print(table)
    finally:
        console.width = before


def _marked_up(text: str) -> str:
    """A cell as the terminal shows it: bold in Markdown is bold there."""
    return re.sub(r"^\*\*(.*)\*\*$", r"[bold yellow]\1[/]", escape(text))


def _fail(message: str, status: int) -> NoReturn:
    errors.print("[red]error:[/red] ", end="")
    errors.print(message, markup=False, soft_wrap=True)
    raise typer.Exit(status)
