"""Tables as the page shows them: the notes below, and each cell's place when its column is sorted."""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.table import Cell, Listing, numeric, places
from bench.model.documents import NOTES

# What names a row, where it is not the first column.
_NAME = "configuration"


@dataclass(frozen=True)
class Column:
    """The head of a column: whether it holds numbers, and whether the rows come in its ascending order."""

    text: str
    number: bool
    ascending: bool


@dataclass(frozen=True)
class Shown:
    """A table with everything that the page says of it; the column `head` names its rows.

    `places` has the rank of each cell in its column, `leads` says of each row whether it is of the first
    rank. `marks` are the numbers of the rows' notes, "" without one, `notes` the notes by their numbers.
    """

    title: str
    finding: str
    basis: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    places: tuple[tuple[int | None, ...], ...]
    head: int
    leads: tuple[bool, ...]
    marks: tuple[str, ...]
    notes: dict[str, str]

    @property
    def judged(self) -> bool:
        """Whether its cells say what one wants of a server and what they were read from."""
        return any(cell.evidence for row in self.rows for cell in row)


def shown(listing: Listing) -> Shown:
    """A table as the page shows it."""
    names = [name for name in listing.columns if name != NOTES]
    every = [dict(zip(listing.columns, row.cells(), strict=True)) for row in listing.rows]
    columns = {name: [row[name] for row in every] for name in names}
    ranks = {name: places(column) for name, column in columns.items()}
    noted = [row[NOTES].text if NOTES in row and not row[NOTES].missing else "" for row in every]
    numbers = {note: str(place) for place, note in enumerate(filter(None, dict.fromkeys(noted)), 1)}
    return Shown(
        title=listing.title,
        finding=listing.finding,
        basis=listing.basis,
        columns=tuple(
            Column(name, numeric(columns[name]), place == 0 and _ascending(columns[name], ranks[name]))
            for place, name in enumerate(names)
        ),
        rows=tuple(zip(*columns.values(), strict=True)),
        places=tuple(zip(*ranks.values(), strict=True)),
        head=names.index(_NAME) if _NAME in names else 0,
        leads=tuple("rank" in row and row["rank"].value == 1 for row in every),
        marks=tuple(numbers.get(note, "") for note in noted),
        notes={number: note for note, number in numbers.items()},
    )


def _ascending(column: Sequence[Cell], ranks: Sequence[int | None]) -> bool:
    """Whether the places of a column of numbers never fall, and what is missing comes last."""
    found = [float("inf") if place is None else place for place in ranks]
    return numeric(column) and found == sorted(found)
