"""Runs blocks: starts each server once, puts its loads on it, and records every cell."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.experiment import observe
from bench.experiment.blocks import longest_window_s
from bench.experiment.generator.dialogue import Event
from bench.experiment.generator.session import CellError, Load
from bench.experiment.observe import Observer
from bench.experiment.progress import RunProgress
from bench.experiment.record import CellRecord
from bench.experiment.results import RunFolder
from bench.experiment.rig import Rig
from bench.launch.server import Options, Server, ServerError
from bench.model.cells import Block, Cell
from bench.model.files import check_space
from bench.model.plans.loads import Search
from bench.model.plans.plan import Plan
from bench.model.search import Step, found, judge, next_attempt
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import Recycling

# Why configurations could not be started, by name and recycling.
Broken = dict[tuple[str, Recycling], str]

# How often the server of a block may be started.
_STARTS = 2


@dataclass
class Outcome:
    """How many cells finished and failed, and for how many seconds the finished ones were under load.

    ``steps`` is how many of them belong to searches.
    """

    finished: int = 0
    failed: int = 0
    steps: int = 0
    load_s: float = 0.0


class BlockServer:
    """The server of a block: started when a cell needs it, and once more if it died."""

    def __init__(self, start: Callable[[int], Server], stop: Callable[[Server], None]) -> None:
        """``start`` gets the number of the start, from 1 on, and may raise ``ServerError``."""
        self._start = start
        self._stop = stop
        self._starts = 0
        self._left = _STARTS
        self._refused: str | None = None
        self.server: Server | None = None

    def get(self) -> Server:
        """The server; it is started if there is none or it died.

        Raises:
            ServerError: it does not start, or it died too often; the text is the reason for people.
        """
        if self.server is not None:
            if self.server.failure() is None:
                return self.server
            self._stop(self.server)
            self.server = None
        if self._refused is not None:
            raise ServerError(self._refused)
        if not self._left:
            raise ServerError("the server had died twice in this block")
        self._left -= 1
        self._starts += 1
        try:
            self.server = self._start(self._starts)
        except ServerError as failure:
            self._refused = str(failure)
            raise
        return self.server

    def allow_another(self) -> None:
        """Allow one more start: the death of the server was a result, not a fault."""
        self._left += 1


@dataclass
class Runner:
    """Measures blocks of a plan. ``configurations`` are by the plan's names for them, aliases included."""

    folder: RunFolder
    plan: Plan
    seed: int
    configurations: Mapping[str, Configuration]
    scenarios: Mapping[str, Path]
    rig: Rig
    progress: RunProgress
    outcome: Outcome = field(default_factory=Outcome)
    broken: Broken = field(default_factory=dict)
    unfinished: Path | None = field(default=None, init=False)  # the folder of the cell that is measured

    def run(self, blocks: Sequence[Block], after_block: Callable[[], None]) -> None:
        """Run the blocks while the rig is entered; ``outcome`` says at any time what came of them.

        Between two blocks the next server starts while the last one stops. While a cell is measured, nothing
        else starts or stops.

        Raises:
            UserError: every further cell would meet it as well (a full disk, no folder, a port in use).
        """
        server: Server | None = None
        for block in blocks:
            self.folder.check()
            self.progress.block(block)
            if server is not None:
                self.rig.launcher.stop(server)
            server = self._block(block)
            self.progress.block_done(block)
            after_block()
        self.rig.launcher.set_sysctls({})  # what follows shares the network

    def discard_unfinished(self) -> None:
        """Remove half a cell of a run that was ended. Call it when nothing of the rig writes to it.

        One that has its ``cell.json`` is whole, whatever came at that moment.
        """
        place = self.unfinished
        if place is not None and place.exists() and not (place / "cell.json").exists():
            shutil.rmtree(place)

    def _block(self, block: Block) -> Server | None:
        """Serve a block, load its cells and take the steps of its searches; returns the server, which runs.

        A configuration that cannot be started is noted as ``broken``, and later blocks do not try it again,
        unless they recycle it otherwise.
        """
        options = observe.options(block, self.rig.proxy)

        def start(number: int) -> Server:
            kind = (block.configuration, options.recycling)
            if kind in self.broken:
                raise ServerError(self.broken[kind])
            try:
                return self._start(block, self.rig.scratch / f"{block.number}-{number}", options)
            except ServerError as failure:
                self.broken[kind] = f"not tried again: {str(failure).splitlines()[0]}"
                raise

        block_server = BlockServer(start, self.rig.launcher.stop)
        # A search follows its scenario's cells: a later scenario may leave the server worse (leak).
        for scenario in self.plan.loaded:
            for cell in block.cells:
                if cell.scenario == scenario and (server := self._served(cell, block_server)) is not None:
                    self._cell(cell, server)
            for searched, search in block.searches:
                if searched == scenario:
                    self._search(block, scenario, search, block_server)
        return block_server.server

    def _search(self, block: Block, scenario: str, search: Search, block_server: BlockServer) -> None:
        """Take the remaining steps of a search; a step that kills its server broke the limit."""
        steps = steps_taken(self.folder, block, scenario, search)
        before = len(steps)
        while (attempt := next_attempt(search, steps)) is not None:
            cell = block.step(scenario, search, attempt)
            server = self._served(cell, block_server)
            measured = None if server is None else self._cell(cell, server)
            self.outcome.steps += 1
            if server is None:
                self.progress.searched(block, scenario, search, None, len(steps) - before + 1)
                return
            if measured is not None:
                verdict = judge(search, measured)
            elif server.failure() is not None:
                verdict = "broken"
                block_server.allow_another()
            else:
                verdict = "generator"
            steps.append(Step(attempt.rate_per_s, verdict))
        self.progress.searched(block, scenario, search, found(steps), len(steps) - before)

    def _served(self, cell: Cell, block_server: BlockServer) -> Server | None:
        """The server for a cell; without one the cell is recorded as failed."""
        try:
            return block_server.get()
        except ServerError as failure:
            record = CellRecord(self.folder.cell(cell), cell, self._facts(cell))
            self._failed(cell, record, str(failure))
            return None

    def _start(self, block: Block, metrics: Path, options: Options) -> Server:
        configuration = self.configurations[block.configuration]
        workers = configuration.serving(block.workers)
        cpus = self.rig.split.for_workers(workers)
        if self.rig.database is not None:
            self.rig.database.prepare(block.scenarios, configuration.stack)
        self.rig.launcher.set_sysctls(configuration.sysctls)
        try:
            return self.rig.launcher.start(configuration, workers, metrics, cpus, options)
        finally:
            self.rig.launcher.settle()
            check_space(self.folder.path)

    def _cell(self, cell: Cell, server: Server) -> dict[str, Any] | None:
        """Load a server and record it; returns ``measured`` of ``cell.json``, ``None`` if the cell failed."""
        self.folder.check()
        self.unfinished = self.folder.cell(cell)
        record = CellRecord(self.unfinished, cell, self._facts(cell))
        self.progress.cell(cell)
        record.serve(server)
        try:
            event, said = self._load(cell, server, record)
            measured = record.finished(event, self.rig.host)
        except CellError as failure:
            check_space(self.folder.path)
            self._failed(cell, record, str(failure))
            self.unfinished = None
            return None
        self.unfinished = None
        seconds = event["window"]["end"] - event["window"]["start"]
        self.outcome.finished += 1
        self.outcome.load_s += self.plan.warmup_s + seconds
        self.progress.measured(cell, measured, seconds, said)
        return measured

    def _load(self, cell: Cell, server: Server, record: CellRecord) -> tuple[Event, str | None]:
        """Run a cell's load; returns the ``finished`` event, and what to say about the server.

        Raises:
            CellError: the cell failed. In plans of recycling it does not fail because the server ended.
        """
        load = Load(
            host=server.url,
            scenario=self.rig.launcher.inside(self.scenarios[cell.scenario]),
            users=cell.load.users,
            warmup_s=self.plan.warmup_s,
            measured_s=longest_window_s(self.plan, cell),
            directory=record.folder,
            arrivals=cell.arrivals(self.seed),
            trace=cell.recycling is not None,
        )
        if cell.recycling is None:
            event = self.rig.session.run(load, self._watched(server.failure), self.progress.rate)
            record.generator = self.rig.session.describe(load.scenario)
            return event, None
        observer = Observer(cell, server, self.rig.launcher, self.rig.session, self.progress.rate)
        try:
            event = self.rig.session.run(load, self._watched(observer.watch), observer.on_progress)
            record.generator = self.rig.session.describe(load.scenario)
            reason = observer.finish(event["window"]["start"])
        finally:
            record.probe = observer.probe or record.probe
            record.server_ended = observer.server_ended
        if reason is not None:
            raise CellError(reason)
        return event, observer.outcome()

    def _watched(self, watch: Callable[[], str | None]) -> Callable[[], str | None]:
        """``watch`` for a cell, which also ends if the run's database does."""
        database = self.rig.database
        return watch if database is None else lambda: watch() or database.failure()

    def _failed(self, cell: Cell, record: CellRecord, reason: str) -> None:
        record.failed(reason, self.rig.host)
        self.outcome.failed += 1
        self.progress.failed(cell, reason)

    def _facts(self, cell: Cell) -> dict[str, Any]:
        return {
            "launcher": self.rig.launcher.name,
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
