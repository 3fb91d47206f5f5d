"""A child process that reads commands from its standard input and writes events to its output, as JSON lines.

The child keeps both to itself. Lines that are no event are dropped.
"""

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bench.launch.server import ended, last_lines
from bench.machine.processes import terminate, wait_or_kill
from bench.model.errors import UserError
from bench.model.files import shown

Event = dict[str, Any]
# A child ends by itself when its input has ended (a container is also removed then); if it does not within
# this time, it is terminated, and then killed.
END_S = 3.0
_TERMINATE_S = 1.0
# Time for locustfiles to say goodbye at the end of a run: more than the generator itself allows them.
GOODBYE_S = 12.0
# The last output of a child is read within this time, even if its own children keep the pipe open.
_DRAIN_S = 1.0
# Beyond the imports of the locustfiles a child may take this long to become ready.
_READY_SLACK_S = 30.0
_POLL_S = 0.1


class EndedError(UserError):
    """The child has ended by itself; the text has the end of its log."""


class NotReadyError(UserError):
    """The child was not ready in time."""


class Dialogue:
    """A child process, from its start until ``end``."""

    def __init__(
        self,
        start: Callable[..., subprocess.Popen[bytes]],
        command: Sequence[str],
        cpus: Sequence[int],
        log: Path,
        name: str = "the load generator",
    ) -> None:
        """``start`` is ``processes.spawn`` or ``Launcher.suite``; ``log`` takes its standard error.

        ``name`` is what people call the child.
        """
        self._log = log
        self._name = name
        with log.open("ab") as stream:
            self._process = start(command, cpus, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._gone_since: float | None = None
        reader = threading.Thread(target=_read, args=(self._process.stdout, self._events), daemon=True)
        reader.start()

    @property
    def running(self) -> bool:
        """Whether the child has not ended."""
        return self._process.poll() is None

    def send(self, command: str, **fields: Any) -> None:
        """Send a command; if the child has ended, ``next`` says so."""
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
            if self.running or not self._is_drained():
                return None
            event = None
        if event is None:
            self._events.put(None)  # it stays so
            raise EndedError(f"{self._name} ended by itself{last_lines(self._log)}")
        return event

    def await_event(
        self,
        is_awaited: Callable[[Event], bool],
        timeout_s: float,
        check: Callable[[], None] = lambda: None,
        hear: Callable[[Event], None] = lambda _: None,
    ) -> Event | None:
        """The next event that ``is_awaited``, ``None`` if there is none in time; ``hear`` gets the others.

        ``check`` is called several times a second; what it raises ends the wait.

        Raises:
            EndedError: as ``next``.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            check()
            event = self.next(_POLL_S)
            if event is not None:
                if is_awaited(event):
                    return event
                hear(event)
            if time.monotonic() > deadline:
                return None

    def await_ready(
        self,
        is_ready: Callable[[Event], bool],
        import_s: float,
        check: Callable[[], None] = lambda: None,
        hear: Callable[[Event], None] = lambda _: None,
        more_s: float = 0.0,
    ) -> Event:
        """The event that says the child is ready; the others are as for ``await_event``.

        ``import_s`` is how long an import of its locustfiles may take, ``more_s`` what it may wait besides.

        Raises:
            EndedError: as ``next``.
            NotReadyError: it was not ready in time.
        """
        # Its worker processes import the locustfiles after it has done so itself.
        timeout_s = 2 * import_s + _READY_SLACK_S + more_s
        event = self.await_event(is_ready, timeout_s, check, hear)
        if event is None:
            raise NotReadyError(
                f"{self._name} was not ready after {timeout_s:g} s: give the import of locustfiles more "
                f"time with --import-timeout (IMPORT_TIMEOUT=){last_lines(self._log)}"
            )
        return event

    def ending(self) -> str:
        """How the child has ended by itself, in parentheses; empty where that is not known."""
        try:
            return f" ({ended(self._process.wait(_DRAIN_S))})"
        except subprocess.TimeoutExpired:
            return ""

    def _is_drained(self) -> bool:
        """Whether the child ended so long ago that its output has been read."""
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        return now - self._gone_since > _DRAIN_S

    def end(self, patience_s: float = END_S) -> list[str]:
        """End the child within so many seconds, if it runs; returns notes on how its locustfiles ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            terminate(self._process)
        wait_or_kill(self._process, _TERMINATE_S)
        notes = []
        with contextlib.suppress(EndedError):
            while (event := self.next(_DRAIN_S)) is not None:
                notes += _of_goodbye(event, self._log)
        return notes


def _of_goodbye(event: Event, log: Path) -> list[str]:
    """The notes on a ``quit`` event; other events have none."""
    if event["event"] != "quit":
        return []
    notes = []
    if event.get("exit_status"):
        status = event["exit_status"]
        notes.append(f"note: a locustfile set the exit status {status} (process_exit_code) in its last load")
    if event.get("raised"):
        notes.append(
            f"note: when it ended, a locustfile raised {'; '.join(event['raised'])}; see {shown(log)}"
        )
    return notes


def _read(stream: IO[bytes], events: "queue.SimpleQueue[Event | None]") -> None:
    """Put the events into the queue; ``None`` means that there are no more."""
    for line in stream:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.put(event)
    stream.close()
    events.put(None)


def ignored_settings(
    settings: Mapping[str, Any], folder: Path, environment: Mapping[str, str] = os.environ
) -> str | None:
    """A note on which of Locust's own settings exist here and are ignored; ``None`` if there are none.

    ``settings`` are those of a ``ready`` event; ``folder`` is where Locust would look for files.
    """
    found = [name for name in settings["variables"] if name in environment]
    files = [folder / Path(name).expanduser() for name in settings["files"]]
    found += [str(path) for path in files if _has_locust_settings(path)]
    if not found:
        return None
    return (
        f"note: {', '.join(found)}: Locust's own settings are ignored here, the plan says what is run "
        "(options that a locustfile adds itself are used)"
    )


def _has_locust_settings(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix != ".toml":
        return True
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # Locust could not read it either
    return "locust" in content.get("tool", {})
