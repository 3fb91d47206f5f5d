"""How the terminal shows a verdict: all of it, or the answer alone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bench.cli.terminal import console, say

if TYPE_CHECKING:
    from analysis.recommend import Command, Verdict

# Columns of a terminal that has room for those of the table that its reasons say as well.
_WIDE = 150
_STYLES = {"passed": "green", "likely": "green", "failed": "red", "not shown": "yellow"}


def everything(judged: "Verdict") -> None:
    """Print what was read and required, every candidate, what is left open, and last the answer."""
    for source in judged.runs:
        console.print(source.text, markup=False)
    console.print(f"required: {judged.requirements.text}", markup=False)
    console.print(f"\n[bold]{escape(judged.title)}[/bold]", _table(judged), sep="\n")
    console.print(f"\n{judged.method}", markup=False)
    for candidate in judged.candidates:
        if candidate.configuration in judged.recommended:
            console.print(f"\n[bold]{escape(candidate.configuration)}[/bold], requirement by requirement:")
            for each in candidate.judgements:
                mark = "[dim]told[/dim]" if each.outcome is None else _mark(each.outcome)
                console.print(Padding(f"{mark} {escape(each.text)}", (0, 0, 0, 2)))
    if judged.not_covered:
        console.print("\nNot covered by this:")
        for text in judged.not_covered:
            console.print(Padding(f"- {escape(text)}", (0, 0, 0, 2)))
    answer(judged)


def answer(judged: "Verdict", *, reasons: bool = False) -> None:
    """Print which configuration to use, how to start it, how sure that is, and what would add to it.

    With ``reasons`` every candidate has a line that says why it is the one, or is not.
    """
    console.print(f"\n[bold]{escape(judged.finding)}[/bold]\n")
    for command in judged.commands:
        _command(command)
    if judged.behind is not None and judged.commands:
        console.print(f"{judged.behind.text}:\n", markup=False)
        for line in judged.behind.configuration.splitlines():
            say(f"  {line}")
        console.print()
    for text in judged.caveats:
        console.print(f"[yellow]Note:[/yellow] {escape(text)}\n")
    if reasons:
        console.print(_reasons(judged))
    if judged.sure:
        how = "provisional: likely, and not shown" if judged.provisional else "shown"
        console.print(f"\nHow sure: {how}")
        _list(judged.sure)
    if judged.measure:
        console.print("\nMeasure next:")
        for line in judged.measure:
            say(f"  {line}")
        _list(judged.longer)
    console.print()


def _list(texts: Iterable[str]) -> None:
    for text in texts:
        console.print(Padding(escape(text), (0, 0, 0, 2)))


def _reasons(judged: "Verdict") -> Table:
    """A line for each candidate: what it is found to be, and why."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("configuration", "why"):
        table.add_column(column, no_wrap=column != "why")
    for candidate in judged.candidates:
        why = candidate.why
        if candidate.rank is None:
            why = f"{candidate.outcome}: {why}"
        table.add_row(f"[{_STYLES[candidate.outcome]}]{escape(candidate.configuration)}[/]", escape(why))
    return table


def _table(judged: "Verdict") -> Table:
    """A line for each candidate; on a narrow terminal the reason begins with the outcome."""
    wide = console.width >= _WIDE
    table = Table(box=None, pad_edge=False)
    for column in judged.columns if wide else ("rank", "configuration", "why"):
        left = column in ("configuration", "requirements", "why")
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "why")
    for row in judged.rows:
        rank, name, outcome, performance, why = row.texts()
        if wide:
            table.add_row(rank, escape(name), _mark(outcome), performance, escape(why))
        else:
            table.add_row(
                rank, escape(name), escape(why) if outcome == "passed" else f"{_mark(outcome)}: {escape(why)}"
            )
    return table


def _command(command: "Command") -> None:
    """The command, unwrapped so that it can be copied, and what it needs."""
    console.print(f"{command.configuration}:", markup=False)
    say(f"\n  {command.line}\n")
    if command.app_lines:
        console.print("in the module that makes the app:\n")
        for line in command.app_lines:
            say(f"  {line}")
        console.print()
    for text in (*(f"needs {need}" for need in command.needs), *command.tuning):
        console.print(text, markup=False)
    console.print(
        f"settings: {command.settings_text}\nmeasured with: {command.versions_text}\n", markup=False
    )


def _mark(outcome: str) -> str:
    return f"[{_STYLES[outcome]}]{outcome}[/]"
