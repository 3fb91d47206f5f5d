"""A ``targets.serve`` on another machine."""

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.launch.remote.link import Link
from bench.launch.remote.mirror import by_clock_here
from bench.launch.remote.ssh import RemoteError
from bench.launch.server import NOT_METERED, Serve, last_lines

# How long what was killed there may take to be gone.
_KILL_S = 20.0


class RemoteServe(Serve):
    """A serve that an agent runs as ``key``; its files come here as they grow, or when they are fetched."""

    def __init__(
        self,
        link: Link,
        key: str,
        place: Path,
        log: Path,
        command: Sequence[str],
        environment: Mapping[str, str],
        cpus: Sequence[int],
        **more: bool,
    ) -> None:
        """Start it; ``place`` and ``log`` are here, the rest is there. ``more`` are fields of ``start``."""
        self._link = link
        self.key = key
        self._log = log
        self._mirror = link.mirror(key, place, log)
        fields = {"command": list(command), "environment": dict(environment), "cpus": list(cpus), **more}
        link.send("start", key=key, **fields)

    def poll(self) -> int | None:
        if not self._mirror.ended.is_set():
            return None
        # Cut off, it was hung up on.
        return -signal.SIGHUP if self._mirror.status is None else self._mirror.status

    def signal(self, number: int) -> None:
        if not self._mirror.ended.is_set():
            self._link.send("signal", key=self.key, number=number)

    def settle(self, timeout_s: float) -> None:
        if not self._mirror.ended.wait(timeout_s):
            self._link.send("end", key=self.key)
            if not self._mirror.ended.wait(_KILL_S):
                raise RemoteError(f"{self._link.host}: a server does not end there, though it was killed")
        self._link.forget(self.key)

    def cause(self) -> str | None:
        if not self._mirror.ended.is_set():
            return None
        if self._mirror.status is None:
            return str(self._link.lost)
        if self._mirror.status == NOT_METERED and (why := last_lines(self._log, 1).strip()):
            return f"{self._link.host}: {why.removeprefix('serve: ')}"
        return None

    def kill(self, pid: int) -> float:
        gone = f"{self._link.host} has no process {pid} of this server any more"
        try:
            moment: float | None = self._link.ask("kill", key=self.key, pid=pid).get("time")
        except RemoteError as error:
            raise ProcessLookupError(gone) from error
        if moment is None:
            raise ProcessLookupError(gone)
        return min(moment - self._link.clock.ahead_s, time.time())

    def host_rows(self, start: float) -> list[str]:
        """None of them where the connection is lost."""
        ahead_s = self._link.clock.ahead_s
        try:
            answer = self._link.ask("host", start=start + ahead_s)
        except RemoteError:
            if self._link.lost is None:
                raise
            return []
        rows = "".join(f"{row}\n" for row in answer["rows"]).encode()
        return by_clock_here(rows, ahead_s).decode().splitlines()

    def carried(self) -> dict[str, float] | None:
        """Nothing is known where the connection is lost."""
        try:
            found: dict[str, float] = self._link.ask("carried")["carried"]
        except RemoteError:
            if self._link.lost is None:
                raise
            return None
        return found

    def fetch(self) -> None:
        """Once it has ended all is here; what a lost connection has cut off is nowhere: ``poll`` says so."""
        if not self._mirror.ended.is_set():
            try:
                self._link.ask("fetch", key=self.key)
            except RemoteError:
                if self._link.lost is None:
                    raise
