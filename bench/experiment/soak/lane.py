"""One configuration of a soak, its workers replaced or not: its files, its server, and its leg."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.experiment.generator.session import Session
from bench.experiment.soak.intervals import Intervals
from bench.experiment.soak.leg import Leg
from bench.experiment.soak.sources import Metered, take_lap
from bench.launch.server import Server
from bench.model.cells import Cell, OpenLoop
from bench.model.files import write_json
from bench.model.records import schema
from bench.model.records.columns import INTERVALS_FILE
from bench.model.records.lane import Lane as LaneRecord
from bench.model.records.schema import SCHEMA

LANE_FILE = "lane.json"
# Before a server that failed is started again, doubled each time that it fails at once, up to the most.
_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 300.0


class Lane:
    """A cell of the plan that lasts as long as the soak; ``failure`` says why it has no leg now."""

    def __init__(self, cell: Cell, folder: Path, interval_s: int, open_files: int | None) -> None:
        """Go on with what ``folder`` has of it, if there is something.

        Raises:
            UserError: that is damaged.
        """
        assert isinstance(cell.load, OpenLoop)  # as plans of soaks have them
        self.cell = cell
        self.folder = folder
        self._path = folder / LANE_FILE
        self._record: dict[str, Any] = {
            "schema": SCHEMA,
            "configuration": cell.configuration,
            "scenario": cell.scenario,
            "load": cell.load.record(),
            "workers": cell.workers,
            "recycling": None if cell.recycling is None else asdict(cell.recycling),
            "interval_s": interval_s,
            "open_files": open_files,
            "legs": [],
        }
        if self._path.exists():
            self._record["legs"] = schema.record(self._path, LaneRecord, folder.parents[3])["legs"]
        self._kept = Intervals(folder / INTERVALS_FILE, interval_s)
        self._metered: Metered | None = None
        self.session: Session | None = None
        self._pause_s = _PAUSE_S
        self.server: Server | None = None
        self.leg: Leg | None = None
        self.failure: str | None = None
        self.due = 0.0
        """When its server is to be started (monotonic clock)."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.cell.configuration}, {self.cell.words}"

    @property
    def legs(self) -> int:
        """How many there have been."""
        return len(self._record["legs"])

    def refused(self, reason: str) -> None:
        """Note that its server could not be started."""
        self._append(None, reason)
        self._wait(reason)

    def begin(self, server: Server) -> None:
        """Note that its server has started; ``load_by`` puts the load on it."""
        self.server, self.failure = server, None
        self._metered = Metered(server.directory)
        self._append(server.facts | {"cpus": server.cpus and list(server.cpus)}, None)

    def load_by(self, leg: Leg) -> None:
        """Start a leg, by its session, which was entered for it."""
        self.leg = leg
        leg.start()

    def take(self, end: float, lap: Path) -> None:
        """Take a lap that ended at a Unix second, and what serve has metered since, into its files."""
        take_lap(lap, end, self._kept, self.legs)
        self._meter()

    def _meter(self) -> None:
        assert self.server is not None and self._metered is not None
        self.server.fetch()
        self._metered.take(self._kept, self.legs)
        self._kept.save()

    def end(self, timeout_s: float) -> Server | None:
        """End the leg within so many seconds, and the generator; returns the server, which may still run."""
        leg, server = self.leg, self.server
        if leg is not None:
            leg.stop()
            leg.join(timeout_s)
        if self.session is not None:
            self.session.__exit__(None, None, None)
        if leg is not None:
            leg.join(timeout_s)  # its generator is gone
            self._close(leg)
        self.leg = self.server = self.session = None
        return server

    def _close(self, leg: Leg) -> None:
        """Write how a leg ended."""
        self._record["legs"][-1] |= {"ended": time.time(), "reason": leg.reason}
        self._write()
        if leg.error is not None:
            raise leg.error
        self._meter()
        if leg.laps:
            self._pause_s = _PAUSE_S
        if leg.reason is not None:
            self._wait(leg.reason)

    def _wait(self, reason: str) -> None:
        """Be due again after a while."""
        self.failure = reason
        self.due = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def _append(self, server: Mapping[str, Any] | None, reason: str | None) -> None:
        now = time.time()
        ended = None if reason is None else now
        self._record["legs"].append({"started": now, "ended": ended, "reason": reason, "server": server})
        self._write()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)  # not before: what never began leaves no folder
        write_json(self._path, self._record)
