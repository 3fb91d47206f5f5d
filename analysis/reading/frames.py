"""The CSV files of a run's cells as tidy frames.

They are read strictly: no column may be missing or mistyped.
"""

import io
import re
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import union_categoricals

from analysis.reading import csv_files
from analysis.reading.damage import DamagedError
from bench.model.errors import UserError
from bench.model.files import check_plain, plain, shortened
from bench.model.records.columns import FILES, TIMES

Ints = npt.NDArray[np.int64]

# What every row of every frame carries, so that frames can be grouped without a join.
DIMENSIONS = [
    "cell", "configuration", "scenario", "workers", "load_kind", "arrivals", "rate_per_s", "users", "repeat",
    "treatment",
]  # fmt: skip

# A traced request has the number of its process times this, plus its serial number, which is smaller.
_SERIALS = 1 << 40
_PROCESSES = 1 << 20

# A server may start hours before its cell, and clocks may be set; what is days away is of another cell.
NEAR_S = 2 * 86_400.0

# A cell's `arrivals` is how they come, that of generator.csv how many have: the frame calls these `due`.
RENAMED = {"generator": {"arrivals": "due"}}

EXCEPTIONS_FILE = "locust_exceptions.csv"
EXCEPTIONS = {"source": "str", "message": "str", "count": "int64", "place": "str", "code": "str"}
# Of the file's columns those that are read; `Nodes` are names of Locust processes.
_READ = {"Count": "int64", "Message": "str", "Traceback": "str"}
# All of the file where nothing was raised, as in most cells of most runs.
_NOTHING = b"Count,Message,Traceback,Nodes"
# How the session's message begins where a listener raised, and not a task.
_LISTENER = re.compile(r"listener .+ of \w+: ")
_TRACED_LINE = re.compile(
    r'^  File "(?P<file>.+)", line (?P<line>\d+), in [^\n]*(?:\n {4}(?P<code>[^\n]+))?', re.MULTILINE
)
# Where libraries and Python itself are installed, and code that is in no file.
_FOREIGN = re.compile(r"/(site|dist)-packages/|/lib(64)?/python3\.\d+/|^<")
# The package of the engine, which runs users' tasks.
_ENGINE = "swarm"


def read(directory: Path, cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """One kind of file of all `cells`, one below the other, with the dimensions of each cell in front.

    Raises:
        DamagedError: files are missing, empty, malformed, or not those that were measured.
    """
    file = FILES[name]
    # Files of recycling have too many rows for any dimension but `cell`.
    dimensions = [] if file.of_recycling else DIMENSIONS[1:]
    paths = [directory / path / f"{name}.csv" for path in cells["path"]]
    if not paths:
        return _no_rows(name).copy()
    parts, lengths = csv_files.several(
        paths, file, directory, [files.get(f"{name}.csv") for files in cells["files"]]
    )
    rows = np.repeat(np.arange(len(paths)), lengths)
    columns: dict[str, object] = {"cell": cells.index.to_numpy()[rows]}
    for dimension in dimensions:
        values = cells[dimension].to_numpy()
        if values.dtype == object or isinstance(cells[dimension].dtype, pd.StringDtype):
            codes, categories = pd.factorize(cells[dimension])
            columns[dimension] = pd.Categorical.from_codes(codes[rows], categories=categories)
        else:
            columns[dimension] = values[rows]
    _check_times(parts, rows, lengths, paths, cells)
    names = RENAMED.get(name, {})
    for column, kind in file.types.items():
        pieces = [part[column] for part in parts]
        if kind == "id":
            columns[column] = _ids(_numbers(pieces, paths))
        else:
            joined = _texts(pieces) if kind == "category" else np.concatenate(pieces)
            columns[names.get(column, column)] = joined
    return pd.DataFrame(columns)


def _check_times(
    parts: list[pd.DataFrame], rows: Ints, lengths: list[int], paths: list[Path], cells: pd.DataFrame
) -> None:
    """Raise `DamagedError` for rows nowhere near the time of their cell, which would count for nothing."""
    started, ended = (cells[edge].to_numpy(dtype=float)[rows] for edge in ("started", "ended"))
    for column in TIMES:
        if column in parts[0]:
            times = np.concatenate([part[column] for part in parts])
            far = ~((times >= started - NEAR_S) & (times <= ended + NEAR_S))
            damaged = {}
            # The first of each file.
            for row in np.flatnonzero(far)[np.unique(rows[far], return_index=True)[1]].tolist():
                number = int(rows[row])
                line = csv_files.line_of(paths[number], row - sum(lengths[:number]))
                damaged[paths[number]] = (
                    f"{paths[number]}, line {line}: {column} is {times[row]:.0f}, and the cell was measured "
                    f"at {started[row]:.0f}"
                )
            if damaged:
                raise DamagedError(damaged)


@cache
def _no_rows(name: str) -> pd.DataFrame:
    """What `read` gives for no cells."""
    file = FILES[name]
    dimensions = [] if file.of_recycling else DIMENSIONS[1:]
    kinds = {column: "category" if kind == "id" else kind for column, kind in file.types.items()}
    return empty(kinds)[["cell", *dimensions, *kinds]]


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """A frame without rows: the dimensions, then `columns` with their types."""
    whole = dict.fromkeys(["cell", "workers", "users", "repeat"], "int64") | {"rate_per_s": "float64"}
    kinds = {dimension: whole.get(dimension, "category") for dimension in DIMENSIONS} | dict(columns)
    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})


def _numbers(pieces: list[pd.Series], paths: list[Path]) -> list[Ints]:
    """The ids of each file as numbers: a run may have ten million."""
    found = [_as_numbers(piece.tolist()) for piece in pieces]
    damaged = [path for path, numbers in zip(paths, found, strict=True) if numbers is None]
    if damaged:
        what = "a request has no id of the form PROCESS-SERIAL"
        raise DamagedError({path: f"{path}: {what}; see docs/contracts.md" for path in damaged})
    return [numbers for numbers in found if numbers is not None]


def _as_numbers(texts: list[str]) -> Ints | None:
    """Ids as numbers; None if any is of another form."""
    if not texts:
        return np.array([], dtype=np.int64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of what it cannot read to its end
            parts = np.fromstring("-".join(texts), dtype=np.int64, sep="-")
    except (TypeError, ValueError, OverflowError, DeprecationWarning):
        parts = np.array([], dtype=np.int64)
    if (
        len(parts) != 2 * len(texts)
        or parts.min() < 0
        or parts[::2].max() >= _PROCESSES
        or parts.max() >= _SERIALS
    ):
        return None
    numbers: Ints = parts[::2] * _SERIALS + parts[1::2]
    return numbers


def _ids(pieces: list[Ints]) -> pd.Categorical:
    """One column of the ids of several files, as texts again."""
    codes, unique = pd.factorize(np.concatenate(pieces))
    texts = [f"{number // _SERIALS}-{number % _SERIALS}" for number in unique.tolist()]
    return pd.Categorical.from_codes(codes, categories=pd.Index(texts, dtype="str"))


def processes_of(ids: pd.Series) -> Ints:
    """The process of each id in a column of ids; -1 where the id is missing."""
    texts = ids.cat.categories
    processes = np.array([int(text.partition("-")[0]) for text in texts], dtype=np.int64)
    return np.append(processes, -1)[ids.cat.codes]


def _texts(pieces: list[pd.Series]) -> pd.Categorical:
    """One categorical column of several; pandas takes texts such as "404" for numbers."""
    filled = [
        # A type for those without any text, too: columns of unlike types cannot be joined.
        pd.Categorical.from_codes(
            piece.cat.codes, categories=pd.Index([str(text) for text in piece.cat.categories], dtype="str")
        )
        for piece in pieces
        if len(piece)
    ]
    return union_categoricals(filled) if filled else pd.Categorical([])


def cut(frame: pd.DataFrame, cells: pd.DataFrame, time: str) -> pd.DataFrame:
    """Keep the rows inside the measured window of their cell: start <= time < end."""
    start = cells["window_start"].reindex(frame["cell"]).to_numpy()
    end = cells["window_end"].reindex(frame["cell"]).to_numpy()
    inside = (frame[time].to_numpy() >= start) & (frame[time].to_numpy() < end)
    return frame[inside].reset_index(drop=True)


def read_exceptions(directory: Path, cells: pd.DataFrame) -> pd.DataFrame:
    """What was raised in `cells` (`Results.cells`) of the run in `directory`, from warm-up to the end.

    A row for each traceback of a cell, with the `DIMENSIONS` of its cell: `source` is "task" (`on_start` and
    `on_stop`, too) or "listener", `message` what the exception says, `count` how often it was raised, in all
    processes. `place` is the line of users' own code nearest to where it was raised, as `file:line`, and
    `code` what stands there; both are empty where the traceback does not say. Cells without the file, which
    older versions may have left, have no rows: of these nothing is known.

    Raises:
        DamagedError: such files are none.
    """
    parts: list[pd.DataFrame] = []
    damaged: dict[Path, str] = {}
    for cell, path in zip(cells.index.to_list(), cells["path"], strict=True):
        file = directory / path / EXCEPTIONS_FILE
        try:
            part = _of_cell(file, directory)
        except UserError as error:
            damaged[file] = str(error)
            continue
        if part is not None:
            parts.append(part.assign(cell=cell))
    if damaged:
        raise DamagedError(damaged)
    if not parts:
        return _no_exceptions().copy()
    frame = pd.concat(parts, ignore_index=True).join(cells[DIMENSIONS[1:]], on="cell")
    return frame[[*DIMENSIONS, *EXCEPTIONS]]


@cache
def _no_exceptions() -> pd.DataFrame:
    """What `read_exceptions` gives where nothing was raised."""
    empty = {"cell": "int64", **dict.fromkeys(DIMENSIONS[1:], "object"), **EXCEPTIONS}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in empty.items()})


def _of_cell(path: Path, within: Path) -> pd.DataFrame | None:
    """The `EXCEPTIONS` of one file; None where there are none."""
    check_plain(path, within)
    try:
        content = path.read_bytes() if path.exists() else _NOTHING
        found = None if content.strip() == _NOTHING else _exceptions(content)
    except (ValueError, OverflowError, OSError) as error:  # pandas' errors of parsing are ValueErrors
        raise UserError(f"{path}: {shortened(error)}") from error
    return None if found is None or found.empty else found


def _exceptions(content: bytes) -> pd.DataFrame:
    """What one file that has rows says; raises ValueError if it is no such file."""
    frame = pd.read_csv(
        io.BytesIO(content),
        dtype=_READ,
        usecols=list(_READ),
        keep_default_na=False,
        encoding_errors="replace",
    )
    messages = [plain(message) for message in frame["Message"]]
    places = [place(traceback) for traceback in frame["Traceback"]]
    return pd.DataFrame(
        {
            "source": ["listener" if _LISTENER.match(message) else "task" for message in messages],
            "message": messages,
            "count": frame["Count"],
            "place": [where for where, _ in places],
            "code": [code for _, code in places],
        }
    ).astype(EXCEPTIONS)


def place(traceback: str) -> tuple[str, str]:
    """The line of users' own code nearest to where an exception was raised, as `file:line`, and its code.

    Own is what neither Python nor an installed package nor the engine has; if nothing is, that is the line
    that raised. Empty where the traceback names no line.
    """
    frames = [found.groupdict() for found in _TRACED_LINE.finditer(traceback)]
    if not frames:
        return "", ""
    # The engine is what called; users may have a folder of its name.
    # Versions before the rooms of `swarm` had all its modules in one folder.
    folders = PurePosixPath(frames[0]["file"]).parents[:2]
    engine = next((folder for folder in folders if folder.name == _ENGINE), None)
    own = [
        frame
        for frame in frames
        if not _FOREIGN.search(frame["file"]) and engine not in PurePosixPath(frame["file"]).parents
    ]
    last = (own or frames)[-1]
    return f"{plain(last['file'])}:{last['line']}", plain(last["code"] or "")
