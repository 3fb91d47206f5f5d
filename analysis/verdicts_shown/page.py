"""What the report's page shows of a verdict, which stands at its top."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.page.document import Section
from analysis.page.tabular import Cell, Shown, shown
from analysis.verdicts import Verdict
from analysis.verdicts.evidence import Outcome

TITLE = "Which configuration to use"
# What the outcome of a configuration is among the table's verdicts.
_VERDICTS: dict[str, Outcome] = {"good": "passed", "bad": "failed", "unknown": "not shown"}


@dataclass(frozen=True)
class Answer:
    """A verdict, and the table of its candidates as the page shows it."""

    verdict: Verdict
    table: Shown


def section(verdict: Verdict | None) -> Iterator[Section]:
    """The verdict's part of the page; of a run that asks for none there is none."""
    if verdict is not None:
        yield Section(TITLE, "verdict", Answer(verdict, _table(verdict)))


def _table(verdict: Verdict) -> Shown:
    """The candidates, best first; whether one meets the requirements is told by a sign as well."""
    table = shown(verdict)
    place = verdict.columns.index("requirements")
    rows = tuple((*row[:place], _judged(row[place]), *row[place + 1 :]) for row in table.rows)
    # Reasons are sentences, though some begin with a figure.
    *columns, why = table.columns
    return replace(table, rows=rows, columns=(*columns, replace(why, number=False)))


def _judged(cell: Cell) -> Cell:
    (sign,) = [sign for sign, outcome in _VERDICTS.items() if outcome == cell.text]
    return replace(cell, verdict=sign)
