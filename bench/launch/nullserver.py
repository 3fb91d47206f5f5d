"""The null server as a process: it answers what a real server answered, with the least possible work."""

import contextlib
import json
import select
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.launch.launcher import Launcher
from bench.launch.server import ServerError, last_lines
from bench.machine.processes import kill_tree
from bench.model.files import ROOT

PROGRAM = ROOT / "swarm" / "nullserver.py"

_SILENCE_S = 10.0


class NullServerError(Exception):
    """The null server did not start or ended; the text is the reason for people."""


class NullServer:
    """Runs on one CPU; a context manager."""

    def __init__(self, launcher: Launcher, real: str | None, cpu: int, log: Path) -> None:
        """``real`` is the server that it learns its answers from; without one it answers a small text.

        ``log`` takes what it says on stderr.
        """
        self._launcher = launcher
        learn = [] if real is None else ["--learn", real]
        self._arguments = ["--host", launcher.address, *learn]
        self._cpu = cpu
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        """Start it and wait until it listens; raises ``NullServerError`` when it does not."""
        with self._log.open("ab") as log:
            try:
                self._process = self._launcher.start_at_servers(
                    PROGRAM, self._arguments, [self._cpu], stdout=subprocess.PIPE, stderr=log
                )
            except ServerError as error:
                raise NullServerError(str(error)) from error
        try:
            self.url = f"http://{self._launcher.address}:{int(self._line())}"
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process that it runs below."""
        assert self._process is not None
        return self._process.pid

    def cpu_s(self) -> float:
        """CPU seconds it has used so far, to 0.01 s; raises ``NullServerError`` when that cannot be told."""
        assert self._process is not None
        try:
            return self._launcher.cpu_s(self._process)
        except ProcessLookupError as error:
            raise NullServerError(f"the CPU time of the null server is not known: {error}") from error

    def failure(self) -> str | None:
        """Why it is not there any more; ``None`` while it serves."""
        assert self._process is not None
        if self._process.poll() is None:
            return None
        return "the null server ended" + self._last_words()

    def last_asked(self) -> float | None:
        """When it last met a request that it had to put to the real server (Unix time), if ever."""
        asked: float | None = self._report()["last_asked"]
        return asked

    def error(self) -> str | None:
        """Why it last dropped a connection, if it ever did."""
        error: str | None = self._report()["error"]
        return error

    def _report(self) -> dict[str, Any]:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)
        report: dict[str, Any] = json.loads(self._line())
        return report

    def _line(self) -> bytes:
        """The next line it prints; it prints one at a time."""
        assert self._process is not None and self._process.stdout is not None
        stream = self._process.stdout
        if not select.select([stream], [], [], _SILENCE_S)[0]:
            raise NullServerError("the null server does not answer" + self._last_words())
        if line := stream.readline():
            return line
        raise NullServerError("the null server ended" + self._last_words())

    def _last_words(self) -> str:
        """The last line of its log, as the end of a sentence."""
        last = last_lines(self._log, 1).strip()
        return f": {last}" if last else ""

    def _end(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        kill_tree(self._process)
        self._process.stdout.close()
