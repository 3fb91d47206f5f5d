"""Cells of which a file is not what was measured: what is wrong with it, and what is left out with them.

The rest of the run is analysed. Who resumes it has these cells measured again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.model.cells import ClosedLoop, OpenLoop
from bench.model.errors import UserError
from bench.model.files import plain, shortened
from bench.model.records import schema
from bench.model.records.cell import Cell, ClosedLoad
from bench.model.records.run import Run

_WORKERS = re.compile(r"-w(\d+)")


class DamagedError(UserError):
    """`files` are not what was measured, each with a text that names it and says why."""

    def __init__(self, files: Mapping[Path, str]) -> None:
        super().__init__(next(iter(files.values())))
        self.files = dict(files)


@dataclass(frozen=True)
class Damage:
    """The cells of a run that are left out, by their folders below the run's.

    `cells` are those with a damaged file, and what is wrong with it; `others` are sound, but belong to a
    sitting or a search of which such a cell is missing.
    """

    cells: Mapping[Path, str] = field(default_factory=dict)
    others: tuple[Path, ...] = ()

    @classmethod
    def of(cls, cells: Mapping[Path, str], found: Mapping[Path, Cell]) -> "Damage":
        """That of a run whose cells are `found`, those left out whose cell.json cannot be read."""
        lost = {_whole(place, found.get(place)) for place in cells}
        others = (place for place, cell in found.items() if _whole(place, cell) in lost)
        return cls(dict(cells), tuple(place for place in others if place not in cells))

    @property
    def places(self) -> tuple[Path, ...]:
        """The folders of all that is left out."""
        return (*self.cells, *self.others)


def recorded(directory: Path, run: Run) -> tuple[dict[Path, Cell], dict[Path, str]]:
    """What each cell of a run says, by its folder below the run's; and what is wrong with those damaged."""
    found: dict[Path, Cell] = {}
    damaged: dict[Path, str] = {}
    for path in sorted(directory.glob("*/*/*/*/cell.json")):
        place = path.parent.relative_to(directory)
        try:
            found[place] = schema.read(path, Cell, directory)
        except UserError as error:
            damaged[place] = below(directory, str(error))
    known = {configuration.name for configuration in run.configurations}
    places: dict[tuple[object, ...], Path] = {}
    for place, cell in found.items():
        if cell.configuration not in known:
            name = shortened(cell.configuration)
            damaged[place] = f"{place / 'cell.json'}: configuration: run.json knows no {name!r}"
        elif not _lies_in(place, cell) or (cell.workers is None and run.launcher != "external"):
            damaged[place] = f"{place / 'cell.json'} says that it is another cell than its folder does"
        elif (earlier := places.setdefault(cell.identity, place)) != place:
            damaged[earlier] = damaged[place] = f"{place} and {earlier} are the same cell"
    return found, damaged


def below(directory: Path, text: str) -> str:
    """A text in which the paths of a run's files begin in its folder."""
    return text.replace(f"{directory}/", "")


def _lies_in(place: Path, cell: Cell) -> bool:
    """Whether a cell is the one that its folder is named after."""
    load = cell.load
    if isinstance(load, ClosedLoad):
        name = ClosedLoop(load.users).name
    else:
        name = OpenLoop(load.arrivals, load.rate_per_s, load.users).name
        name = name if cell.search is None else f"s{name[1:]}"
    workers = "" if cell.workers is None else f"-w{cell.workers}"
    configuration, scenario, folder, repeat = map(plain, place.parts)
    same = (configuration, scenario, repeat) == (cell.configuration, cell.scenario, f"r{cell.repeat}")
    return same and f"{folder}-".startswith(f"{name}{workers}-")


def _whole(place: Path, cell: Cell | None) -> tuple[object, ...]:
    """What the cell in a folder is a part of that tells nothing without it: a sitting, a search, or itself.

    Of a cell that cannot be read its folder's name has to tell: CONFIGURATION/SCENARIO/LOAD/rREPEAT.
    """
    configuration, scenario, load, repeat = place.parts
    if cell is None:
        found = _WORKERS.search(load)
        workers = None if found is None else int(found[1])
        rotated, searches = load.startswith("c"), load.startswith("s")
    else:
        workers, rotated, searches = cell.workers, cell.rotation is not None, cell.search is not None
    if rotated:
        return "sitting", workers, repeat
    if searches:
        return "search", configuration, scenario, workers, repeat
    return "cell", place
