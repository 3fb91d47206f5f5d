"""The CSV files of a run's cells as tidy frames.

They are read strictly: no column may be missing or mistyped.
"""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from analysis import identifiers
from analysis.errors import AnalysisError

# Each CSV file of a cell and its columns, in the order of docs/contracts.md.
COLUMNS: dict[str, dict[str, str]] = {
    "latency": {
        "second": "int64",
        "method": "category",
        "name": "category",
        "kind": "category",
        "bucket_us": "float64",
        "count": "int64",
    },
    "failures": {
        "time": "float64",
        "method": "category",
        "name": "category",
        "kind": "category",
        "latency_us": "float64",
        "connection_age_s": "float64",
        "connection_requests": "float64",
        "bytes_received": "float64",
        "count": "int64",
        "id": "category",
        "detail": "category",
    },
    "generator": {
        "time": "float64",
        "process": "int64",
        "pid": "int64",
        "users": "float64",
        "cpu_s": "float64",
        "spin_s": "float64",
        "requests": "float64",
        "failures": "float64",
        "loop_lag_ms": "float64",
        "loop_wait_us": "float64",
        "arrivals": "float64",
        "completions": "float64",
        "waiting": "float64",
        "connections_open": "float64",
        "connections_opened": "float64",
        "idle_closes": "float64",
        "rss_bytes": "float64",
    },
    "processes": {
        "time": "float64",
        "pid": "int64",
        "role": "category",
        "cpu_s": "float64",
        "rss_bytes": "float64",
        "pss_bytes": "float64",
    },
    "workers": {
        "time": "float64",
        "event": "category",
        "pid": "int64",
        "role": "category",
        "exit_status": "float64",
    },
    "host": {
        "time": "float64",
        "cpu": "int64",
        "user_s": "float64",
        "system_s": "float64",
        "idle_s": "float64",
        "iowait_s": "float64",
        "irq_s": "float64",
        "softirq_s": "float64",
        "steal_s": "float64",
    },
}

# What is metered of a server: an external one has no such files.
OF_SERVER = ("processes", "workers")

# The files that only cells of recycling have. Their rows are so many that they have no dimensions but `cell`.
TRACED: dict[str, dict[str, str]] = {
    "trace": {
        "id": "id",
        "method": "category",
        "name": "category",
        "due": "float64",
        "sent": "float64",
        "ended": "float64",
        "connection": "float64",
        "kind": "category",
    },
    "requests": {
        "time": "float64",
        "pid": "int64",
        "id": "id",
        "event": "category",
    },
}
COLUMNS_OF = COLUMNS | TRACED

# What every row of every frame carries, so that frames can be grouped without a join.
DIMENSIONS = [
    "cell", "configuration", "scenario", "workers", "load_kind", "arrivals", "rate_per_s", "users", "repeat",
    "treatment",
]  # fmt: skip

# Files of more than that together are read one by one, by several threads.
TOGETHER_BYTES = 64 << 20

# A cell's `arrivals` is how they come, that of generator.csv how many have: the frame calls these `due`.
RENAMED = {"generator": {"arrivals": "due"}}


def read(directory: Path, cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """One kind of file of all `cells`, one below the other, with the dimensions of each cell in front.

    Raises:
        AnalysisError: a file is missing, empty or malformed; the text names it.
    """
    paths = [directory / path / f"{name}.csv" for path in cells["path"]]
    if not paths:
        kinds = {column: "category" if kind == "id" else kind for column, kind in COLUMNS_OF[name].items()}
        return empty(kinds)[["cell", *kinds]] if name in TRACED else empty(kinds)
    parts, lengths = _parts(paths, COLUMNS_OF[name])
    rows = np.repeat(np.arange(len(paths)), lengths)
    columns: dict[str, object] = {"cell": cells.index.to_numpy()[rows]}
    for dimension in [] if name in TRACED else DIMENSIONS[1:]:
        values = cells[dimension].to_numpy()
        if values.dtype == object or isinstance(cells[dimension].dtype, pd.StringDtype):
            codes, categories = pd.factorize(cells[dimension])
            columns[dimension] = pd.Categorical.from_codes(codes[rows], categories=categories)
        else:
            columns[dimension] = values[rows]
    names = RENAMED.get(name, {})
    for column, kind in COLUMNS_OF[name].items():
        pieces = [part[column] for part in parts]
        if kind == "id":
            columns[column] = identifiers.column(
                [_numbers(each, path) for each, path in zip(pieces, paths, strict=True)]
            )
        else:
            joined = _texts(pieces) if kind == "category" else np.concatenate(pieces)
            columns[names.get(column, column)] = joined
    return pd.DataFrame(columns)


def _parts(paths: list[Path], columns: dict[str, str]) -> tuple[list[pd.DataFrame], list[int]]:
    """The files, one below the other in one or in several frames, and how many rows each file has.

    A run has thousands of small files, and to begin with a file takes longer than to read it. Those that
    can be read as one are; any that is odd, or wrong, has them all read one by one, which finds and names it.
    So are those with ids, which are large and are looked at file by file.
    """
    together = None if "id" in columns.values() else _together(paths, columns)
    if together is not None:
        return together
    with ThreadPoolExecutor(max_workers=4) as pool:
        parts = list(pool.map(lambda path: _csv(path, columns), paths))
    return parts, [len(part) for part in parts]


def _together(paths: list[Path], columns: dict[str, str]) -> tuple[list[pd.DataFrame], list[int]] | None:
    """As `_parts` in one frame; None if files are large, of unlike columns, or not plainly a row a line."""
    try:
        if sum(path.stat().st_size for path in paths) > TOGETHER_BYTES:
            return None
        texts = [path.read_bytes() for path in paths]
    except OSError:
        return None
    header, _, _ = texts[0].partition(b"\n")
    bodies = [text[len(header) + 1 :] for text in texts]
    plain = (text.startswith(header + b"\n") and text.endswith(b"\n") and b'"' not in text for text in texts)
    if not all(plain):
        return None
    lengths = [body.count(b"\n") for body in bodies]
    try:
        frame = _frame(io.BytesIO(b"".join([header, b"\n", *bodies])), columns)
    except ValueError:
        return None
    whole = len(frame) == sum(lengths) and set(columns) <= set(frame.columns)
    return ([frame], lengths) if whole else None


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """A frame without rows: the dimensions, then `columns` with their types."""
    whole = dict.fromkeys(["cell", "workers", "users", "repeat"], "int64") | {"rate_per_s": "float64"}
    kinds = {dimension: whole.get(dimension, "category") for dimension in DIMENSIONS} | dict(columns)
    return pd.DataFrame({column: pd.Series(dtype=kind) for column, kind in kinds.items()})


def _numbers(ids: pd.Series, path: Path) -> identifiers.Ints:
    """The ids of one file."""
    try:
        return identifiers.parsed(ids)
    except ValueError as error:
        raise AnalysisError(f"{path}: {error}; see docs/contracts.md") from error


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


def _csv(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read one CSV file, strictly: every column there, every value of its type."""
    try:
        frame = _frame(path, columns)
    except FileNotFoundError as error:
        raise AnalysisError(f"{path} is missing; remove {path.parent} and resume the run") from error
    except pd.errors.EmptyDataError as error:
        raise AnalysisError(f"{path} is empty; remove {path.parent} and resume the run") from error
    except (ValueError, OSError) as error:
        raise AnalysisError(f"{path}: {error}") from error
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise AnalysisError(f"{path} has no column {', '.join(missing)}; see docs/contracts.md")
    return frame


def _frame(source: Path | io.BytesIO, columns: dict[str, str]) -> pd.DataFrame:
    types = {column: "object" if kind == "id" else kind for column, kind in columns.items()}
    return pd.read_csv(source, dtype=types, keep_default_na=False, na_values=[""])


def cut(frame: pd.DataFrame, cells: pd.DataFrame, time: str) -> pd.DataFrame:
    """Keep the rows inside the measured window of their cell: start <= time < end."""
    start = cells["window_start"].reindex(frame["cell"]).to_numpy()
    end = cells["window_end"].reindex(frame["cell"]).to_numpy()
    inside = (frame[time].to_numpy() >= start) & (frame[time].to_numpy() < end)
    return frame[inside].reset_index(drop=True)
