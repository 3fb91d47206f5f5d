"""Tables of a measurement in the terminal, as they stand in a document."""

import re
from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table as Shown

from bench.terminal import console
from bench.yardsticks.report import Table


def show(tables: Iterable[Table]) -> None:
    """Print tables, each with its notes below it."""
    for table in tables:
        shown = Shown(title=table.title, title_justify="left", box=None, pad_edge=False)
        for number, heading in enumerate(table.headings):
            shown.add_column(heading, justify="right" if number else "left", no_wrap=not number)
        for row in table.rows:
            shown.add_row(*map(_marked_up, row))
        console.print("", shown, *map(escape, table.notes), sep="\n")


def _marked_up(text: str) -> str:
    """A cell as the terminal shows it: bold in Markdown is bold there."""
    return re.sub(r"^\*\*(.*)\*\*$", r"[bold yellow]\1[/]", escape(text))
