"""What a start of the web UI is served by: a configuration, started, metered and recorded, or a given URL."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import files
from bench.cells import Cell
from bench.cockpit.metering import Meter
from bench.cockpit.ondemand import OnDemand
from bench.cockpit.records import Records, Start
from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch import Launcher, Server, ServerError
from bench.record import CellRecord
from bench.serve_command import Options
from targets.configurations import Configuration, Recycling

Told = tuple[str, dict[str, Any]]
"""What the web UI is to be told: a command and its fields."""


class Served(Protocol):
    """What the web UI's loads go to, one at a time."""

    @property
    def busy(self) -> bool:
        """Whether a load was begun and has not been finished."""

    def start(self, start: Start) -> dict[str, Any]:
        """Have it there; returns the fields of ``served``. Raises ``Refused``."""

    def lines(self) -> Iterator[Told]:
        """What is to be told since it was last asked."""

    def finish(self, event: Mapping[str, Any]) -> Told | None:
        """The load has ended: record it, and take down what was started."""


class Refused(Exception):
    """It cannot be had; the text is for people."""


@dataclass
class _Running:
    start: Start
    cell: Cell
    record: CellRecord
    server: Server
    meter: Meter
    told: bool = False  # that the server, or the database, has ended by itself


class Configurations:
    """Serves what is chosen, each start a server of its own."""

    def __init__(
        self,
        launcher: Launcher,
        configurations: Mapping[str, Configuration],
        split: CpuSplit,
        records: Records,
        database: OnDemand,
        ceilings: Callable[[str], list[dict[str, Any]]],
        scratch: Path,
    ) -> None:
        """``ceilings`` gives those that are kept of a scenario; ``scratch`` is a folder below the run's."""
        self._launcher = launcher
        self._configurations = configurations
        self._split = split
        self._records = records
        self._database = database
        self._ceilings = ceilings
        self._scratch = scratch
        self._running: _Running | None = None

    @property
    def busy(self) -> bool:
        """See ``Served``."""
        return self._running is not None

    def start(self, start: Start) -> dict[str, Any]:
        """See ``Served``: returns when the server is ready. One that does not start is a failed cell."""
        if self.busy:
            raise Refused("another load is running")
        try:
            files.check_space(self._records.path)
            self._have_database(start)
            server = self._launch(start)
        except ServerError as failure:
            self._record_failure(start, str(failure))
            raise Refused(str(failure)) from failure
        except UserError as failure:
            raise Refused(str(failure)) from failure
        finally:
            self._launcher.settle()
        try:
            cell, record = self._records.open(start, server, self._folder("cell"))
        except OSError:
            self._take_down(server)
            raise
        meter = Meter(server.directory, start.workers, time.time())
        self._running = _Running(start, cell, record, server, meter)
        kept = self._ceilings(start.scenario)
        self._records.note_ceilings(kept)
        shown = ("users", "requests_per_s", "at_least")
        return {
            "url": server.url,
            "directory": self._launcher.inside(record.folder.resolve()),
            "ceilings": [{key: each[key] for key in shown} for each in kept],
        }

    def _configuration(self, start: Start) -> Configuration:
        assert start.configuration is not None
        return self._configurations[start.configuration]

    def _have_database(self, start: Start) -> None:
        facts = self._database.set_up(start.scenarios, self._configuration(start).stack)
        if facts is not None:
            self._records.note_database(facts)

    def _launch(self, start: Start) -> Server:
        return self._launcher.start(
            self._configuration(start),
            start.workers,
            self._folder("serve"),
            self._split.for_workers(start.workers),
            Options(recycling=Recycling(max_requests=start.max_requests)),
        )

    def lines(self) -> Iterator[Told]:
        """See ``Served``: what was metered in each second that is over, and that the server has ended."""
        running = self._running
        if running is None:
            return
        for second in running.meter.seconds():
            yield "server", second
        failure = running.server.failure() or self._database_failure(running.start)
        if failure is not None and not running.told:
            running.told = True
            yield "ended", {"reason": failure}

    def _database_failure(self, start: Start) -> str | None:
        database = self._database.needed_by(start.scenarios)
        return None if database is None else database.failure()

    def finish(self, event: Mapping[str, Any]) -> Told | None:
        """See ``Served``."""
        running, self._running = self._running, None
        if running is None:
            return None
        running.record.generator = self._generator(event)
        try:
            place = self._records.finish(running.start, running.cell, running.record, event)
        except OSError as error:
            reason = files.no_space(self._records.path) if files.is_full(error) else error
            return _told("error", f"this load could not be recorded: {reason}")
        finally:
            self._take_down(running.server)
        if event["reason"] is not None:
            return _told("error", f"recorded as failed in {place}: {event['reason']}")
        return _told("note", f"recorded in {place}: {event['requests']:,} requests measured")

    def _take_down(self, server: Server) -> None:
        self._launcher.stop(server)
        self._launcher.settle()

    def _generator(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        if event["engine"] is None:
            return None
        used = self._split.generator
        return {"cpus": list(used), "processes": len(used), "engine": event["engine"]}

    def _record_failure(self, start: Start, reason: str) -> None:
        """A server that never became ready."""
        cell, record = self._records.open(start, None, self._folder("cell"))
        self._records.finish(start, cell, record, {"window": None, "reason": reason, "users": start.users})

    def _folder(self, kind: str) -> Path:
        return self._scratch / f"{kind}-{self._records.blocks + 1}"


class Target:
    """A URL that is being served by somebody else: nothing is started, metered or recorded."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.busy = False

    def start(self, start: Start) -> dict[str, Any]:
        """See ``Served``."""
        assert start.host is not None
        self.busy = True
        folder = tempfile.mkdtemp(dir=self._scratch)
        return {"url": start.host, "directory": folder, "ceilings": []}

    def lines(self) -> Iterator[Told]:
        """See ``Served``."""
        return iter(())

    def finish(self, event: Mapping[str, Any]) -> Told | None:
        """See ``Served``."""
        self.busy = False
        if event["reason"] is not None and event["window"] is None:
            return _told("note", str(event["reason"]))
        return None


def _told(kind: str, text: str) -> Told:
    return "recorded", {"kind": kind, "text": text}
