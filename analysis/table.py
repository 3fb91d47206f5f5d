"""One table for the page, the terminal and documents: what a cell shows, and the number behind it, apart."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal, Protocol

from analysis.words import MISSING, Value
from bench.model.documents import NOTES, markdown_table

Verdict = Literal["", "good", "fair", "bad", "unknown"]
# What one wants of a server comes first when a column of verdicts is sorted.
_VERDICTS: tuple[Verdict, ...] = ("good", "fair", "bad", "unknown", "")


@dataclass(frozen=True)
class Cell:
    """What one cell shows.

    ``value`` is the number that ``shown`` stands for, by which rows are sorted; None for words and where it
    is missing. ``mark`` and ``detail`` stand behind it, the latter in parentheses. ``verdict`` says whether
    it is what one wants of a server, ``evidence`` from which cells of the run (folders) it was read.
    """

    shown: str
    value: float | None = None
    detail: str = ""
    mark: str = ""
    verdict: Verdict = ""
    evidence: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All that it shows, in one line."""
        return f"{self.shown}{self.mark}" + (f" ({self.detail})" if self.detail else "")

    @property
    def missing(self) -> bool:
        """Whether there is nothing to show."""
        return self.shown in ("", MISSING)


def words(text: str | None) -> Cell:
    """A cell of words; None is missing."""
    return Cell(MISSING if text is None else text)


def number(value: float | None, form: str = ",.0f", unit: str = "") -> Cell:
    """A number in a format such as ``.2%``, with its unit; None and NaN are missing."""
    return Cell(MISSING) if value is None or isnan(value) else Cell(f"{value:{form}}{unit}", float(value))


def measured(value: Value, *, scale: float = 1.0, before: str = "", mark: str = "") -> Cell:
    """A mean times ``scale``, with its interval as the detail; NaN is missing."""
    if isnan(value.mean):
        return Cell(MISSING)
    interval = value.interval(scale=scale)
    return Cell(before + Value(value.mean).text(scale=scale), value.mean, interval, mark)


class TableRow(Protocol):
    """A row of a table."""

    @abstractmethod
    def cells(self) -> tuple[Cell, ...]:
        """A cell for each column."""

    def texts(self) -> list[str]:
        """One text for each column."""
        return [cell.text for cell in self.cells()]


class Listing(Protocol):
    """A table with what it says; ``basis`` is what it is ranked by, or how to read it."""

    @property
    def title(self) -> str: ...
    @property
    def finding(self) -> str: ...
    @property
    def basis(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> Sequence[TableRow]: ...


def numeric(column: Sequence[Cell]) -> bool:
    """Whether a column holds figures, which are aligned by their ends."""
    return any(cell.value is not None and not cell.verdict for cell in column)


def places(column: Sequence[Cell]) -> list[int | None]:
    """The place of each cell in its column in ascending order; equal ones share one, missing ones have none.

    Numbers come first, then verdicts in words, the best first, then other words by the alphabet.
    """
    keys = [None if cell.missing else _key(cell) for cell in column]
    order = {key: place for place, key in enumerate(sorted({key for key in keys if key is not None}))}
    return [None if key is None else order[key] for key in keys]


def _key(cell: Cell) -> tuple[int, float, int, str]:
    if cell.value is not None:
        return 0, cell.value, 0, ""
    return 1, 0.0, _VERDICTS.index(cell.verdict), cell.text.casefold()


def markdown(listing: Listing, columns: Sequence[str] = ()) -> list[str]:
    """The lines of a table in Markdown, without its notes; ``columns`` are those to show (default: all)."""
    shown = [name for name in listing.columns if name != NOTES and (not columns or name in columns)]
    rows = [dict(zip(listing.columns, row.cells(), strict=True)) for row in listing.rows]
    left = [name for name in shown if not numeric([row[name] for row in rows])]
    return markdown_table(shown, [[row[name].text for name in shown] for row in rows], left)
