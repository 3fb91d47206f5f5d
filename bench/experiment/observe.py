"""What bench does while a cell of recycling runs: it counts replacements, sends signals, and ends the cell.

A server that ends is a result here, not a fault.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from bench.experiment.generator.dialogue import Event
from bench.experiment.generator.session import Session
from bench.launch import workers
from bench.launch.launcher import Launcher
from bench.launch.proxy import Proxy
from bench.launch.server import ORDINARY, Options, Server
from bench.model.cells import Block, Cell

# Short, because a death is noticed at the next sample, and some workers live for half a second.
_SAMPLE_INTERVAL_S, _MEMORY_INTERVAL_S = 0.05, 0.25
# How long a server that is told to end under load may take to answer the requests it has.
_GRACE_PERIOD_S = 30.0
_ENDING = ("terminate", "deploy", "swap")
_DEPLOYS = ("deploy", "swap")
# After the proxy was told of the second copy the first one is left to end its requests for this long.
_DRAIN_S = 2.0
# A cell goes on for this long after its server has ended: what clients meet then belongs to it.
_AFTERMATH_S = 5.0


def options(block: Block, proxy: Proxy | None) -> Options:
    """How the server of a block is to be run; ``proxy`` is the run's, for blocks that have one."""
    cell = block.cells[0] if block.cells else None
    proxy = proxy if block.proxy else None
    if cell is None or cell.recycling is None:
        return replace(ORDINARY, proxy=proxy)
    probe = None if cell.probe is None else cell.probe.kind
    return Options(
        proxy=proxy,
        recycling=cell.recycling,
        log_requests=True,
        sample_interval_s=_SAMPLE_INTERVAL_S,
        memory_interval_s=_MEMORY_INTERVAL_S,
        grace_period_s=_GRACE_PERIOD_S if probe in _ENDING else None,
        deploys=probe in _DEPLOYS,
        swapped=probe == "swap",
    )


class Observer:
    """Follows one cell of recycling; `watch` and `on_progress` are for `Session.run`."""

    def __init__(
        self,
        cell: Cell,
        server: Server,
        launcher: Launcher,
        session: Session,
        show: Callable[[Event, str], None],
    ) -> None:
        """``show`` gets the generator's reports, and what happened in the cell so far in words."""
        self._cell = cell
        self._server = server
        self._launcher = launcher
        self._session = session
        self._show = show
        self._window_start: float | None = None
        self._reported: float | None = None  # when the last report of the window came
        self._failed = 0.0
        self._enough = False
        self.replaced = 0  # workers, in the window
        self.probe: dict[str, Any] | None = None  # as in cell.json
        self._switched: float | None = None  # when the proxy was told of a second copy
        self._drained = False
        self.server_ended: dict[str, Any] | None = None  # as in cell.json

    def watch(self) -> str | None:
        """Why the cell must end; ``None`` to go on. Does what a probe is to do when it is time."""
        probe, start = self._cell.probe, self._window_start
        due = None if probe is None or start is None else start + probe.after_s
        if probe is not None and due is not None and self.probe is None and self._server.running:
            self._signal(probe.kind, due)
        if self.probe is not None and self.probe["kind"] == "swap" and not self._drained:
            self._swap()
        return self._note_end()

    def on_progress(self, event: Event) -> None:
        """Count what happened up to a report of the generator, and end the cell when that is enough."""
        self._window_start = event["window_start"]
        if self._window_start is not None:
            self.replaced = self._count(self._window_start)
            since = self._window_start if self._reported is None else self._reported
            self._failed += event["failures_per_s"] * max(0.0, event["time"] - since)
            self._reported = event["time"]
            if not self._enough and self._seen_enough(event):
                self._enough = True
                self._session.enough()
        self._show(event, self._so_far())

    def finish(self, window_start: float) -> str | None:
        """Look a last time when the window is over; returns why the cell failed, if it did."""
        reason = self._note_end()
        self.replaced = self._count(window_start)
        if reason is None and self._cell.probe is not None and self.probe is None:
            return "the probe was never sent: no worker was ready"
        if self.probe is not None and self.probe["kind"] in _DEPLOYS:
            self.probe["renewed"] = workers.renewed(self._server.directory)
        return reason

    def outcome(self) -> str:
        """What happened to the server in the cell, for people."""
        return f"{self.replaced} replaced{', the server ended' if self.server_ended else ''}"

    def _count(self, since: float) -> int:
        assert self._cell.workers is not None  # no server that is observed is external
        return workers.replaced(workers.read(self._server.directory), self._cell.workers, since)

    def _seen_enough(self, event: Event) -> bool:
        if self.server_ended is not None:
            return bool(event["time"] >= self.server_ended["time"] + _AFTERMATH_S)
        goal = self._cell.goal
        return (
            goal is not None
            and self.replaced >= goal.replacements
            and bool(event["requests"] >= goal.requests)
        )

    def _so_far(self) -> str:
        wanted = f"/{self._cell.goal.replacements}" if self._cell.goal else ""
        return f"{self.replaced}{wanted} replaced, {round(self._failed):,} failed"

    def _note_end(self) -> str | None:
        """Note that the server has ended; returns a reason if that is a fault nevertheless."""
        server = self._server
        if server.running:
            return None if server.front is None else server.front.failure()
        if self.server_ended is not None:
            return None
        ending = server.ending()
        terminated = self.probe is not None and self.probe["kind"] == "terminate"
        if ending is None or (server.asked_to_end and not terminated):
            return server.failure()
        if self._cell.probe is not None and self.probe is None:
            return f"nothing was left for the probe: {server.failure()}"
        self.server_ended = asdict(ending)
        return None

    def _swap(self) -> None:
        """Lead the proxy to the second copy once that answers, and end the first one a while later."""
        server = self._server
        if self._switched is not None:
            if time.monotonic() >= self._switched + _DRAIN_S:
                self._drained = True
                server.deploy()
        elif (second := server.standby) is not None:
            assert server.front is not None  # blocks with a swap have a proxy
            server.front.lead_to(second)
            self._switched = time.monotonic()

    def _signal(self, kind: str, due: float) -> None:
        """Do what the probe is to do when it is due, and a worker is ready if one is to be killed."""
        if time.time() < due:
            return
        if kind == "terminate":
            self.probe = {"kind": kind, "time": time.time(), "pid": self._server.facts["pid"]}
            self._launcher.stop(self._server)
            return
        if kind in _DEPLOYS:
            self.probe = {"kind": kind, "time": self._server.deploy(), "pid": self._server.facts["pid"]}
            return
        oldest = workers.oldest(workers.read(self._server.directory))
        if oldest is None:
            return
        with contextlib.suppress(ProcessLookupError):  # it has ended since the last sample
            self.probe = {"kind": kind, "time": self._server.kill(oldest), "pid": oldest}
