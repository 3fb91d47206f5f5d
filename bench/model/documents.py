"""Markdown that a command writes: tables, and the measured parts of documents, between two markers each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.model.errors import UserError
from bench.model.files import write_text

NOTES = "notes"
"""The column of remarks on rows: where there is no room beside the figures, they go below the table."""
# A bar within a cell.
_BAR = "\\|"


@dataclass(frozen=True)
class Table:
    """Rows of texts under headings; ``**`` around a text marks it, as in Markdown. ``notes`` follow it."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] | None = None
) -> list[str]:
    """The lines of a table; columns but the first are aligned to the right, or all but those of ``left``."""
    to_left = set(headings[:1] if left is None else left)
    rules = ["---" if heading in to_left else "--:" for heading in headings]
    head, *lines = (f"| {' | '.join(text.replace('|', _BAR) for text in row)} |" for row in (headings, *rows))
    return [head, f"|{'|'.join(rules)}|", *lines]


def markdown(tables: Sequence[Table], provenance: str) -> str:
    """Tables without their titles, each with its notes below it, and at the end where they come from."""
    lines: list[str] = []
    for table in tables:
        lines += [*markdown_table(table.headings, table.rows), ""]
        if table.notes:
            lines += [*(f"* {note}" for note in table.notes), ""]
    return "\n".join([*lines, provenance])


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
