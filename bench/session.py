"""The client of ``swarm.session``: one load generator for a whole run, started again if it dies."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.dialogue import NOISE, Dialogue, EndedError, Event
from bench.launch import last_lines
from bench.processes import spawn

# Beyond warm-up, window and stop time-out a cell may take this long: spawning users, writing its files.
_CELL_SLACK_S = 30.0
_READY_TIMEOUT_S = 60.0
# Time for a generator to end a cell it was told to abort.
_ABORT_S = 3.0


class CellError(Exception):
    """A cell could not be measured; the text is the reason for people."""


@dataclass(frozen=True)
class Load:
    """What the generator is asked to do in one cell; times in seconds.

    ``arrivals`` makes it an open loop: ``{"kind": "poisson", "rate_per_s": 3000.0, "seed": 1}``; ``trace``
    has it write down each request.
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


def arguments(scenarios: Sequence[str], processes: int, home: Sequence[str] = ()) -> list[str]:
    """The arguments of Python for a generator of so many processes for these scenarios.

    ``home`` are those that say where its users are at home.
    """
    words = ["-m", "swarm.session", "--processes", str(processes), *home]
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
    ) -> None:
        """``log`` takes what it says on stderr.

        ``start`` starts ``command`` as ``processes.spawn`` does; for ``Launcher.suite`` it is what
        ``arguments`` gives.
        """
        self._spawn = start
        self._command = command
        self._cpus = cpus
        self._log = log
        self._slack_s = slack_s
        self._dialogue: Dialogue | None = None
        self._ready: Event | None = None

    def __enter__(self) -> Self:
        """Start the generator without waiting for it: the first server can start meanwhile."""
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, load: Load, watch: Callable[[], str | None], on_progress: Callable[[Event], None]) -> Event:
        """Run one cell and return its ``finished`` event.

        ``watch`` is asked several times a second why the cell must end (the server is gone), ``None`` to
        go on; ``on_progress`` gets the ``progress`` events.

        Raises:
            CellError: the cell failed, the generator died or hung, or ``watch`` gave a reason.
        """
        self._await_ready(watch)
        self._send("cell", **vars(load) | {"directory": str(load.directory.resolve())})
        deadline = time.monotonic() + load.warmup_s + load.measured_s + load.stop_timeout_s + self._slack_s
        while time.monotonic() < deadline:
            reason = watch()
            if reason is not None:
                self._abort()
                raise CellError(reason)
            event = self._next(0.1)
            if event is None:
                continue
            if event["event"] == "progress":
                on_progress(event)
            elif event["event"] == "failed":
                # The generator may notice a dying server before we do: the better reason wins.
                raise CellError(watch() or event["reason"])
            elif event["event"] == "finished":
                return event
        self._end()
        raise CellError("the load generator did not end the cell in time and was restarted")

    def enough(self) -> None:
        """End the window of the current cell early, at a whole second; it is finished as ever.

        To be called by ``watch`` or ``on_progress``, once the window has begun.
        """
        self._send("enough")

    def describe(self, scenario: str) -> dict[str, Any]:
        """The ``generator`` object of a cell that was run just now."""
        assert self._ready is not None
        return {
            "cpus": list(self._cpus),
            "processes": self._ready["processes"],
            "engine": self._ready["engines"][scenario],
        }

    def _start(self) -> None:
        self._end()
        self._ready = None
        self._dialogue = Dialogue(self._spawn, self._command, self._cpus, self._log)

    def _await_ready(self, watch: Callable[[], str | None]) -> None:
        if self._dialogue is None or not self._dialogue.running:
            self._start()
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while self._ready is None:
            reason = watch()
            if reason is not None:
                raise CellError(reason)
            event = self._next(0.1)
            if event is not None and event["event"] == "ready":
                self._ready = event
            elif time.monotonic() > deadline:
                self._end()
                raise CellError("the load generator did not become ready" + last_lines(self._log))

    def _next(self, timeout_s: float) -> Event | None:
        """The next event, or ``None`` if there is none in time."""
        assert self._dialogue is not None
        try:
            event = self._dialogue.next(timeout_s)
        except EndedError as last_words:
            self._end()
            raise CellError(f"the load generator died{last_words}") from last_words
        if event is not None and event["event"] == NOISE:
            return {"event": "failed", "reason": f"the load generator wrote no event but {event['line']!r}"}
        return event

    def _send(self, command: str, **fields: Any) -> None:
        assert self._dialogue is not None
        self._dialogue.send(command, **fields)

    def _abort(self) -> None:
        """End the current cell; a generator that does not is ended and started again for the next."""
        self._send("abort")
        deadline = time.monotonic() + _ABORT_S
        with contextlib.suppress(CellError):
            while time.monotonic() < deadline:
                event = self._next(0.1)
                if event is not None and event["event"] in ("failed", "finished"):
                    return
        self._end()

    def _end(self) -> None:
        dialogue, self._dialogue = self._dialogue, None
        if dialogue is not None:
            dialogue.end()
