"""What must hold of a run whatever has happened to it.

Each function is shown a folder or what was seen, and returns sentences: what does not hold.
"""

import csv
import json
import re
import signal
from collections.abc import Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.experiment.soak.intervals import Intervals
from bench.experiment.soak.lane import LANE_FILE
from bench.machine import shared_memory
from bench.model import files, folders
from bench.model.errors import UserError
from bench.model.plans.soak import seconds_of
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.columns import FILES, INTERVALS_FILE
from bench.model.records.lane import Lane
from bench.model.records.run import Run
from tests.shared import SHARED

CELLS = "*/*/*/*/cell.json"
LANES = f"*/*/*/*/{LANE_FILE}"
_TABLES = {f"{name}.csv" for name in FILES}
# Of bench itself: the last lines of what it has started are indented.
# Python's own, where it cannot even start without descriptors, is nobody's to catch.
_TRACEBACK = re.compile(r"(?<! initialized\n)^Traceback", re.MULTILINE)

_INTERRUPTED = 130
# How the names begin of temporary folders that the suite removes when their owner is gone.
_OWN = "whichworker-"
# Of the arrivals that a schedule has in a window so many may be in the next one.
_ASTRAY, _AT_EDGES = 0.02, 2

Shape = dict[str, dict[str, list[str]]]
"""Cells of a run, or lanes of a soak, by their paths: the names of their files, the keys of what they say."""


def cells(run: Path) -> dict[str, dict[str, Any]]:
    """Every cell.json of a run by the path of its cell; one that is damaged is for `damaged` to tell."""
    return _documents(run, CELLS)


def lanes(run: Path) -> dict[str, dict[str, Any]]:
    """The same of every lane.json of a soak."""
    return _documents(run, LANES)


def _documents(run: Path, pattern: str) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(run.glob(pattern)):
        try:
            found[str(path.parent.relative_to(run))] = json.loads(path.read_text())
        except ValueError:
            continue
    return found


def reasons(run: Path) -> list[str]:
    """Why cells of a run failed, and why legs of a soak ended; empty where it does not say."""
    failed = [cell["reason"] or "" for cell in cells(run).values() if cell["status"] == "failed"]
    return failed + [leg["reason"] for lane in lanes(run).values() for leg in lane["legs"] if leg["reason"]]


def finished(run: Path) -> dict[str, str]:
    """A digest of all files of each finished cell, by its path."""
    return {name: _digest(run / name) for name, cell in cells(run).items() if cell["status"] == "finished"}


def _digest(cell: Path) -> str:
    whole = sha256()
    for path in sorted(cell.iterdir()):
        whole.update(path.name.encode() + path.read_bytes())
    return whole.hexdigest()


def lost(before: Mapping[str, str], run: Path, excused: Collection[str] = ()) -> list[str]:
    """Finished cells that are not there any more, or are not what they were."""
    after = finished(run)
    return [
        f"the finished cell {name} {'was changed' if name in after else 'is gone'}"
        for name, digest in before.items()
        if after.get(name) != digest and name not in excused
    ]


def soaked(run: Path) -> dict[str, int]:
    """How many requests a soak has counted, by the paths of its lanes."""
    found = {}
    for name, lane in lanes(run).items():
        try:
            kept = list(Intervals(run / name / INTERVALS_FILE, lane["interval_s"]))
        except UserError:
            continue
        found[name] = sum(each.counts["requests"] for each in kept)
    return found


def dried(before: Mapping[str, int], run: Path) -> list[str]:
    """Lanes that have counted less than they had."""
    after = soaked(run)
    return [
        f"the lane {name} has {after.get(name)} requests of {requests}"
        for name, requests in before.items()
        if after.get(name, -1) < requests
    ]


def untrue(run: Path) -> list[str]:
    """Finished cells whose window does not have the arrivals of its length: their clock told it wrong."""
    problems = []
    for name, cell in cells(run).items():
        if cell["status"] != "finished" or cell["load"]["kind"] != "open":
            continue
        due = (cell["window"]["end"] - cell["window"]["start"]) * cell["load"]["rate_per_s"]
        if abs(cell["measured"]["arrivals"] - due) > _ASTRAY * due + _AT_EDGES:
            problems.append(f"the cell {name} has {cell['measured']['arrivals']} arrivals of {due:g}")
    return problems


def measured_anew(run: Path) -> set[str]:
    """The cells that a run which is over measures again if it goes on: all of sittings with a failed one."""
    document = json.loads((run / "run.json").read_text()) if (run / "run.json").exists() else {}
    if document.get("status") != "finished":
        return set()
    found = {
        name: cell for name, cell in cells(run).items() if cell["rotation"] or cell["status"] == "failed"
    }
    failed = {(cell["workers"], cell["repeat"]) for cell in found.values() if cell["status"] == "failed"}
    return {name for name, cell in found.items() if (cell["workers"], cell["repeat"]) in failed}


def damaged(run: Path) -> list[str]:
    """Files of a run that are not whole. Those of a cell without a cell.json nobody reads."""
    problems = []
    if (run / "run.json").exists():
        problems += _unreadable(run / "run.json", Run)
    for path in sorted(run.glob(CELLS)):
        unread = _unreadable(path, Cell)
        problems += unread or _of_cell(path.parent)
    for path in sorted(run.glob(LANES)):
        problems += _unreadable(path, Lane)
        if (table := path.with_name(INTERVALS_FILE)).exists():
            problems += torn(table)
    return problems


def _unreadable(path: Path, kind: type[Run] | type[Cell] | type[Lane]) -> list[str]:
    try:
        schema.read(path, kind)
    except UserError as error:
        return [str(error)]
    return []


def _of_cell(cell: Path) -> list[str]:
    record = json.loads((cell / "cell.json").read_text())
    problems = [
        f"{cell / name} is not what its cell.json says (files)"
        for name, digest in (record.get("files") or {}).items()
        if not (cell / name).exists() or files.sha256(cell / name) != digest
    ]
    tables = sorted(cell.glob("*.csv"))
    if record["status"] == "failed":  # Locust's own tables grow until their process is killed
        tables = [path for path in tables if path.name in _TABLES]
    return problems + [problem for path in tables for problem in torn(path)]


def torn(table: Path) -> list[str]:
    """Whether a CSV file ends in the middle of a row, or has rows of another length than its first."""
    text = table.read_text(encoding="utf-8", errors="replace")
    if not text.endswith("\n"):
        return [f"{table} ends in the middle of a line"]
    first, *rows = csv.reader(text.splitlines(keepends=True))
    uneven = [number for number, row in enumerate(rows, 2) if len(row) != len(first)]
    return [f"{table}, row {uneven[0]}: other columns than in the first"] if uneven else []


def scraps(run: Path) -> list[str]:
    """What an orderly end leaves nothing of: folders of servers and sittings, half files, half cells."""
    hidden = [path for path in run.glob(".*") if path.name != ".lock"]
    halves = [path.parent for path in run.glob("[!.]*/*/*/*/*") if path.name.endswith(".tmp")]
    named = {path.parent for pattern in (CELLS, LANES) for path in run.glob(pattern)}
    cells = [path for path in run.glob("[!.]*/*/*/*") if path.is_dir() and path not in named]
    return [f"{path} was left" for path in sorted({*hidden, *halves, *cells})]


def in_memory() -> list[str]:
    """What is in the shared memory that this process sees: nothing, if it sees that of ended ones alone."""
    files = [str(path) for path in SHARED.iterdir()]
    segments = [row.split()[1] for row in shared_memory.SEGMENTS.read_text().splitlines()[1:]]
    return [f"{path} was left" for path in files] + [
        f"segment {number} of shared memory was left" for number in segments
    ]


def littered(temporary: Path, *, orderly: bool) -> list[str]:
    """What is left among the temporary files that should not be; an orderly end leaves nothing.

    Any other leaves only what the next one removes: what nobody holds.
    """
    if not orderly:
        folders.sweep(temporary, _OWN)
    return [f"{path} was left" for path in sorted(temporary.iterdir())]


def shape(run: Path) -> Shape:
    """Of which kind the cells of a run are, whatever was measured."""
    return {
        name: {
            "files": sorted(path.name for path in (run / name).iterdir()),
            "keys": sorted(cell),
            "measured": sorted(cell.get("measured") or ()),
        }
        for name, cell in {**cells(run), **lanes(run)}.items()
    }


def incomplete(run: Path, expected: Shape) -> list[str]:
    """What a run that is over has less, more or otherwise than one that nothing has disturbed."""
    document = json.loads((run / "run.json").read_text())
    problems = [] if document["status"] == "finished" else [f"{run.name} is {document['status']}"]
    if document["cells_planned"] != len(expected):
        problems.append(f"{run.name} has planned {document['cells_planned']} cells, not {len(expected)}")
    if (soak := document["plan"].get("soak")) and document["load_s"] < seconds_of(soak["hours"]) - 1:
        problems.append(f"{run.name} has {document['load_s']} s of its load")
    failed = [name for name, cell in cells(run).items() if cell["status"] == "failed"]
    found = shape(run)
    problems += [f"the cell {name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"there is a cell {name}, which no other run has" for name in found.keys() - expected.keys()]
    for name in sorted((expected.keys() & found.keys()) - set(failed)):
        problems += [
            f"the cell {name} has other {what}: {sorted({*found[name][what]} ^ {*parts})}"
            for what, parts in expected[name].items()
            if found[name][what] != parts
        ]
    return problems + [f"the cell {name} failed again" for name in failed]


def unsaid(
    status: int, said: str, reasons: Collection[str], words: str, silent: Collection[int]
) -> list[str]:
    """What people are not told of a command which ended with a status, said something, and left failed cells.

    Where something went wrong, `words` (a pattern) are among what it says or among the cells' `reasons`. It
    may end without a word by the `silent` signals, which it was sent, or with the status that Ctrl-C has.
    """
    problems = ["a traceback is shown"] if _TRACEBACK.search(said) else []
    if status < 0:
        own = [] if -status in silent else [f"it ended by {signal.Signals(-status).name}, which nobody sent"]
        return problems + own
    if status == _INTERRUPTED and signal.SIGINT in silent and not reasons:
        return problems
    if not all(reasons):
        problems.append("a cell failed for no reason")
    everything = "\n".join([said, *reasons])
    if (status or reasons) and not re.search(words, everything):
        problems.append(f"exit status {status}, and nothing is said of what happened ({words})")
    return problems
