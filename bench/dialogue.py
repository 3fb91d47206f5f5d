"""A child process that is talked to in JSON lines: commands to its standard input, events from its output."""

import contextlib
import json
import queue
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

from bench.launch import last_lines
from bench.processes import terminate, wait_or_kill

Event = dict[str, Any]
NOISE = "noise"
"""The event of a line that is none; ``line`` is what it was."""

# A child whose input has ended ends of its own accord (a container is also removed then), else when it is
# told to, else it is killed.
_END_S = 3.0
_TERMINATE_S = 1.0


class EndedError(Exception):
    """The child will say nothing more; the text is the end of its log, which begins with a line break."""


class Dialogue:
    """A child that was just started; it is to be ended by ``end``."""

    def __init__(
        self,
        start: Callable[..., subprocess.Popen[bytes]],
        command: Sequence[str],
        cpus: Sequence[int],
        log: Path,
    ) -> None:
        """``start`` is ``processes.spawn`` or ``Launcher.suite``; ``log`` takes what is said on stderr."""
        self._log = log
        with log.open("ab") as stream:
            self._process = start(command, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._events), daemon=True)
        reader.start()

    @property
    def running(self) -> bool:
        """Whether the child has not ended."""
        return self._process.poll() is None

    def send(self, command: str, **fields: Any) -> None:
        """Say something; of a child that is gone tells ``next``."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"command": command, **fields}).encode() + b"\n")
            self._process.stdin.flush()

    def next(self, timeout_s: float) -> Event | None:
        """The next event, or ``None`` if there is none in time.

        Raises:
            EndedError: none will come any more.
        """
        try:
            event = self._events.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
        if event is None:
            self._events.put(None)  # it stays so
            raise EndedError(last_lines(self._log))
        return event

    def end(self) -> None:
        """End the child, if it has not ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            terminate(self._process)
        wait_or_kill(self._process, _TERMINATE_S)


def _read(stream: IO[bytes], events: "queue.SimpleQueue[Event | None]") -> None:
    """Pass on the events; ``None`` says that there will be no more."""
    for line in stream:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        is_event = isinstance(event, dict) and "event" in event
        events.put(event if is_event else {"event": NOISE, "line": line})
    stream.close()
    events.put(None)
