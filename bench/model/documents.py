"""Markdown that a command writes: tables, and the measured parts of documents, between two markers each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.model.errors import UserError
from bench.model.files import ROOT, write_text

TRUST = ROOT / "bench" / "studies" / "README.md"
"""What the commands found that hold the suite against what is known."""
NOTES = "notes"
"""The column of remarks on rows: where there is no room beside the figures, they go below the table."""
# A bar within a cell.
_BAR = "\\|"
# More than eight names.
_LONG = re.compile(r"([\w.-]+)(?:,[\w.-]+){7,},([\w.-]+)")


@dataclass(frozen=True)
class ShownTable:
    """Rows of texts under headings; ``**`` around a text marks it, as in Markdown. ``notes`` follow it.

    ``brief`` are the headings that a document shows, all unless given; without any it has the notes alone.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    brief: Sequence[str] | None = None


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] | None = None
) -> list[str]:
    """The lines of a table; columns but the first are aligned to the right, or all but those of ``left``."""
    to_left = set(headings[:1] if left is None else left)
    rules = ["---" if heading in to_left else "--:" for heading in headings]
    head, *lines = (f"| {' | '.join(text.replace('|', _BAR) for text in row)} |" for row in (headings, *rows))
    return [head, f"|{'|'.join(rules)}|", *lines]


def markdown(tables: Sequence[ShownTable], provenance: str) -> str:
    """Tables without their titles, each with its notes below it, and at the end where they come from.

    Remarks on single rows (`NOTES`) are left to the terminal and the report.
    """
    lines: list[str] = []
    for table in tables:
        brief = table.headings if table.brief is None else table.brief
        shown = [place for place, each in enumerate(table.headings) if each in brief and each != NOTES]
        if shown:
            head, *rows = ([row[place] for place in shown] for row in (table.headings, *table.rows))
            lines += [*markdown_table(head, rows), ""]
        if table.notes:
            lines += [*(f"* {note}" for note in table.notes), ""]
    return "\n".join([*lines, provenance])


def shown_command(command: str) -> str:
    """A command as a document shows it below a table, which has every name: long lists by their ends."""
    return _LONG.sub(r"\1,…,\2", command)


def replace(path: Path, parts: Mapping[str, str], kind: str = "measured") -> None:
    """Replace what stands between the markers of each name in a Markdown file, in one step.

    The markers are lines of their own: ``<!-- measured: NAME -->`` and ``<!-- /measured: NAME -->``, or
    ``<!-- /measured -->`` for the second; for parts of another ``kind``, that word.

    Raises:
        UserError: the file lacks a marker; it is left as it was.
    """
    text = _read(path)
    for name, part in parts.items():
        found = _find(path, text, name, kind)
        text = f"{text[: found.start(1)]}{part.strip()}\n{text[found.end(1) :]}"
    write_text(path, text)


def check(path: Path, names: Sequence[str]) -> None:
    """Raise ``UserError`` unless the file can be read and has the markers of every name."""
    text = _read(path)
    for name in names:
        _find(path, text, name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _find(path: Path, text: str, name: str, kind: str = "measured") -> re.Match[str]:
    """What stands between two markers, as the first group of a match."""
    begin, end = f"<!-- {kind}: {name} -->", f"<!-- /{kind}: {name} -->"
    pattern = rf"^{re.escape(begin)}\n(.*?)<!-- /{kind}(?:: {re.escape(name)})? -->$"
    if found := re.search(pattern, text, re.MULTILINE | re.DOTALL):
        return found
    raise UserError(f"{path} lacks the line {begin} or, below it, {end}: put them where that part belongs")
