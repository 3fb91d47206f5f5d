"""Runs blocks: starts each server once, puts its loads on it, and records every cell."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cpus import CpuSplit
from bench.files import check_space
from bench.host import HostSampler
from bench.launch import Launcher, Server, ServerError
from bench.plan import Block, Cell, Plan
from bench.progress import RunProgress
from bench.record import CellRecord
from bench.results import RunFolder
from bench.session import CellError, Load, Session
from targets.configurations import Configuration


@dataclass
class Outcome:
    """What came of the blocks: cells by their end, and the seconds users were running in measured ones."""

    finished: int = 0
    failed: int = 0
    load_s: float = 0.0


@dataclass
class Runner:
    """Everything a run needs, put together by ``bench.prepare``."""

    folder: RunFolder
    plan: Plan
    configurations: Mapping[str, Configuration]
    scenarios: Mapping[str, Path]
    cpus: CpuSplit
    launcher: Launcher
    session: Session
    host: HostSampler
    progress: RunProgress
    outcome: Outcome = field(default_factory=Outcome)

    def run(self, blocks: Sequence[Block], after_block: Callable[[], None]) -> None:
        """Run the blocks; ``outcome`` says at any time what came of them.

        Between two blocks the next server starts while the last one stops; nothing starts or stops while
        a cell is measured, except for the server under test.

        Raises:
            UserError: something every further cell would meet as well (a full disk, a port in use).
        """
        broken: dict[str, str] = {}
        server: Server | None = None
        scratch = tempfile.TemporaryDirectory(prefix=".serve-", dir=self.folder.path)
        with scratch as metrics, self.launcher, self.session:
            for block in blocks:
                self.progress.block(block)
                if server is not None:
                    self.launcher.stop(server)
                server = self._block(block, Path(metrics), broken)
                self.progress.block_done(block)
                after_block()

    def _block(self, block: Block, metrics: Path, broken: dict[str, str]) -> Server | None:
        """Serve and load the cells of a block; returns the server if it is still there.

        A server that dies is started once more. A configuration that cannot be started at all is noted
        as ``broken`` and not tried in later blocks.
        """
        server: Server | None = None
        starts = 0
        reason = broken.get(block.configuration)
        for cell in block.cells:
            if server is None and starts < 2 and reason is None:
                starts += 1
                try:
                    server = self._start(block, metrics / f"{block.number}-{starts}")
                except ServerError as failure:
                    reason = str(failure)
                    broken[block.configuration] = f"not tried again: {reason.splitlines()[0]}"
            if server is None:
                self._not_run(cell, reason or "the server had died twice in this block")
                continue
            self._cell(cell, server)
            if server.failure() is not None:
                self.launcher.stop(server)
                server = None
        return server

    def _start(self, block: Block, metrics: Path) -> Server:
        cpus = self.cpus.for_workers(block.workers)
        configuration = self.configurations[block.configuration]
        try:
            return self.launcher.start(configuration, block.workers, metrics, cpus)
        finally:
            self.launcher.settle()
            check_space(self.folder.path)

    def _cell(self, cell: Cell, server: Server) -> None:
        record = CellRecord(self.folder.cell(cell), cell, self._facts())
        self.progress.cell(cell)
        load = Load(
            host=server.url,
            scenario=str(self.scenarios[cell.scenario]),
            users=cell.users,
            warmup_s=self.plan.warmup_s,
            measured_s=self.plan.measured_s,
            directory=record.folder,
        )
        try:
            record.serve(server)
            try:
                event = self.session.run(load, server.failure, self.progress.rate)
                record.generator = self.session.describe(load.scenario)
            except CellError as failure:
                check_space(self.folder.path)
                self._failed(cell, record, str(failure))
                return
            window = event["window"]
            record.finished(window, self.host)
        except BaseException:  # interrupted, or the disk is full: leave no half a cell behind
            record.discard()
            raise
        seconds = window["end"] - window["start"]
        self.outcome.finished += 1
        self.outcome.load_s += self.plan.warmup_s + seconds
        self.progress.measured(cell, event["requests"], event["failures"], seconds)

    def _not_run(self, cell: Cell, reason: str) -> None:
        self._failed(cell, CellRecord(self.folder.cell(cell), cell, self._facts()), reason)

    def _failed(self, cell: Cell, record: CellRecord, reason: str) -> None:
        record.failed(reason, self.host)
        self.outcome.failed += 1
        self.progress.failed(cell, reason)

    def _facts(self) -> dict[str, Any]:
        return {
            "launcher": self.launcher.name,
            "warmup_s": self.plan.warmup_s,
            "measured_s": self.plan.measured_s,
        }


def remaining(blocks: Sequence[Block], folder: RunFolder) -> list[Block]:
    """The blocks with the cells that are still to be measured."""
    left = []
    for block in blocks:
        cells = tuple(cell for cell in block.cells if not folder.is_finished(cell))
        if cells:
            left.append(Block(block.number, block.configuration, block.workers, block.repeat, cells))
    return left
