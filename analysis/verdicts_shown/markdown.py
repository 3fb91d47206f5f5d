"""A verdict in Markdown, for the project's README."""

from collections.abc import Iterator
from datetime import UTC, datetime

from analysis.verdicts import Command, Verdict
from analysis.verdicts.evidence import Source
from analysis.words import counted

# What a reader in a hurry needs of the table; the reason has the figure.
_COLUMNS = ("configuration", "requirements", "why")


def lines(verdict: Verdict) -> Iterator[str]:
    """The answer, the command, why not another, and what was not measured."""
    yield f"**{verdict.finding}**"
    yield ""
    for command in verdict.commands:
        yield from _command(command)
    for text in verdict.caveats:
        yield f"> **Not required, and to be known:** {text}."
        yield ""
    yield from _table(verdict)
    yield f"Required: {verdict.requirements.text}."
    yield ""
    yield "Read: " + "; ".join(_source(each) for each in verdict.runs) + "."
    yield ""
    yield f"<details><summary>Not covered by this ({len(verdict.not_covered)})</summary>"
    yield ""
    yield from (f"* {text}" for text in verdict.not_covered)
    yield ""
    yield "</details>"


def _command(command: Command) -> Iterator[str]:
    yield "```sh"
    yield command.line
    yield "```"
    yield ""
    if command.app_lines:
        yield "and in the module that makes the app:"
        yield ""
        yield "```py"
        yield from command.app_lines
        yield "```"
        yield ""
    yield from (f"* Needs {need}." for need in command.needs)
    yield f"* {command.configuration}: {command.settings_text}."
    yield f"* Measured with {command.versions_text}."
    yield ""


def _table(verdict: Verdict) -> Iterator[str]:
    yield "| " + " | ".join(_COLUMNS) + " |"
    yield "|---" * len(_COLUMNS) + "|"
    for row in verdict.rows:
        texts = dict(zip(verdict.columns, row.texts(), strict=True))
        yield "| " + " | ".join(texts[column].replace("|", "\\|") for column in _COLUMNS) + " |"
    yield ""


def _source(source: Source) -> str:
    date = datetime.fromtimestamp(source.started, UTC)
    return (
        f"{source.kind} of {date:%Y-%m-%d} (`{source.run}`, by `{source.command}`) on "
        f"{source.cpu}, {counted(source.cpus, 'CPU')}, launcher {source.launcher}"
    )
