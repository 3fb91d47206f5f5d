"""Runs blocks: starts each server once, puts its loads on it, and records every cell."""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import observe
from bench.blocks import longest_window_s
from bench.cells import Block, Cell
from bench.cpus import CpuSplit
from bench.database import Database
from bench.dialogue import Event
from bench.files import check_space
from bench.host import HostSampler
from bench.launch import Launcher, Server, ServerError
from bench.loads import Search
from bench.observe import Observer
from bench.plan import Plan
from bench.progress import RunProgress
from bench.record import CellRecord
from bench.results import RunFolder
from bench.search import Step, found, judge, next_attempt
from bench.serve_command import Options
from bench.serving import Serving
from bench.session import CellError, Load, Session
from targets.configurations import Configuration, Recycling

# Why configurations could not be started, by name and by how they were to recycle.
Broken = dict[tuple[str, Recycling], str]

# Of the session's event, for ``cell.json``.
_MEASURED = ("requests", "failures", "latency_us", "arrivals", "completions")


@dataclass
class Outcome:
    """What came of the blocks: cells by their end, and the seconds users were running in measured ones.

    ``steps`` are those of the cells that belong to searches.
    """

    finished: int = 0
    failed: int = 0
    steps: int = 0
    load_s: float = 0.0


@dataclass
class Runner:
    """Everything a run needs. ``configurations`` are by the plan's names for them, aliases included."""

    folder: RunFolder
    plan: Plan
    seed: int
    configurations: Mapping[str, Configuration]
    scenarios: Mapping[str, Path]
    cpus: CpuSplit
    launcher: Launcher
    session: Session
    host: HostSampler
    progress: RunProgress
    database: Database | None = None
    outcome: Outcome = field(default_factory=Outcome)
    _unfinished: Path | None = field(default=None, init=False)  # the folder of the cell that is measured

    def run(
        self,
        blocks: Sequence[Block],
        after_block: Callable[[], None],
        before_blocks: Callable[[], None] = lambda: None,
    ) -> None:
        """Run the blocks; ``outcome`` says at any time what came of them.

        ``before_blocks`` is called when ``launcher`` and ``session`` can be used, ahead of the first block.

        Between two blocks the next server starts while the last one stops; nothing starts or stops while
        a cell is measured, except for the server under test.

        Raises:
            UserError: something every further cell would meet as well (a full disk, a port in use).
        """
        broken: Broken = {}
        server: Server | None = None
        scratch = tempfile.TemporaryDirectory(prefix=".serve-", dir=self.folder.path)
        try:
            with scratch as metrics, self.launcher, self.database or nullcontext(), self.session:
                before_blocks()
                for block in blocks:
                    self.progress.block(block)
                    if server is not None:
                        self.launcher.stop(server)
                    server = self._block(block, Path(metrics), broken)
                    self.progress.block_done(block)
                    after_block()
        finally:
            # Interrupted, or the disk is full: half a cell goes when nobody writes to it any more.
            if self._unfinished is not None and self._unfinished.exists():
                shutil.rmtree(self._unfinished)

    def _block(self, block: Block, metrics: Path, broken: Broken) -> Server | None:
        """Serve a block, load its cells and take the steps of its searches; returns the server to be stopped.

        A configuration that cannot be started at all is noted as ``broken`` and not tried in later blocks,
        unless they recycle it otherwise.
        """
        options = observe.options(block)

        def start(number: int) -> Server:
            kind = (block.configuration, options.recycling)
            if kind in broken:
                raise ServerError(broken[kind])
            try:
                return self._start(block, metrics / f"{block.number}-{number}", options)
            except ServerError as failure:
                broken[kind] = f"not tried again: {str(failure).splitlines()[0]}"
                raise

        serving = Serving(start, self.launcher.stop)
        # A search follows its scenario's cells: a later scenario may leave the server worse (leak).
        for scenario in self.plan.loaded:
            for cell in block.cells:
                if cell.scenario == scenario and (server := self._served(cell, serving)) is not None:
                    self._cell(cell, server)
            for searched, search in block.searches:
                if searched == scenario:
                    self._search(block, scenario, search, serving)
        return serving.server

    def _search(self, block: Block, scenario: str, search: Search, serving: Serving) -> None:
        """Take the steps of a search that are left; one that kills its server broke the limit."""
        steps = steps_taken(self.folder, block, scenario, search)
        before = len(steps)
        while (attempt := next_attempt(search, steps)) is not None:
            cell = block.step(scenario, search, attempt)
            server = self._served(cell, serving)
            measured = None if server is None else self._cell(cell, server)
            self.outcome.steps += 1
            if server is None:
                self.progress.searched(block, scenario, search, None, len(steps) - before + 1)
                return
            if measured is not None:
                verdict = judge(search, measured)
            elif server.failure() is not None:
                verdict = "broken"
                serving.allow_another()
            else:
                verdict = "generator"
            steps.append(Step(attempt.rate_per_s, verdict))
        self.progress.searched(block, scenario, search, found(steps), len(steps) - before)

    def _served(self, cell: Cell, serving: Serving) -> Server | None:
        """The server for a cell; without one the cell is recorded as failed."""
        try:
            return serving.get()
        except ServerError as failure:
            record = CellRecord(self.folder.cell(cell), cell, self._facts(cell))
            self._failed(cell, record, str(failure))
            return None

    def _start(self, block: Block, metrics: Path, options: Options) -> Server:
        cpus = self.cpus.for_workers(block.workers)
        configuration = self.configurations[block.configuration]
        if self.database is not None:
            self.database.prepare(block, configuration.stack)
        try:
            return self.launcher.start(configuration, block.workers, metrics, cpus, options)
        finally:
            self.launcher.settle()
            check_space(self.folder.path)

    def _cell(self, cell: Cell, server: Server) -> dict[str, Any] | None:
        """Load a server and record it; returns ``measured`` of ``cell.json``, ``None`` if the cell failed."""
        self._unfinished = self.folder.cell(cell)
        record = CellRecord(self._unfinished, cell, self._facts(cell))
        self.progress.cell(cell)
        record.serve(server)
        try:
            event, said = self._load(cell, server, record)
        except CellError as failure:
            check_space(self.folder.path)
            self._failed(cell, record, str(failure))
            self._unfinished = None
            return None
        window = event["window"]
        measured = {key: event[key] for key in _MEASURED}
        record.finished(window, measured, self.host)
        self._unfinished = None
        seconds = window["end"] - window["start"]
        self.outcome.finished += 1
        self.outcome.load_s += self.plan.warmup_s + seconds
        self.progress.measured(cell, measured, seconds, said)
        return measured

    def _load(self, cell: Cell, server: Server, record: CellRecord) -> tuple[Event, str | None]:
        """Have a cell's load run; returns the ``finished`` event and what to say of the server.

        Raises:
            CellError: the cell failed; in plans of recycling a server that ended is no reason to.
        """
        load = Load(
            host=server.url,
            scenario=self.launcher.inside(self.scenarios[cell.scenario]),
            users=cell.load.users,
            warmup_s=self.plan.warmup_s,
            measured_s=longest_window_s(self.plan, cell),
            directory=record.folder,
            arrivals=cell.arrivals(self.seed),
            trace=cell.recycling is not None,
        )
        if cell.recycling is None:
            event = self.session.run(load, self._watched(server.failure), self.progress.rate)
            record.generator = self.session.describe(load.scenario)
            return event, None
        observer = Observer(cell, server, self.launcher, self.session, self.progress.rate)
        try:
            event = self.session.run(load, self._watched(observer.watch), observer.on_progress)
            record.generator = self.session.describe(load.scenario)
            reason = observer.finish(event["window"]["start"])
        finally:
            record.probe = observer.probe or record.probe
            record.server_ended = observer.server_ended
        if reason is not None:
            raise CellError(reason)
        return event, observer.outcome()

    def _watched(self, watch: Callable[[], str | None]) -> Callable[[], str | None]:
        """What says why a cell must end: ``watch``, or the database if the run has one of its own."""
        database = self.database
        return watch if database is None else lambda: watch() or database.failure()

    def _failed(self, cell: Cell, record: CellRecord, reason: str) -> None:
        record.failed(reason, self.host)
        self.outcome.failed += 1
        self.progress.failed(cell, reason)

    def _facts(self, cell: Cell) -> dict[str, Any]:
        return {
            "launcher": self.launcher.name,
            "warmup_s": self.plan.warmup_s,
            "measured_s": longest_window_s(self.plan, cell),
        }


def remaining(blocks: Sequence[Block], folder: RunFolder) -> list[Block]:
    """The blocks with the cells and searches that are still to be measured."""
    left = []
    for block in blocks:
        cells = tuple(cell for cell in block.cells if folder.measured(cell) is None)
        searches = tuple(
            (scenario, search)
            for scenario, search in block.searches
            if next_attempt(search, steps_taken(folder, block, scenario, search)) is not None
        )
        if cells or searches:
            left.append(replace(block, cells=cells, searches=searches))
    return left


def steps_taken(folder: RunFolder, block: Block, scenario: str, search: Search) -> list[Step]:
    """The steps of a search that are finished, up to the first that is not."""
    steps: list[Step] = []
    while (attempt := next_attempt(search, steps)) is not None:
        measured = folder.measured(block.step(scenario, search, attempt))
        if measured is None:
            break
        steps.append(Step(attempt.rate_per_s, judge(search, measured)))
    return steps
