"""results/<run>/ as tidy frames. Reads files only; knows nothing of how they were measured."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.reading import frames
from analysis.reading.damage import Damage, DamagedError, below, recorded
from analysis.words import UNKNOWN, counted
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records import schema
from bench.model.records.cell import Cell, ClosedLoad, OpenLoad
from bench.model.records.columns import FILES, CsvFile
from bench.model.records.run import Run
from targets.inside.own_app import SUITES_APP, named

RESULTS_ROOT = ROOT / "results"
# What cells say, by their folders below the run's.
_Found = Mapping[Path, Cell]
# Columns of `Results.cells` that may be missing in every cell.
_NUMBERS = [
    "rate_per_s", "search_p99_ms", "search_attempt", "max_requests", "max_requests_jitter",
    "max_rss_mib", "probe_time", "probe_pid", "server_ended", "server_exit_status", "rounds",
    "idle_cpu_s", "idle_s", "proxy_cpu_s",
]  # fmt: skip


@dataclass(frozen=True)
class Results:
    """A run. Every frame but `cells` has the `frames.DIMENSIONS` of its cell beside its file's columns;
    `trace` and `handled` have `cell` alone, for their length.

    `cells` has one row per cell (index: its number), failed ones with their `reason`. `workers` is "unknown",
    and what the server is and used is missing, where it was an external one. `load_kind` is
    "closed" or "open"; `arrivals` ("constant", "poisson") and `rate_per_s` are missing in closed loops,
    `search_p99_ms` and `search_attempt` in cells that are no step of a search. `rotated` says that a cell was
    measured in a rotation of so many `rounds`: it has rows in `slices`, its `repeat` is the sitting, and
    `idle_cpu_s` is what its server used in `idle_s` seconds while the others were loaded. `treatment` is
    "none" or, in cells of recycling, "recycled", "control", "kill", "terminate", "deploy" or "swap";
    `max_requests`, `max_requests_jitter` and `max_rss_mib` are when it was to replace workers,
    `probe_time` and `probe_pid` the signal of a probe, `probe_renewed` the workers with the new release
    and `deploys_by` the way in which the server was told of it, `server_ended` (Unix s) and
    `server_exit_status` the end of a server that ended
    before its cell; all missing elsewhere. `proxied` says that clients went through a proxy, which used
    `proxy_cpu_s` from `started` to `ended`.

    `latencies` and `failures` are cut to the measured windows; the sampled frames are not, because what
    happened in a window is interpolated between samples on either side of its edges. `seconds` counts
    `requests` and `failures` by the second of their completion from the warm-up on, whole seconds only,
    `in_window` or before it; not of rotated cells, which share their seconds. `trace` (trace.csv) and
    `handled` (requests.csv) have rows in cells of recycling only, cell after cell, warm-up included.
    `exceptions` is what users' own code raised. `apart` says that the servers were on another machine, whose
    CPUs `server_host` has; `host` has the generator's.
    Only finished cells have rows outside `cells`. `damage` says which cells are left out, because a file of
    theirs is not what was measured. Of a run behind a proxy, `direct` has the cells whose clients went past
    it; None where none of these finished.
    """

    directory: Path
    run: Run
    cells: pd.DataFrame
    latencies: pd.DataFrame
    failures: pd.DataFrame
    seconds: pd.DataFrame
    generator: pd.DataFrame
    processes: pd.DataFrame
    workers: pd.DataFrame
    host: pd.DataFrame
    server_host: pd.DataFrame
    trace: pd.DataFrame
    handled: pd.DataFrame
    slices: pd.DataFrame
    exceptions: pd.DataFrame
    notes: tuple[str, ...]
    damage: Damage
    direct: "Results | None" = None

    @property
    def configurations(self) -> list[str]:
        """Every configuration of the catalogue, measured or not, in its declared order."""
        return [configuration.name for configuration in self.run.configurations]

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The cells that have measurements; do not change it."""
        return self.cells[self.cells["status"] == "finished"]


class NothingFinished(UserError):
    """All cells of a run failed: there is nothing to analyse, only to explain.

    `directory`, `run`, `cells` and `damage` are as in `Results`, `finding` says so in a sentence.
    """

    def __init__(self, directory: Path, run: Run, cells: pd.DataFrame, damage: Damage) -> None:
        super().__init__(
            f"all {len(cells)} cells of {directory} failed; the first: {cells['reason'].iloc[0]}"
        )
        self.directory = directory
        self.run = run
        self.cells = cells
        self.damage = damage
        self.finding = f"Nothing could be measured: {counted(len(cells), 'cell')} tried, none finished."
        self.notes = tuple(_notes(run, cells))


def latest(root: Path = RESULTS_ROOT) -> Path:
    """Return the run under `root` that started last.

    Raises:
        UserError: there is none.
    """
    runs = [(schema.read(path, Run).started, path.parent) for path in root.glob("*/run.json")]
    if not runs:
        raise UserError(f"no results in {root}: run `make bench` first")
    return max(runs)[1]


def finished(root: Path, pattern: str = "*") -> Iterator[tuple[Path, Run]]:
    """The finished runs in the folders under `root` that match, but soaks, which have no cells.

    Left out are also those that cannot be read: of another version of the suite, or not whole.
    """
    for path in root.glob(f"{pattern}/run.json"):
        try:
            run = schema.read(path, Run)
        except UserError:
            continue
        if run.status == "finished" and not run.plan.get("soak"):
            yield path.parent, run


def load(directory: Path) -> Results:
    """Read a run; its cost grows with the number of cells and histogram rows, not with the requests.

    Cells with a damaged file are left out, and noted in its `damage`. Of a run behind a proxy these are the
    cells whose clients went through it.

    Raises:
        UserError: no run there, no whole cell in it, another schema, or a run.json that is damaged; the text
            names the file.
        NothingFinished: all of its cells failed.
    """
    run = _run(directory)
    if run.plan.get("soak"):
        shows = f"make report RUN={directory.name}"
        raise UserError(f"{directory} is a soak, which has no cells: {shows} shows it")
    through, past, damage = _sound(directory, run)
    if through is None and damage.cells:
        first = next(iter(damage.cells.values()))
        raise UserError(f"{directory} has no whole cell: {first}; resume the run, which measures them again")
    if through is None:
        raise UserError(f"{directory} has no finished cell yet ({run.status}): resume the run first")
    if through.finished.empty:
        raise NothingFinished(directory, run, through.cells, damage)
    direct = None if past is None or past.finished.empty else _results(directory, run, past, damage)
    return replace(_results(directory, run, through, damage), direct=direct)


def damage(directory: Path) -> Damage:
    """The cells of a run that an analysis leaves out; reads all of it, and raises as `load`."""
    return _sound(directory, _run(directory))[2]


def _run(directory: Path) -> Run:
    if not (directory / "run.json").is_file():
        raise UserError(f"no results in {directory}: run `make bench` first")
    return schema.read(directory / "run.json", Run)


@dataclass(frozen=True)
class _Read:
    """Cells, and the frames of their files by name."""

    cells: pd.DataFrame
    files: Mapping[str, pd.DataFrame]
    exceptions: pd.DataFrame

    @property
    def finished(self) -> pd.DataFrame:
        """The cells that have measurements."""
        return self.cells[self.cells["status"] == "finished"]


def _sound(directory: Path, run: Run) -> tuple[_Read | None, _Read | None, Damage]:
    """The sound cells whose clients went as those of the run did, those that went past its proxy, the rest.

    A cell that turns out to be damaged takes others with it, so all is read again without these.
    """
    found, damaged = recorded(directory, run)
    while True:
        damage = Damage.of(damaged, found)
        lost = set(damage.places)
        sound = {place: cell for place, cell in found.items() if place not in lost}
        # From the web UI one load may go through a proxy, and the next one past it: it has no way of its own.
        past = {place: cell for place, cell in sound.items() if run.behind and cell.proxy is None}
        through = {place: cell for place, cell in sound.items() if place not in past}
        try:
            return _files(directory, run, through), _files(directory, run, past), damage
        except DamagedError as error:
            for path, why in error.files.items():
                damaged.setdefault(path.parent.relative_to(directory), below(directory, why))


def _files(directory: Path, run: Run, found: _Found) -> _Read | None:
    """The files of some cells of a run; None of no cells.

    Raises:
        DamagedError: all files that are damaged, as far as one reading can tell.
    """
    if not found:
        return None
    cells = pd.DataFrame([_row(place, cell) for place, cell in found.items()])
    cells = cells.rename_axis("cell").assign(apart=run.server_host is not None)
    cells = cells.astype({"arrivals": "str"} | dict.fromkeys(_NUMBERS, float))
    read: dict[str, pd.DataFrame] = {}
    damaged: dict[Path, str] = {}
    for name, file in FILES.items():
        try:
            read[name] = frames.read(directory, cells[_has(cells, file)], name)
        except DamagedError as error:
            damaged |= error.files
    try:
        exceptions = frames.read_exceptions(directory, cells[cells["status"] == "finished"])
    except DamagedError as error:
        damaged |= error.files
    if damaged:
        raise DamagedError(damaged)
    return _Read(cells, read, exceptions)


def _results(directory: Path, run: Run, found: _Read, damage: Damage) -> Results:
    cells, read, finished = found.cells, found.files, found.finished
    return Results(
        directory=directory,
        run=run,
        cells=cells,
        latencies=frames.cut(read["latency"], finished, "second"),
        failures=frames.cut(read["failures"], finished, "time"),
        seconds=_seconds(read["latency"], read["failures"], finished[~finished["rotated"]]),
        generator=read["generator"],
        processes=read["processes"],
        workers=read["workers"],
        host=read["host"],
        server_host=read["server_host"],
        trace=read["trace"],
        handled=read["requests"],
        slices=read["slices"],
        exceptions=found.exceptions,
        notes=tuple(_notes(run, cells)),
        damage=damage,
    )


def _has(cells: pd.DataFrame, file: CsvFile) -> pd.Series:
    """Which cells have a file of this kind."""
    has = cells["status"] == "finished"
    if file.of_server:
        has &= cells["server_cpus"].notna()
    if file.of_recycling:
        has &= cells["treatment"] != "none"
    if file.of_rotation:
        has &= cells["rotated"]
    if file.apart:
        has &= cells["apart"]
    return has


def _row(path: Path, cell: Cell) -> dict[str, object]:
    """One row of `Results.cells`; what a failed cell does not have is missing."""
    window, server, generator = cell.window, cell.server, cell.generator
    measured = cell.measured
    whoami = (server and server.whoami) or {}
    command = server.command if server else None
    return {
        "configuration": cell.configuration,
        "scenario": cell.scenario,
        "workers": UNKNOWN if cell.workers is None else cell.workers,
        **_load(cell.load),
        "search_p99_ms": cell.search.p99_ms if cell.search else None,
        "search_attempt": cell.search.attempt if cell.search else None,
        "repeat": cell.repeat,
        "treatment": cell.treatment,
        "rotated": cell.rotation is not None,
        "rounds": cell.rotation.rounds if cell.rotation else None,
        "idle_cpu_s": measured.idle_cpu_s if measured else None,
        "idle_s": measured.idle_s if measured else None,
        **_recycling(cell),
        "proxied": cell.proxy is not None,
        "proxy_cpu_s": cell.proxy.cpu_s if cell.proxy else None,
        "block": cell.block,
        "status": cell.status,
        "reason": cell.reason,
        "started": cell.started,
        "ended": cell.ended,
        "window_start": window.start if window else None,
        "window_end": window.end if window else None,
        "server_started": server.started if server else None,
        "server_cpus": server.cpus if server else None,
        "command": shlex.join(named(command, server.app or SUITES_APP)) if server and command else None,
        "app": server.app if server else None,
        "environment": server.environment if server else None,
        "loop": whoami.get("loop"),
        "parser": whoami.get("parser"),
        "generator_cpus": generator.cpus if generator else None,
        "generator_processes": generator.processes if generator else None,
        "generator_usable": generator.usable if generator else None,
        "retransmitted": cell.retransmitted,
        "speeds": cell.speeds,
        "engine": generator.engine if generator else None,
        "path": str(path),
        "files": cell.files,
    }


def _recycling(cell: Cell) -> dict[str, object]:
    """When a cell of recycling replaced workers, and what was done to its server."""
    recycling, probe, ended = cell.recycling, cell.probe, cell.server_ended
    return {
        "max_requests": recycling.max_requests if recycling else None,
        "max_requests_jitter": recycling.max_requests_jitter if recycling else None,
        "max_rss_mib": recycling.max_rss_mib if recycling else None,
        "probe_time": probe.time if probe else None,
        "probe_pid": probe.pid if probe else None,
        "probe_renewed": probe.renewed if probe else None,
        "deploys_by": cell.server.deploys_by if cell.server else None,
        "server_ended": ended.time if ended else None,
        "server_exit_status": ended.exit_status if ended else None,
    }


def _load(load: ClosedLoad | OpenLoad) -> dict[str, object]:
    """The dimensions of a load."""
    if isinstance(load, ClosedLoad):
        return {"load_kind": "closed", "arrivals": None, "rate_per_s": None, "users": load.users}
    return {
        "load_kind": "open",
        "arrivals": load.arrivals,
        "rate_per_s": load.rate_per_s,
        "users": load.users,
    }


def _seconds(latency: pd.DataFrame, failures: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """`Results.seconds` of the uncut files.

    The second in which the first request ended was not a whole one, unless the window begins with it.
    """
    service = latency[(latency["kind"] == "service") & latency["cell"].isin(cells.index)]
    failures = failures[failures["cell"].isin(cells.index)]
    requests = service.groupby(["cell", "second"])["count"].sum()
    failed = failures.assign(second=np.floor(failures["time"]).astype(int))
    counts = pd.DataFrame(
        {"requests": requests, "failures": failed.groupby(["cell", "second"])["count"].sum()}
    )
    whole_from = counts.reset_index("second").groupby("cell")["second"].min() + 1
    start, end = cells["window_start"].astype(int), cells["window_end"].astype(int)
    first = whole_from.reindex(cells.index).fillna(start).clip(upper=start).astype(int)
    rows = [(cell, second) for cell in cells.index for second in range(first[cell], end[cell])]
    whole = pd.MultiIndex.from_tuples(rows, names=["cell", "second"])
    seconds = counts.reindex(whole).fillna(0).astype(int).reset_index()
    seconds["in_window"] = seconds["second"] >= start.reindex(seconds["cell"]).to_numpy()
    dimensions = cells[frames.DIMENSIONS[1:]]
    return seconds.join(dimensions, on="cell")[
        [*frames.DIMENSIONS, "second", "requests", "failures", "in_window"]
    ]


def _notes(run: Run, cells: pd.DataFrame) -> list[str]:
    """What the reader must know about the completeness of the run."""
    if run.status == "finished":
        return []
    return [
        f"This run is not complete ({run.status}): {len(cells)} of {run.cells_planned} cells are here. "
        "Resume it for the rest."
    ]
