"""The folders of runs: their locks, their ``run.json``, their cells."""

import csv
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO, Any, Self

from bench.machine.processes import uninterrupted
from bench.model import folders
from bench.model.cells import Cell
from bench.model.errors import UsageError, UserError, unknown
from bench.model.files import check_plain, shortened, write_json
from bench.model.matching import differences, same_machine
from bench.model.records import schema
from bench.model.records.cell import Cell as CellRecord
from bench.model.records.run import Run

# The detail of a failed request is shortened to this in a sentence.
_DETAIL = 120


# Folders of sittings: those that are being measured, and those that only have to be moved to their places.
_HALF, _WHOLE = ".sitting-", ".whole-"
_LOCK = ".lock"
# Where damaged cells are kept when they are measured again.
_ASIDE = "damaged"
# Of a cell's folder below the run's: configuration, scenario, load, repeat.
_LEVELS = 4


class RunFolder:
    """The folder of one run, locked while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Lock the folder; raises ``UserError`` when another run has it, or links lie in the way."""
        self._lock = self._locked()
        try:
            self._clear()
        except BaseException:
            self._lock.close()
            raise
        return self

    def _locked(self) -> IO[str]:
        path = self.path / _LOCK
        try:
            # A stranger may have left a link there: what is behind it is not to be emptied.
            lock = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "w")
        except OSError as error:
            raise UserError(f"{path} cannot be opened: {error.strerror}") from error
        if not folders.claim(lock):
            lock.close()
            raise UserError(
                f"another run is writing to {self.path}; wait for it, or leave out --resume to start anew"
            )
        return lock

    def _clear(self) -> None:
        """Remove what a killed run has left, and take in the sittings that it had measured."""
        for pattern in (".serve-*", f"{_HALF}*", f"{_WHOLE}*"):
            for link in filter(
                Path.is_symlink, self.path.glob(pattern)
            ):  # none of ours: nothing is moved there
                link.unlink()
        self._check_links()
        for pattern in (".serve-*", f"{_HALF}*"):  # of a run that was killed
            for scratch in self.path.glob(pattern):
                shutil.rmtree(scratch)
        for whole in self.path.glob(f"{_WHOLE}*"):
            self._move_in(whole)

    def _check_links(self) -> None:
        """Raise ``UserError`` for a link on the way to a cell: what is written must stay in the folder."""
        level = [self.path]
        for _ in range(_LEVELS):
            level = [entry for folder in level if folder.is_dir() for entry in folder.iterdir()]
            for entry in level:
                if entry.is_symlink():
                    raise UserError(f"{entry} is a link, which no run makes: replace it by what it leads to")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()

    def read(self) -> dict[str, Any]:
        """The run's ``run.json``."""
        return read_run(self.path)

    def check(self) -> None:
        """Raise ``UserError`` where the folder was removed since: what is written would be half a run."""
        assert self._lock is not None
        try:
            there = os.path.samestat(os.fstat(self._lock.fileno()), (self.path / _LOCK).stat())
        except FileNotFoundError:
            there = False
        if not there:
            raise UserError(
                f"{self.path} was removed while the run was writing to it, and its cells with it.\n"
                "Give the same command again for a new run"
            )

    def write(self, run: dict[str, Any]) -> None:
        """Replace the run's ``run.json``; raises as ``check``."""
        self.check()
        write_json(self.path / "run.json", run)

    @property
    def has_cells(self) -> bool:
        """Whether anything has been measured."""
        return next(self.path.glob("*/*/*/*/cell.json"), None) is not None

    def cell(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.path / cell.path

    def set_aside(self, cells: Iterable[PurePath]) -> Path:
        """Move the folders of cells, so that these are measured again; returns where they are kept."""
        place = self.path / _ASIDE
        for cell in cells:
            target = place / cell
            number = 1
            while target.exists():
                number += 1
                target = place / cell.with_name(f"{cell.name}-{number}")
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.path / cell).rename(target)
        return place

    def begin_sitting(self, number: int) -> Path:
        """An empty folder for the cells of a sitting, which ``keep_sitting`` takes into the run.

        Raises as ``check``.
        """
        self.check()
        place = self.path / f"{_HALF}{number}"
        place.mkdir()
        return place

    def keep_sitting(self, place: Path) -> None:
        """Have the cells of a sitting in the run, all of them or, whatever ends this process, none.

        Raises as ``check``.
        """
        self.check()
        whole = place.with_name(place.name.replace(_HALF, _WHOLE))
        with uninterrupted():  # what is on its way belongs to the run, and people may look at it now
            place.rename(whole)
            self._move_in(whole)

    def _move_in(self, whole: Path) -> None:
        for cell in sorted(path.parent for path in whole.glob("*/*/*/*/cell.json")):
            target = self.path / cell.relative_to(whole)
            if target.exists():  # it was measured anew
                shutil.rmtree(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            cell.rename(target)
        shutil.rmtree(whole)

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """The ``cell.json`` of a cell; ``None`` where it has not been measured."""
        path = self.cell(cell) / "cell.json"
        return schema.record(path, CellRecord, self.path) if path.exists() else None

    def measured(self, cell: Cell) -> dict[str, Any] | None:
        """What the ``cell.json`` of a finished cell has as ``measured``; failed cells are run again."""
        record = self.record(cell)
        if record is None or record["status"] != "finished":
            return None
        measured: dict[str, Any] = record["measured"]
        return measured


def read_run(path: Path) -> dict[str, Any]:
    """Read a ``run.json``; raises ``UserError`` when it cannot be used."""
    return schema.record(path / "run.json", Run)


def runs(results: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    return sorted(path.parent for path in results.glob("*/run.json"))


def find(results: Path, name: str | None) -> Path:
    """The folder of a run by its name or path; the latest without a name.

    Raises:
        UsageError: there is no such run.
    """
    known = runs(results)
    if name is None:
        if not known:
            raise UsageError(f"no runs in {results} yet; `make bench` makes one")
        return known[-1]
    for path in (Path(name), results / name):
        if (path / "run.json").exists():
            return path
    raise UsageError(unknown("run", name, [path.name for path in known]))


def create(results: Path, plan: str) -> Path:
    """Make the folder of a new run, named after the time and its plan."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for name in _names(f"{stamp}-{plan}"):
        try:
            (results / name).mkdir(parents=True)
        except FileExistsError:
            continue
        return results / name
    raise AssertionError("there is always a next name")


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def unfinished(results: Path, now: Mapping[str, Any], seed: int | None) -> Path | None:
    """The latest run that stopped early and that the same command can continue, if any."""
    for path in reversed(runs(results)):
        try:
            run = read_run(path)
        except UserError:  # of another version of the suite
            continue
        same = seed in (None, run["seed"]) and not differences(run, now)
        if run["status"] != "finished" and same and not _is_locked(path):
            return path
    return None


def _is_locked(path: Path) -> bool:
    try:
        with RunFolder(path):
            return False
    except UserError:
        return True


def check_machine(path: Path, host: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if a run was begun on another machine than ``host``.

    Before anything is imported: a stranger's run may name locustfiles and apps.
    """
    if not same_machine(read_run(path)["host"], host):
        _refuse_to_go_on(path, ["host"])


def check_resumable(path: Path, described: Mapping[str, Any]) -> None:
    """Raise ``UserError`` if a run was begun under other conditions than those in ``described``."""
    _refuse_to_go_on(path, differences(read_run(path), described))


def _refuse_to_go_on(path: Path, differing: Sequence[str]) -> None:
    if differing:
        raise UserError(
            f"{path.name} cannot go on here: {', '.join(differing)} differ from when it was begun, "
            "and unlike results are not merged.\nStart a new run instead: leave out --resume"
        )


def none_succeeded(folder: Path) -> str | None:
    """For a run whose finished cells have no successful request: how they failed, and where to look.

    ``None`` if a request succeeded, or no cell is finished.
    """
    failed, unserved = 0, []
    for path in sorted(folder.glob("*/*/*/*/cell.json")):
        measured = schema.read(path, CellRecord, folder).measured
        if measured is not None and measured.requests:
            return None
        if measured is not None and measured.failures:
            failed += measured.failures
            unserved.append(path.with_name("failures.csv"))
    if not unserved:
        return None
    cells = f"{len(unserved)} cell{'s' if len(unserved) > 1 else ''}"
    how = _commonest(unserved[0], folder)
    return f"no request succeeded: all {failed:,} in {cells} failed, most often with {how}; see {unserved[0]}"


def _commonest(failures: Path, within: Path) -> str:
    """How most requests of a failures.csv failed: the kind and the detail."""
    csv.field_size_limit(sys.maxsize)  # a check may say whatever it likes
    counts: Counter[tuple[str, str]] = Counter()
    try:
        check_plain(failures, within)
        with failures.open(newline="", encoding="utf-8", errors="replace") as stream:
            for row in csv.DictReader(stream):
                counts[row["kind"], row["detail"]] += int(row["count"])
    except (UserError, OSError, KeyError, TypeError, ValueError, csv.Error):
        return "what cannot be read"
    if not counts:
        return "what is not there"
    (kind, detail), _ = counts.most_common(1)[0]
    said = shortened(detail, _DETAIL)
    return f"{kind} ({said})" if said else kind


def set_damaged_aside(folder: RunFolder, say: Callable[[str], None]) -> None:
    """Have the cells of a run that goes on measured again which no analysis can use."""
    if not folder.has_cells:
        return
    # Imported here: it brings pandas, which a new run does not need yet.
    from analysis.reading.results import damage

    found = damage(folder.path)
    if found.cells:
        place = folder.set_aside(found.places)
        others = f" and {len(found.others)} of the same sittings or searches" if found.others else ""
        cells = f"{len(found.cells)} damaged cell{'s' * (len(found.cells) > 1)}"
        say(f"measured again: {cells}{others}, now in {place} ({next(iter(found.cells.values()))})")
