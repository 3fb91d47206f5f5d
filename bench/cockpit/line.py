"""The web UI as a process of the launcher: JSON lines to it, events from it (docs/contracts.md)."""

import contextlib
import json
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from bench.errors import UserError
from bench.launch import Launcher, last_lines
from bench.processes import terminate, wait_or_kill

Event = dict[str, Any]

ARGUMENTS = ["-m", "swarm.cockpit"]
_READY_S = 60.0
# It ends by itself when its input ends; then it is told to, then killed.
_END_S, _TERMINATE_S = 3.0, 1.0


class Line:
    """A web UI that runs while the context lasts; ``port`` is where it listens, ``None`` by a Unix socket."""

    def __init__(self, launcher: Launcher, cpus: Sequence[int], log: Path, offer: Mapping[str, Any]) -> None:
        """``offer`` is its first line, ``log`` takes what it says on stderr."""
        self._launcher = launcher
        self._cpus = cpus
        self._log = log
        self._offer = offer
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.port: int | None = None

    def __enter__(self) -> Self:
        """Start it and wait until it listens; raises ``UserError`` where it does not."""
        with self._log.open("ab") as log:
            self._process = self._launcher.suite(
                ARGUMENTS, self._cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        assert self._process.stdout is not None
        threading.Thread(target=_read, args=(self._process.stdout, self._events), daemon=True).start()
        try:
            self.send("offer", **self._offer)
            self.port = self._await_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def send(self, command: str, **fields: Any) -> None:
        """Say something; a web UI that is gone is told of by ``next``."""
        assert self._process is not None and self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"command": command, **fields}).encode() + b"\n")
            self._process.stdin.flush()

    def next(self, timeout_s: float) -> Event | None:
        """The next event, or ``None`` if there is none in time; raises ``UserError`` when it has ended."""
        try:
            event = self._events.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if event is None:
            self._events.put(None)  # it stays so
            raise UserError("the web UI ended by itself" + last_lines(self._log))
        return event

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

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            terminate(process)
        wait_or_kill(process, _TERMINATE_S)


def _read(stream: IO[bytes], events: "queue.SimpleQueue[Event | None]") -> None:
    """Pass on the events; ``None`` says there will be no more. What is no event (a print) is passed over."""
    for line in stream:
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and "event" in event:
                events.put(event)
    stream.close()
    events.put(None)
