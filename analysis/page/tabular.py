"""Tables as the page shows them: what a cell says, and its place when the rows are sorted by its column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.page.listing import Listing
from analysis.words import MISSING

# A number that a text begins with, alone or before a unit, an interval or a mark: "≥ 28,100 (…)", "5.06 s".
_NUMBER = re.compile(r"(?:[≥≤] )?(-?[\d,]+(?:\.\d+)?)(?: ?(µs|ms|s|KiB|MiB|GiB|%|x))?(?=$|[;,]| [(†/])")
_UNITS = {"µs": 1e-6, "ms": 1e-3, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
# What names a row, where it is not the first column.
_NAME = "configuration"

_Key = tuple[int, float, int, tuple[str | int, ...]]


@dataclass(frozen=True)
class Link:
    """A way to the evidence: `label` is shown, `title` says where it leads."""

    address: str
    label: str
    title: str


@dataclass(frozen=True)
class Cell:
    """One cell. `place` is its rank in its column in ascending order, None where the value is missing.

    `verdict` says whether it is what one wants of a server ("" in tables that judge nothing), `address` where
    its text leads, `links` what it was read from.
    """

    text: str
    place: int | None
    verdict: str = ""
    address: str | None = None
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Column:
    """The head of a column: whether it holds numbers, and whether the rows come in its ascending order."""

    text: str
    number: bool
    ascending: bool


@dataclass(frozen=True)
class Shown:
    """A table with everything that the page says of it; the column `head` names its rows.

    `leads` says of each row whether it is of the first rank, `judged` whether the cells have verdicts.
    """

    title: str
    finding: str
    basis: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    head: int
    leads: tuple[bool, ...]
    judged: bool = False


def shown(listing: Listing) -> Shown:
    """A table as the page shows it."""
    texts = [row.texts() for row in listing.rows]
    sorted_by = [places(column) for column in zip(*texts, strict=True)]
    rows = tuple(
        tuple(Cell(text, column[index]) for text, column in zip(row, sorted_by, strict=True))
        for index, row in enumerate(texts)
    )
    return Shown(
        title=listing.title,
        finding=listing.finding,
        basis=listing.basis,
        columns=heads(listing.columns, rows),
        rows=rows,
        head=listing.columns.index(_NAME) if _NAME in listing.columns else 0,
        leads=tuple(getattr(row, "rank", None) == 1 for row in listing.rows),
    )


def heads(names: Sequence[str], rows: Sequence[Sequence[Cell]]) -> tuple[Column, ...]:
    """The heads of some columns; only of the first is it said that the rows come in its order."""
    found = []
    for index, name in enumerate(names):
        column = [row[index] for row in rows]
        number = any(_NUMBER.match(cell.text) for cell in column)
        found.append(Column(name, number, ascending=index == 0 and number and _ascending(column)))
    return tuple(found)


def places(texts: Sequence[str], weights: Sequence[int] | None = None) -> list[int | None]:
    """The place of each text among all in ascending order; alike ones share one, a missing one has none.

    Numbers come first, by what they stand for ("40 ms" before "5.06 s"), then other texts: by their weight,
    where there are weights, and as people order them ("c8" before "c64").
    """
    keys = [
        None if text in ("", MISSING) else _key(text, weight)
        for text, weight in zip(texts, weights or [0] * len(texts), strict=True)
    ]
    order = {key: place for place, key in enumerate(sorted({key for key in keys if key is not None}))}
    return [None if key is None else order[key] for key in keys]


def _key(text: str, weight: int) -> _Key:
    found = _NUMBER.match(text)
    if found:
        number, unit = found.groups()
        return 0, float(number.replace(",", "")) * _UNITS.get(unit, 1.0), 0, ()
    parts = re.split(r"(\d+)", text.casefold())
    return 1, 0.0, weight, tuple(int(part) if part.isdigit() else part for part in parts)


def _ascending(cells: Sequence[Cell]) -> bool:
    """Whether the places never fall, and what is missing comes last."""
    found = [float("inf") if cell.place is None else cell.place for cell in cells]
    return found == sorted(found)
