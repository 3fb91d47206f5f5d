"""The web UI as a process of the launcher: JSON lines to it, events from it (docs/contracts.md)."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.dialogue import NOISE, Dialogue, EndedError, Event
from bench.errors import UserError
from bench.launch import Launcher, last_lines

ARGUMENTS = ["-m", "swarm.cockpit"]
_READY_S = 60.0


class Line:
    """A web UI that runs while the context lasts; ``port`` is where it listens, ``None`` by a Unix socket."""

    def __init__(self, launcher: Launcher, cpus: Sequence[int], log: Path, offer: Mapping[str, Any]) -> None:
        """``offer`` is its first line, ``log`` takes what it says on stderr."""
        self._launcher = launcher
        self._cpus = cpus
        self._log = log
        self._offer = offer
        self._dialogue: Dialogue | None = None
        self.port: int | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it listens; raises ``UserError`` where it does not."""
        self._dialogue = Dialogue(self._launcher.suite, ARGUMENTS, self._cpus, self._log)
        try:
            self.send("offer", **self._offer)
            self.port = self._await_ready()
        except BaseException:
            self._dialogue.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._dialogue is not None
        self._dialogue.end()

    def send(self, command: str, **fields: Any) -> None:
        """Say something; a web UI that is gone is told of by ``next``."""
        assert self._dialogue is not None
        self._dialogue.send(command, **fields)

    def next(self, timeout_s: float) -> Event | None:
        """The next event, or ``None`` if there is none in time; raises ``UserError`` when it has ended.

        What is no event (a print) is passed over.
        """
        assert self._dialogue is not None
        try:
            event = self._dialogue.next(timeout_s)
        except EndedError as last_words:
            raise UserError(f"the web UI ended by itself{last_words}") from last_words
        return None if event is None or event["event"] == NOISE else event

    def _await_ready(self) -> int | None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            event = self.next(0.5)
            if event is None:
                continue
            if event["event"] == "failed":
                raise UserError(f"no web UI: {event['reason']}")
            port: int | None = event["port"]
            return port
        raise UserError("the web UI did not become ready" + last_lines(self._log))
