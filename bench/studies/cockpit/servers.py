"""What the loads of the web UI go to: servers that are started, metered and recorded, or a given URL."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from bench.experiment.ceiling import Ceiling
from bench.experiment.record import CellRecord
from bench.experiment.rig import Rig
from bench.launch.databases.database import URL, Database
from bench.launch.launcher import NO_DATABASE, Launcher
from bench.launch.proxy import Proxy
from bench.launch.server import Options, Server, ServerError
from bench.model import files
from bench.model.cells import Cell
from bench.model.errors import UserError
from bench.studies.cockpit.metering import Meter
from bench.studies.cockpit.records import Records, Start
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import Recycling

Message = tuple[str, dict[str, Any]]
"""A command to the web UI, and its fields."""


class DatabaseOnDemand:
    """Has servers of one launcher know of a database if their load needs it, and else of none."""

    def __init__(self, launcher: Launcher, database: Database | None, needing: Collection[str]) -> None:
        """``needing`` are the scenarios that need it; without a ``database`` they are not offered."""
        self._variables = launcher.variables
        self._database = database
        self._needing = frozenset(needing)
        self._open = contextlib.ExitStack()
        self._url: str | None = None

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def needed_by(self, scenarios: Collection[str]) -> Database | None:
        """The database that a load of these scenarios needs, if it does."""
        return self._database if self._needing.intersection(scenarios) else None

    def set_up(self, scenarios: Collection[str], stack: str) -> dict[str, Any] | None:
        """Prepare for a server of a stack that is started next, for a load of these scenarios.

        Returns the ``database`` of ``run.json`` if the load needs one.

        Raises:
            UserError: it does not start, or does not make its tables.
        """
        database = self.needed_by(scenarios)
        self._variables.update(NO_DATABASE)
        if database is None:
            return None
        if self._url is not None and database.failure() is not None:
            self._open.close()
            self._url = None
        if self._url is None:
            self._open.enter_context(database)
            self._url = self._variables[URL]
        else:
            self._variables[URL] = self._url
            database.make_tables(stack)
        return database.facts


class Backend(Protocol):
    """What the loads of the web UI go to, one at a time."""

    @property
    def busy(self) -> bool:
        """Whether a load was begun and has not been finished."""

    def start(self, start: Start) -> dict[str, Any]:
        """Get the server ready; returns the fields of ``served``. Raises ``Refused``."""

    def lines(self) -> Iterator[Message]:
        """What happened since the last call."""

    def finish(self, event: Mapping[str, Any]) -> Message | None:
        """The load has ended: record it, and take down what was started."""


class Refused(Exception):
    """There can be no such load; the text is for people."""


@dataclass
class _Running:
    start: Start
    cell: Cell
    record: CellRecord
    server: Server
    meter: Meter
    has_ended: bool = False  # that the server, or the database, has ended by itself


class StartedServers:
    """Starts, meters and records a server for each load."""

    def __init__(
        self,
        rig: Rig,
        configurations: Mapping[str, Configuration],
        records: Records,
        database: DatabaseOnDemand,
        ceilings: Callable[[str], list[Ceiling]],
        proxies: Mapping[str, Proxy],
    ) -> None:
        """``rig`` has been entered; ``ceilings`` gives those that are kept of a scenario.

        ``proxies`` are those that can be put before a server, by their kind.
        """
        self._launcher = rig.launcher
        self._configurations = configurations
        self._split = rig.split
        self._records = records
        self._database = database
        self._ceilings = ceilings
        self._proxies = proxies
        self._scratch = rig.scratch
        self._running: _Running | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def start(self, start: Start) -> dict[str, Any]:
        """See ``Backend``. A server that does not start is recorded as a failed cell."""
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
        if server.front is not None:
            self._records.note_proxy(server.front.proxy.facts)
        meter = Meter(server.directory, start.workers, time.time())
        self._running = _Running(start, cell, record, server, meter)
        kept = self._ceilings(start.scenario)
        self._records.note_ceilings(kept)
        shown = {"users", "requests_per_s", "at_least"}
        return {
            "url": server.url,
            "directory": self._launcher.inside(record.folder.resolve()),
            "ceilings": [ceiling.model_dump(include=shown) for ceiling in kept],
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
            Options(recycling=Recycling(max_requests=start.max_requests), proxy=self._proxy(start)),
        )

    def _proxy(self, start: Start) -> Proxy | None:
        return None if start.proxy is None else self._proxies[start.proxy]

    def lines(self) -> Iterator[Message]:
        """See ``Backend``: the figures of each second that is over, and the end of the server."""
        running = self._running
        if running is None:
            return
        for second in running.meter.seconds():
            yield "server", second
        failure = running.server.failure() or self._database_failure(running.start)
        if failure is not None and not running.has_ended:
            running.has_ended = True
            yield "ended", {"reason": failure}

    def _database_failure(self, start: Start) -> str | None:
        database = self._database.needed_by(start.scenarios)
        return None if database is None else database.failure()

    def finish(self, event: Mapping[str, Any]) -> Message | None:
        running, self._running = self._running, None
        if running is None:
            return None
        running.record.generator = self._generator(event)
        try:
            place, failure = self._records.finish(running.start, running.cell, running.record, event)
        except OSError as error:
            reason = files.no_space(self._records.path) if files.is_full(error) else error
            return _notice("error", f"this load could not be recorded: {reason}")
        finally:
            self._take_down(running.server)
        if failure is not None:
            return _notice("error", f"recorded as failed in {place}: {failure}")
        return _notice("note", f"recorded in {place}: {event['requests']:,} requests measured")

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


class RunningServer:
    """A server that runs already: it is neither started, metered nor recorded."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self.busy = False

    def start(self, start: Start) -> dict[str, Any]:
        assert start.host is not None
        self.busy = True
        folder = tempfile.mkdtemp(dir=self._scratch)
        return {"url": start.host, "directory": folder, "ceilings": []}

    def lines(self) -> Iterator[Message]:
        return iter(())

    def finish(self, event: Mapping[str, Any]) -> Message | None:
        self.busy = False
        if event["reason"] is not None and event["window"] is None:
            return _notice("note", str(event["reason"]))
        return None


def _notice(kind: str, text: str) -> Message:
    return "recorded", {"kind": kind, "text": text}
