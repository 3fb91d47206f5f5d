"""The run that a cockpit records: a folder like any other run's, with a cell for each start."""

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from bench.experiment.ceiling import Ceiling
from bench.experiment.ceilings import note
from bench.experiment.generator.session import CellError
from bench.experiment.record import CellRecord, begin
from bench.experiment.results import RunFolder
from bench.launch.server import Server
from bench.machine.host import HostSampler
from bench.model.cells import Cell, ClosedLoop, OpenLoop
from bench.model.plans.loads import Loads, OpenLoads

_ARRIVALS: Final = "constant"


@dataclass(frozen=True)
class Start:
    """What is to be served: the web UI's ``start``. ``host`` is a URL that runs already, or ``None``.

    ``scenario`` is what the cell is called by, ``scenarios`` the names of all that it is a mix of.
    """

    configuration: str | None
    workers: int
    max_requests: int | None
    scenario: str
    scenarios: list[str]
    users: int
    rate_per_s: float | None
    host: str | None
    proxy: str | None = None

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> Self:
        return cls(**{key: value for key, value in event.items() if key not in ("event", "request")})

    @property
    def name(self) -> str:
        """What its cells are recorded as: replaced workers, or a proxy, make it another configuration.

        Cells of plans of recycling are recorded otherwise, with a trace, and take open loops only.
        """
        recycled = "" if self.max_requests is None else f"-n{self.max_requests}"
        behind = "" if self.proxy is None else f"-{self.proxy}"
        return f"{self.configuration}{recycled}{behind}"


class Records:
    """Writes the run; ``path`` is its folder. Nothing of it is there before the first cell ends."""

    def __init__(
        self, folder: RunFolder, described: dict[str, Any], warmup_s: float, sampler: HostSampler
    ) -> None:
        """``described`` is what ``record.describe`` gives; folder and sampler have been entered."""
        self.path = folder.path
        self._folder = folder
        self._record = begin(folder, described, None)
        self._warmup_s = warmup_s
        self._sampler = sampler
        self._began = time.monotonic()
        self._cells: list[Cell] = []
        self._measured_s = 0
        self._load_s = 0.0
        self.blocks = 0

    def open(self, start: Start, server: Server | None, folder: Path) -> tuple[Cell, CellRecord]:
        """Begin the record of a cell in a folder of its own, which must be below the run's."""
        self.blocks += 1
        load = _load(start, start.users)
        cell = Cell(start.name, start.scenario, load, start.workers, 1, self.blocks, proxy=start.proxy)
        record = CellRecord(folder, cell, self._facts(None))
        if server is not None:
            record.serve(server)
        return cell, record

    def finish(
        self, start: Start, cell: Cell, record: CellRecord, event: Mapping[str, Any]
    ) -> tuple[Path, str | None]:
        """End a record by the web UI's ``finished`` event.

        Returns where the cell is, below the run's folder, and why it failed, if it did.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        window = event["window"]
        seconds = None if window is None else int(window["end"] - window["start"])
        users = start.users if event["users"] is None else event["users"]
        cell = self._placed(replace(cell, load=_load(start, users)))
        folder = self._folder.cell(cell)
        try:
            # First: whoever is killed now leaves a run without a cell, and not a cell without its run.
            self._note(start, cell, seconds)
            record.becomes(cell, folder, self._facts(seconds))
            reason = self._write(record, event)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            self._forget(cell)
            raise
        return folder.relative_to(self.path), reason

    def _note(self, start: Start, cell: Cell, seconds: int | None) -> None:
        """Have ``run.json`` know a cell that was measured for so many seconds."""
        self._cells.append(cell)
        if seconds is not None:
            self._measured_s = max(self._measured_s, seconds)
            self._load_s += self._warmup_s + seconds
        self._note_configuration(start)
        self.save()

    def _write(self, record: CellRecord, event: Mapping[str, Any]) -> str | None:
        """Write ``cell.json``; returns why the cell failed, if it did."""
        reason: str | None = event["reason"]
        if event["window"] is not None:
            try:
                record.finished(event, self._sampler)
                return reason
            except CellError as error:
                reason = str(error)
        assert reason is not None
        record.failed(reason, self._sampler)
        return reason

    def _forget(self, cell: Cell) -> None:
        """Have ``run.json`` know nothing of a cell that could not be written, if it can be written itself."""
        self._cells.remove(cell)
        with suppress(OSError):
            self.save()
            if not self._cells:
                (self.path / "run.json").unlink(missing_ok=True)

    def note_ceilings(self, ceilings: Sequence[Ceiling]) -> None:
        """Put kept ceilings into ``run.json``."""
        note(self._record, ceilings)

    def note_proxy(self, facts: dict[str, Any]) -> None:
        """Put the proxy that a load goes through into ``run.json``: of several the last one."""
        self._record["proxy"] = facts

    def note_database(self, facts: dict[str, Any]) -> None:
        """Put the database that a load needs into ``run.json``."""
        self._record["database"] = facts

    def save(self) -> None:
        """Write ``run.json`` if there is a cell. It always says "finished": no plan says what is left."""
        if not self._cells:
            return
        self._record |= {
            "status": "finished",
            "ended": time.time(),
            "cells_planned": len(self._cells),
            "wall_s": round(time.monotonic() - self._began, 3),
            "load_s": round(self._load_s, 3),
            "plan": self._record["plan"] | self._plan(),
        }
        self._folder.write(self._record)

    def _placed(self, cell: Cell) -> Cell:
        """The cell as the first repeat that is not there yet."""
        while self._folder.cell(cell).exists():
            cell = replace(cell, repeat=cell.repeat + 1)
        return cell

    def _facts(self, measured_s: int | None) -> dict[str, Any]:
        return {
            "launcher": self._record["launcher"],
            "warmup_s": self._warmup_s,
            "measured_s": measured_s,
        }

    def _note_configuration(self, start: Start) -> None:
        """What is served otherwise than the catalogue says gets an entry of its own, behind that."""
        entries = self._record["configurations"]
        if start.name in [entry["name"] for entry in entries]:
            return
        (original,) = [entry for entry in entries if entry["name"] == start.configuration]
        recycled = f"its workers replaced after {start.max_requests} requests"
        behind = f"behind {start.proxy}"
        how = [text for text, said in ((recycled, start.max_requests), (behind, start.proxy)) if said]
        summary = f"{start.configuration}, {', '.join(how)}."
        entries.append(original | {"name": start.name, "summary": summary})

    def _plan(self) -> dict[str, Any]:
        """The keys of a plan that would have had these cells."""
        cells = self._cells
        scenarios = list(dict.fromkeys(cell.scenario for cell in cells))
        return {
            "configurations": list(dict.fromkeys(cell.configuration for cell in cells)),
            "scenarios": {name: _loads([c for c in cells if c.scenario == name]) for name in scenarios},
            "workers": sorted({cell.workers for cell in cells}),
            "repeats": max(cell.repeat for cell in cells),
            "measured_s": max(1, self._measured_s),
        }


def _load(start: Start, users: int) -> ClosedLoop | OpenLoop:
    return ClosedLoop(users) if start.rate_per_s is None else OpenLoop(_ARRIVALS, start.rate_per_s, users)


def _loads(cells: list[Cell]) -> dict[str, Any]:
    """The loads of one scenario, as in a plan."""
    closed = sorted({cell.load.users for cell in cells if isinstance(cell.load, ClosedLoop)})
    rates = {(each.load.rate_per_s, each.load.users) for each in cells if isinstance(each.load, OpenLoop)}
    opened = [OpenLoads(rates_per_s=[rate], arrivals=_ARRIVALS, users=users) for rate, users in sorted(rates)]
    return Loads.model_construct(users=closed or None, open=opened).model_dump()
