"""The record of one cell: its part of the server's growing files, and ``cell.json`` last."""

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.cells import Cell
from bench.files import write_json, write_text
from bench.host import HOST_FIELDS, HostSampler
from bench.launch import Server
from bench.results import SCHEMA
from bench.serve_command import SAMPLE_INTERVAL_S

_TABLES = ("processes.csv", "workers.csv", "requests.csv")
_LOG = "server.log"


class CellRecord:
    """Opened before a cell's load starts, closed with ``finished`` or ``failed``."""

    def __init__(self, folder: Path, cell: Cell, facts: dict[str, Any]) -> None:
        """Empty the cell's folder; ``facts`` are the fields of ``cell.json`` known before."""
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        self.folder = folder
        self._cell = cell
        self._facts = facts
        self._started = time.time()
        self._server: Server | None = None
        self.generator: dict[str, Any] | None = None
        # Of a probe whose signal is never sent, the kind is known all the same.
        self.probe: dict[str, Any] | None = (
            None if cell.probe is None else {"kind": cell.probe.kind, "time": None, "pid": None}
        )
        self.server_ended: dict[str, Any] | None = None
        self._offsets: dict[str, int] = {}

    def serve(self, server: Server) -> None:
        """Note where the server's files end now: the cell's part begins there.

        In plans of recycling the server is the cell's own, and its first workers belong to the cell.
        """
        self._server = server
        for name in (*_TABLES, _LOG):
            path = server.directory / name
            begun = path.exists() and self._cell.recycling is None
            self._offsets[name] = path.stat().st_size if begun else 0

    def becomes(self, cell: Cell, folder: Path, facts: dict[str, Any]) -> None:
        """Have it be the record of another cell: people change a load while it runs.

        ``folder`` must not exist; whatever is in the record's folder moves there.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.rename(folder)
        self.folder, self._cell, self._facts = folder, cell, facts

    def finished(self, window: dict[str, float], measured: dict[str, Any], host: HostSampler) -> None:
        """Write the record of a measured cell; ``window`` and ``measured`` as in ``cell.json``."""
        self._await_samples(window["end"])
        self._write(host, status="finished", reason=None, window=window, measured=measured)

    def failed(self, reason: str, host: HostSampler) -> None:
        """Write the record of a cell that could not be measured."""
        self._write(host, status="failed", reason=reason, window=None, measured=None)

    def _await_samples(self, end: float) -> None:
        """Wait for the sample that closes the window, so that its CPU time is complete.

        A server that has ended has none.
        """
        server = self._server
        assert server is not None
        deadline = time.monotonic() + 5 * SAMPLE_INTERVAL_S
        processes = server.directory / "processes.csv"
        while (
            processes.exists()
            and _last_time(processes) < end
            and time.monotonic() < deadline
            and server.running
        ):
            time.sleep(SAMPLE_INTERVAL_S / 4)

    def _write(self, host: HostSampler, **end: Any) -> None:
        ended = time.time()
        server = self._server
        if server is not None:
            self._slice(server.directory)
        lines = [",".join(HOST_FIELDS), *host.rows(self._started - 1, ended)]
        write_text(self.folder / "host.csv", "\n".join(lines) + "\n")
        cell = self._cell
        search = cell.search and cell.search.model_dump(include={"p99_ms", "resolution"})
        record = {
            "schema": SCHEMA,
            "configuration": cell.configuration,
            "scenario": cell.scenario,
            "load": cell.load.record(),
            "search": search and search | {"attempt": cell.attempt},
            "workers": cell.workers,
            "repeat": cell.repeat,
            "block": cell.block,
            "recycling": None if cell.recycling is None else asdict(cell.recycling),
            "probe": self.probe,
            "server_ended": self.server_ended,
            "started": self._started,
            "ended": ended,
            "generator": self.generator,
            "server": None if server is None else server.facts | {"cpus": server.cpus and list(server.cpus)},
        }
        write_json(self.folder / "cell.json", record | self._facts | end)

    def _slice(self, directory: Path) -> None:
        """Copy what the server's files grew by during the cell, whole lines only."""
        for name in (*_TABLES, _LOG):
            path = directory / name
            if not path.exists():
                continue
            with path.open("rb") as stream:
                header = b"" if name == _LOG else stream.readline()
                stream.seek(max(self._offsets[name], len(header)))
                grown = stream.read()
            whole = grown[: grown.rfind(b"\n") + 1]
            write_text(self.folder / name, (header + whole).decode("utf-8", errors="replace"))


def _last_time(table: Path) -> float:
    """The time in the last whole row of one of serve's tables; minus infinity if there is none."""
    with table.open("rb") as stream:
        stream.seek(max(0, table.stat().st_size - 4096))
        rows = stream.read().split(b"\n")[1:-1]
    return float(rows[-1].split(b",", 1)[0]) if rows else float("-inf")
