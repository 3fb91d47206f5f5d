"""A run's folder: who may write to it, what it says about the run, and which cells it has."""

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bench.cells import Cell
from bench.errors import UsageError, UserError, unknown
from bench.files import write_json
from bench.host import same_machine

SCHEMA = 3
METHODOLOGY = 2

# What must agree for cells of two sittings to stand in one run.
_SAME = ("methodology", "plan", "launcher", "cpu_split", "stacks")


class RunFolder:
    """The folder of one run, locked while it is open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        """Lock the folder; raises ``UserError`` when another run has it."""
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise UserError(
                f"another run is writing to {self.path}; wait for it, or leave out --resume to start anew"
            ) from None
        for left in self.path.glob(".serve-*"):  # of a run that was killed
            shutil.rmtree(left)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()

    def read(self) -> dict[str, Any]:
        """The run's ``run.json``."""
        return read_run(self.path)

    def write(self, run: dict[str, Any]) -> None:
        """Replace the run's ``run.json``."""
        write_json(self.path / "run.json", run)

    def cell(self, cell: Cell) -> Path:
        """The folder of a cell."""
        return self.path / cell.path

    def measured(self, cell: Cell) -> dict[str, Any] | None:
        """What the ``cell.json`` of a finished cell has as ``measured``; failed cells are run again."""
        try:
            record = json.loads((self.cell(cell) / "cell.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        measured: dict[str, Any] = record["measured"]
        return measured if record["status"] == "finished" else None


def read_run(path: Path) -> dict[str, Any]:
    """Read a ``run.json``; raises ``UserError`` when it cannot be used."""
    try:
        run: dict[str, Any] = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} holds no readable run.json: {error}") from error
    if run.get("schema") != SCHEMA:
        raise UserError(f"{path}/run.json has schema {run.get('schema')}, this suite reads {SCHEMA}")
    return run


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


def differences(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps a recorded run from going on as the one described by ``now`` (both as ``run.json``)."""
    found = [key for key in _SAME if recorded[key] != now[key]]
    return found if same_machine(recorded["host"], now["host"]) else [*found, "host"]


def unfinished(results: Path, now: Mapping[str, Any], seed: int | None) -> Path | None:
    """The latest run that stopped early and that the same command goes on with, if any."""
    for path in reversed(runs(results)):
        try:
            run = read_run(path)
        except UserError:  # of another version of the suite: none of ours to go on with
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
