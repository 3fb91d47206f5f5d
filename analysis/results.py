"""results/<run>/ as tidy frames. Reads files only; knows nothing of how they were measured."""

import shlex
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from analysis import schema
from analysis.errors import AnalysisError

RESULTS_ROOT = Path(__file__).parents[1] / "results"

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

# What every row of every frame carries, so that frames can be grouped without a join.
DIMENSIONS = ["cell", "configuration", "scenario", "workers", "users", "repeat"]


@dataclass(frozen=True)
class Results:
    """A run. Every frame but `cells` has the `DIMENSIONS` of its cell beside its file's columns.

    `cells` has one row per cell (index: its number), failed ones with their `reason`. `latencies` and
    `failures` are cut to the measured windows; the sampled frames are not, because what happened in a
    window is interpolated between samples on either side of its edges. Only finished cells have rows
    outside `cells`.
    """

    directory: Path
    run: schema.Run
    cells: pd.DataFrame
    latencies: pd.DataFrame
    failures: pd.DataFrame
    generator: pd.DataFrame
    processes: pd.DataFrame
    workers: pd.DataFrame
    host: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def configurations(self) -> list[str]:
        """Every configuration of the catalogue, measured or not, in its declared order."""
        return [configuration.name for configuration in self.run.configurations]

    @property
    def finished(self) -> pd.DataFrame:
        """The cells that have measurements."""
        return self.cells[self.cells["status"] == "finished"]


def latest(root: Path = RESULTS_ROOT) -> Path:
    """Return the run under `root` that started last.

    Raises:
        AnalysisError: there is none.
    """
    runs = [(schema.read(path, schema.Run).started, path.parent) for path in root.glob("*/run.json")]
    if not runs:
        raise AnalysisError(f"no results in {root}: run `make bench` first")
    return max(runs)[1]


def load(directory: Path) -> Results:
    """Read a run; its cost grows with the number of cells and histogram rows, not with the requests.

    Raises:
        AnalysisError: no run there, no finished cell in it, another schema, or a file that is missing,
            empty or malformed; the text names the file.
    """
    if not (directory / "run.json").is_file():
        raise AnalysisError(f"no results in {directory}: run `make bench` first")
    run = schema.read(directory / "run.json", schema.Run)
    records = [
        (path.parent, schema.read(path, schema.Cell)) for path in sorted(directory.glob("*/*/*/*/cell.json"))
    ]
    if not any(cell.status == "finished" for _, cell in records):
        raise AnalysisError(_nothing_finished(directory, run, [cell for _, cell in records]))
    cells = pd.DataFrame([_row(path.relative_to(directory), cell) for path, cell in records])
    cells = cells.rename_axis("cell")
    finished = cells[cells["status"] == "finished"]
    frames = {name: _frame(directory, finished, name) for name in COLUMNS}
    return Results(
        directory=directory,
        run=run,
        cells=cells,
        latencies=_cut(frames["latency"], finished, "second"),
        failures=_cut(frames["failures"], finished, "time"),
        generator=frames["generator"],
        processes=frames["processes"],
        workers=frames["workers"],
        host=frames["host"],
        notes=tuple(_notes(run, cells)),
    )


def _row(path: Path, cell: schema.Cell) -> dict[str, object]:
    """One row of `Results.cells`; what a failed cell does not have is missing."""
    window, server, generator = cell.window, cell.server, cell.generator
    return {
        "configuration": cell.configuration,
        "scenario": cell.scenario,
        "workers": cell.workers,
        "users": cell.load.users,
        "repeat": cell.repeat,
        "block": cell.block,
        "status": cell.status,
        "reason": cell.reason,
        "started": cell.started,
        "ended": cell.ended,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
        "server_started": server.started if server else None,
        "server_cpus": server.cpus if server else None,
        "command": shlex.join(server.command) if server else None,
        "loop": server.whoami.get("loop") if server else None,
        "parser": server.whoami.get("parser") if server else None,
        "generator_cpus": generator.cpus if generator else None,
        "generator_processes": generator.processes if generator else None,
        "engine": generator.engine if generator else None,
        "path": str(path),
    }


def _frame(directory: Path, cells: pd.DataFrame, name: str) -> pd.DataFrame:
    """One kind of file of all `cells`, one below the other, with the dimensions of each cell in front."""
    paths = [directory / path / f"{name}.csv" for path in cells["path"]]
    with ThreadPoolExecutor(max_workers=4) as pool:
        parts = list(pool.map(lambda path: _csv(path, COLUMNS[name]), paths))
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    columns: dict[str, object] = {"cell": cells.index.to_numpy()[rows]}
    for dimension in DIMENSIONS[1:]:
        values = cells[dimension].to_numpy()
        if values.dtype == object or isinstance(cells[dimension].dtype, pd.StringDtype):
            codes, categories = pd.factorize(cells[dimension])
            columns[dimension] = pd.Categorical.from_codes(codes[rows], categories=categories)
        else:
            columns[dimension] = values[rows]
    for column, kind in COLUMNS[name].items():
        pieces = [part[column] for part in parts]
        columns[column] = _texts(pieces) if kind == "category" else np.concatenate(pieces)
    return pd.DataFrame(columns)


def _texts(pieces: list[pd.Series]) -> pd.Categorical:
    """One categorical column of several; pandas takes texts such as "404" for numbers."""
    named = [piece.cat.rename_categories([str(text) for text in piece.cat.categories]) for piece in pieces]
    filled = [piece for piece in named if len(piece)]
    return union_categoricals(filled) if filled else pd.Categorical([])


def _csv(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read one CSV file, strictly: every column there, every value of its type."""
    try:
        frame = pd.read_csv(path, dtype=columns, keep_default_na=False, na_values=[""])
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


def _cut(frame: pd.DataFrame, cells: pd.DataFrame, time: str) -> pd.DataFrame:
    """Keep the rows inside the measured window of their cell: start <= time < end."""
    start = cells["window_start"].reindex(frame["cell"]).to_numpy()
    end = cells["window_end"].reindex(frame["cell"]).to_numpy()
    inside = (frame[time].to_numpy() >= start) & (frame[time].to_numpy() < end)
    return frame[inside].reset_index(drop=True)


def _nothing_finished(directory: Path, run: schema.Run, cells: list[schema.Cell]) -> str:
    """Why there is nothing to analyse, and what to do."""
    if not cells:
        return f"{directory} has no finished cell yet ({run.status}): resume the run first"
    return f"all {len(cells)} cells of {directory} failed; the first: {cells[0].reason}"


def _notes(run: schema.Run, cells: pd.DataFrame) -> list[str]:
    """What the reader must know about the completeness of the run."""
    if run.status == "finished":
        return []
    return [
        f"This run is not complete ({run.status}): {len(cells)} of {run.cells_planned} cells are here. "
        "Resume it for the rest."
    ]
