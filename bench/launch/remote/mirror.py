"""The files of a server on another machine, as far as they are here."""

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

from bench.launch.remote.clock import Clock

# Their first column is a time.
_TIMED = ("ready.csv", "workers.csv", "processes.csv", "requests.csv")


class Mirror:
    """The files of one server, written by the thread that reads what comes, and how its serve ended.

    Times in them are by the clock here.
    """

    def __init__(self, place: Path, log: Path, clock: Clock) -> None:
        """``place`` is the folder of its metrics here, ``log`` takes what serve itself says."""
        self._place = place
        self._log = log
        self._clock = clock
        self.ended = threading.Event()
        self.status: int | None = None
        """Serve's exit status, when it has ``ended``; ``None`` if the connection was lost before."""

    def grown(self, name: str, data: bytes) -> None:
        """Take what a file grew by; without a name it is what serve itself has said."""
        self._place.mkdir(parents=True, exist_ok=True)
        if not name:
            self._log.write_bytes(data)
        elif name == "server.json":
            self._ready(json.loads(data))
        else:
            rows = by_clock_here(data, self._clock.ahead_s) if name in _TIMED else data
            with (self._place / name).open("ab") as stream:
                stream.write(rows)

    def _ready(self, facts: dict[str, Any]) -> None:
        """Write server.json, whole as serve does: that it is there says that the server is ready."""
        facts["started"] -= self._clock.ahead_s
        temporary = self._place / ".server.json.tmp"
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self._place / "server.json")


def by_clock_here(rows: bytes, ahead_s: float) -> bytes:
    """Lines of a table whose first column is a time by a clock that is so far ahead, or its name."""
    lines = []
    for line in rows.splitlines(keepends=True):
        moment, comma, rest = line.partition(b",")
        with contextlib.suppress(ValueError):  # the head of the table
            moment = b"%.6f" % (float(moment) - ahead_s)
        lines.append(moment + comma + rest)
    return b"".join(lines)
