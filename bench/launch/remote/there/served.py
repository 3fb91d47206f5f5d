"""A serve that runs on this machine, and what of its files was sent to whom it is for."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen

from targets.serving.deploys import STANDBY

_FACTS = "server.json"
# The last two say that a second copy answers, and that the server is ready: the others are whole up to then.
AT_ONCE = ("ready.csv", "workers.csv", STANDBY, _FACTS)
"""Files of which what is new is sent as they grow."""
OFTEN = (*AT_ONCE, "processes.csv")
"""Those of which it is sent every few seconds, so that hardly any is lost with the connection."""
ALL = (*OFTEN, "requests.csv", "server.log")
"""Files that are sent."""

# With a line for each request a log is long: of what is new in it the end will do, as in a cell's record.
_LOG, _MOST_LOG_BYTES = "server.log", 1 << 20
# Written at once, and without the end of a line.
_WHOLE = (STANDBY, _FACTS)


class Served:
    """A serve that was started; ``key`` is its name to the bench."""

    def __init__(self, key: str, process: Popen[bytes], place: Path, own_log: Path) -> None:
        """``place`` is the folder of its metrics, ``own_log`` is where it writes itself."""
        self.key = key
        self.process = process
        self.place = place
        self.own_log = own_log
        self.ended = False
        self._sent: dict[str, int] = {}

    @property
    def said(self) -> bytes:
        """The end of what it wrote itself."""
        return self.own_log.read_bytes()[-_MOST_LOG_BYTES:]

    def grown(self, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
        """What its files grew by since they were looked at last, by their names: whole lines."""
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if whole := self._grown(name):
                    yield name, whole

    def _grown(self, name: str) -> bytes:
        path, begun = self.place / name, self._sent.get(name, 0)
        if path.stat().st_size <= begun:
            return b""
        with path.open("rb") as stream:
            if name == _LOG:
                begun = max(begun, path.stat().st_size - _MOST_LOG_BYTES)
            stream.seek(begun)
            grown = stream.read()
        # The last line may be half written, but not where the writer has ended.
        whole = grown if name in _WHOLE or self.ended else grown[: grown.rfind(b"\n") + 1]
        self._sent[name] = begun + len(whole)
        return whole
