"""The client of ``swarm.session``: one load generator for a whole run, started again if it dies."""

import contextlib
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.experiment.generator.dialogue import (
    GOODBYE_S,
    Dialogue,
    EndedError,
    Event,
    NotReadyError,
    ignored_settings,
)
from bench.experiment.generator.generators import Generators
from bench.launch.server import last_lines
from bench.machine.clock import Clock
from bench.machine.processes import spawn
from bench.model.errors import UserError
from bench.model.files import ROOT, shown
from bench.model.plans.plan import IMPORT_S

# Beyond warm-up, window and stop time-out a cell may take this long: spawning users, writing its files.
_CELL_SLACK_S = 30.0
# A user takes so long to be started, connected and stopped where a machine is busy: thousands need minutes.
_OF_USER_S = 0.003
# A load that goes round takes at most so many times its windows.
_MOST_AROUND = 8.0
# Time for a generator to end a cell that is aborted.
_ABORT_S = 3.0
_POLL_S = 0.1
# Time for generators of other machines to join; the session itself gives up before.
_JOIN_S = 630.0

# The events that end a cell, and the fields of the one that says that the generator can run cells.
_LAST = ("finished", "failed")
_READY = {"event", "engines", "processes"}


class CellError(Exception):
    """A cell could not be measured; the text says why, for people."""


@dataclass(frozen=True)
class Load:
    """The load of one cell; times in seconds.

    ``arrivals`` makes it an open loop: ``{"kind": "poisson", "rate_per_s": 3000.0, "seed": 1}``; with
    ``trace`` the generator records each request.
    """

    host: str
    scenario: str
    users: int
    warmup_s: float
    measured_s: int
    directory: Path
    stop_timeout_s: float = 2.0
    arrivals: Mapping[str, Any] | None = None
    trace: bool = False


@dataclass(frozen=True)
class Target:
    """A way to a server of a rotation: its name, its URL, where its files go, and the server's processes.

    Several ways may lead to one ``server``.
    """

    name: str
    host: str
    directory: Path
    pids: Sequence[int]
    server: str


@dataclass(frozen=True)
class RotatedLoad:
    """A closed loop that goes round among ``targets``, ``users`` on each; times in seconds.

    Without ``slice_s`` the generator draws it. ``manners`` are how it waits, one round after the other;
    ``cpus`` are those of servers and generator. ``elsewhere``: the servers are on another machine, where
    their CPU clocks are read by the timetable that the generator tells.
    """

    scenario: str
    users: int
    seed: int
    load_s: float
    settle_s: float
    slice_s: float | None
    manners: Sequence[str]
    cpus: Sequence[int]
    targets: Sequence[Target]
    stop_timeout_s: float = 2.0
    elsewhere: bool = False

    @property
    def longest_s(self) -> float:
        """How long it may take at most: a slice has as much around it as in its window, or more."""
        of_target_s = self.settle_s + _MOST_AROUND * self.load_s + _OF_USER_S * self.users
        return len(self.targets) * of_target_s + self.stop_timeout_s

    def fields(self) -> dict[str, Any]:
        """The fields of the command."""
        targets = [vars(each) | {"directory": str(each.directory.resolve())} for each in self.targets]
        return vars(self) | {"targets": targets}


def arguments(
    scenarios: Sequence[str], processes: int, home: Sequence[str] = (), import_s: float = IMPORT_S
) -> list[str]:
    """The arguments of Python for a generator of so many processes for these scenarios.

    ``home`` are those of ``locustfiles.session_arguments``. Each process may take ``import_s`` seconds to
    import the scenarios.
    """
    words = ["-m", "swarm.session", "--processes", str(processes), *home]
    words += ["--import-timeout", f"{import_s:g}"]
    return words + [word for scenario in scenarios for word in ("--scenario", scenario)]


class Session:
    """A generator process that speaks JSON lines, pinned to CPUs."""

    def __init__(
        self,
        command: Sequence[str],
        cpus: Sequence[int],
        log: Path,
        *,
        start: Callable[..., subprocess.Popen[bytes]] = spawn,
        slack_s: float = _CELL_SLACK_S,
        say: Callable[[str], None] = lambda _note: None,
        folder: Path = ROOT,
        import_s: float = IMPORT_S,
        generators: Generators | None = None,
        read_clock: Callable[[], dict[str, Any] | None] | None = None,
    ) -> None:
        """``start`` starts ``command`` as ``processes.spawn`` or ``Launcher.start_program`` does.

        ``log`` takes its standard error; ``say`` gets notes for people. ``folder`` is the working folder of
        its users. Each of its processes may take ``import_s`` seconds to import the scenarios, and a cell
        ``slack_s`` seconds beyond its load. ``generators`` are those of other machines that make its load.
        Where servers are on another machine, ``read_clock`` tells what its clock shows, and what the network
        to it carries is of interest.
        """
        self._spawn = start
        self._command = command
        self._cpus = cpus
        self._log = log
        self._slack_s = slack_s
        self._say = say
        self._folder = folder
        self._import_s = import_s
        self.generators = generators
        self._read_clock = read_clock
        self.clocks: list[dict[str, Any]] = []
        """That of the servers' machine around each load that was finished, as ``run.json`` has it."""
        self._machines: list[dict[str, Any]] | None = None  # of the last load
        self._segments: dict[str, Any] | None = None  # likewise
        self._settings_noted = False
        self._dialogue: Dialogue | None = None
        self._ready: Event | None = None
        self._cell = ""

    def __enter__(self) -> Self:
        """Start the generator without waiting until it is ready: the first server can start meanwhile."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.generators is not None and self._dialogue is not None:
            self._dialogue.send("over")
        # An interrupted run does not wait for long.
        for note in self._end(GOODBYE_S if kind is None else None):
            self._say(note)

    def gather(self) -> None:
        """Wait until the generators of other machines are there, if there are to be any.

        Raises:
            UserError: they do not come.
        """
        if self.generators is not None:
            self._await_ready(lambda: None)

    def await_ready(self) -> None:
        """Wait until it can run cells.

        Raises:
            CellError: it cannot, as ``run`` would say.
        """
        self._await_ready(lambda: None)

    def run(self, load: Load, watch: Callable[[], str | None], on_progress: Callable[[Event], None]) -> Event:
        """Run one cell and return its ``finished`` event.

        ``watch`` is called several times a second and returns why the cell must end (the server has ended),
        or ``None``; ``on_progress`` gets the ``progress`` events.

        Raises:
            CellError: the cell failed, the generator died or hung, ``watch`` gave a reason, or the clock
                was set.
        """
        fields = vars(load) | {"directory": str(load.directory.resolve())}
        seconds = load.warmup_s + load.measured_s + load.stop_timeout_s + _OF_USER_S * load.users
        return self._carry_out("cell", fields, seconds, watch, on_progress)

    def rotate(
        self, load: RotatedLoad, watch: Callable[[], str | None], on_progress: Callable[[Event], None]
    ) -> Event:
        """Have a load go round among servers, and return its ``finished`` event; otherwise as ``run``.

        Where they are ``elsewhere``, ``on_progress`` gets the ``timetable`` as well.
        """
        return self._carry_out("rotate", load.fields(), load.longest_s, watch, on_progress)

    def metered(self, readings: Sequence[Any]) -> None:
        """Tell what was read elsewhere of CPU clocks in the current rotation; for ``watch`` to call."""
        assert self._dialogue is not None
        self._dialogue.send("metered", cell=self._cell, readings=readings)

    def drop(self, target: str, reason: str) -> None:
        """Leave a server out of what is left of the current rotation; for ``watch`` to call."""
        assert self._dialogue is not None
        self._dialogue.send("drop", cell=self._cell, target=target, reason=reason)

    def _carry_out(
        self,
        command: str,
        fields: Mapping[str, Any],
        seconds: float,
        watch: Callable[[], str | None],
        on_progress: Callable[[Event], None],
    ) -> Event:
        """Have a command of so many seconds carried out under a new id; returns and raises as ``run``."""
        self._await_ready(watch)
        self._cell = secrets.token_hex(8)
        before = None if self._read_clock is None else self._read_clock()
        try:
            event = self._run(command, fields, seconds, watch, on_progress)
        except BaseException:
            # The load may still run: it must not disturb the next cell.
            self._end()
            raise
        if event["event"] == "failed":
            why = "" if self.generators is None else self.generators.lose(event.get("lost", ()))
            if event.get("over"):
                self._end()
            where = f"; see {shown(self._log)}" if event.get("see_log") else ""
            # The generator may notice a dying server before we do: the better reason wins.
            raise CellError(watch() or f"{event['reason']}{why}{where}")
        if self.generators is not None:
            self._machines = self.generators.finished(event)
        if self._read_clock is not None:
            self.clocks.append({"window": event["window"], "before": before, "after": self._read_clock()})
        if self._read_clock is not None or self.generators is not None:
            self._segments = event["segments"]
        return event

    def _run(
        self,
        command: str,
        fields: Mapping[str, Any],
        seconds: float,
        watch: Callable[[], str | None],
        on_progress: Callable[[Event], None],
    ) -> Event:
        """Have the generator run the current cell; returns its last event.

        Raises:
            CellError: the generator did not end the cell.
        """
        dialogue = self._dialogue
        assert dialogue is not None
        dialogue.send(command, cell=self._cell, **fields)
        deadline, clock = time.monotonic() + seconds + self._slack_s, Clock()
        while time.monotonic() < deadline:
            reason = watch() or clock.jump()
            if reason is not None:
                self._abort(reason)
                return {"event": "failed", "reason": reason}
            try:
                event = dialogue.next(_POLL_S)
            except EndedError as error:
                raise self._died() from error
            if event is None or not self._is_of_cell(event):
                continue
            if event["event"] in ("progress", "timetable"):
                on_progress(event)
            elif event["event"] in _LAST:
                jump = clock.jump()
                return event if jump is None else {"event": "failed", "reason": jump}
        raise CellError("the load generator did not end the cell in time and was restarted")

    def enough(self) -> None:
        """End the window of the current cell early, at a whole second; the cell is finished as usual.

        For ``watch`` and ``on_progress`` to call once the window has begun.
        """
        assert self._dialogue is not None
        self._dialogue.send("enough")

    def describe(self, scenario: str) -> dict[str, Any]:
        """The ``generator`` object of a cell that was run just now."""
        assert self._ready is not None
        engine = self._ready["engines"][scenario]
        if self._machines is not None:
            processes = sum(len(each["processes"]) for each in self._machines)
            elsewhere = {"machines": self._machines, "segments": self._segments}
            return {"cpus": [], "processes": processes, "engine": engine, **elsewhere}
        here = {"cpus": list(self._cpus), "processes": self._ready["processes"], "engine": engine}
        return here if self._read_clock is None else here | {"segments": self._segments}

    def _start(self) -> None:
        self._end()
        self._ready = None
        command = [*self._command, *(() if self.generators is None else self.generators.words)]
        self._dialogue = Dialogue(self._spawn, command, self._cpus, self._log)

    def _await_ready(self, watch: Callable[[], str | None]) -> None:
        """Wait until the generator can run cells; raises ``CellError``, and ``UserError`` as ``gather``."""
        if self.generators is not None:
            self.generators.check()

        def check() -> None:
            if (reason := watch()) is not None:
                raise CellError(reason)
            if self.generators is not None:
                self.generators.check_started()

        if self._dialogue is None or not self._dialogue.running:
            self._start()
        if self._ready is not None:
            return
        assert self._dialogue is not None
        try:
            self._ready = self._dialogue.await_ready(_is_ready, self._import_s, check, *self._joining)
        except EndedError as error:
            if self.generators is not None:
                raise UserError(f"the generators did not come together{last_lines(self._log)}") from error
            raise self._died() from error
        except NotReadyError as late:
            self._end()
            raise CellError(str(late)) from late
        if self.generators is not None:
            self.generators.ready(self._ready["generators"])
        if not self._settings_noted and "settings" in self._ready:
            self._settings_noted = True
            if (note := ignored_settings(self._ready["settings"], self._folder)) is not None:
                self._say(note)

    @property
    def _joining(self) -> tuple[Callable[[Event], None], float]:
        """Who hears of generators that join, and how long that may take (s)."""
        if self.generators is None:
            return (lambda _event: None), 0.0
        return self.generators.hear, _JOIN_S

    def _is_of_cell(self, event: Event) -> bool:
        """Whether an event belongs to the current cell: it may come late, or be written by a locustfile."""
        return bool(event.get("cell") == self._cell)

    def _died(self) -> CellError:
        how = "" if self._dialogue is None else self._dialogue.ending()
        self._end()
        said = last_lines(self._log) or f"; see {shown(self._log)}"
        return CellError(f"the load generator died{how}{said}")

    def _abort(self, reason: str) -> None:
        """End the current cell; raises ``CellError`` with the reason if the generator does not."""
        assert self._dialogue is not None
        self._dialogue.send("abort")
        with contextlib.suppress(EndedError):
            if self._dialogue.await_event(lambda e: self._is_of_cell(e) and e["event"] in _LAST, _ABORT_S):
                return
        raise CellError(reason)

    def _end(self, patience_s: float | None = None) -> list[str]:
        """End the generator, if there is one; returns notes on how its locustfiles ended."""
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is None:
            return []
        return dialogue.end() if patience_s is None else dialogue.end(patience_s)


def _is_ready(event: Event) -> bool:
    return event["event"] == "ready" and set(event) >= _READY
