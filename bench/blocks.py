"""What a plan comes to: blocks of cells in a random order, and how long they take."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from bench.cells import Block, Cell, ClosedLoop, Goal, OpenLoop
from bench.plan import Plan
from bench.recycling import Probe
from bench.search import expected_steps
from targets.configurations import NEVER, Configuration, Recycling


class _Task(NamedTuple):
    """A cell before it is known whose and when."""

    scenario: str
    load: ClosedLoop | OpenLoop
    recycling: Recycling | None = None
    goal: Goal | None = None
    probe: Probe | None = None


def expand(plan: Plan, seed: int, configurations: Mapping[str, Configuration]) -> list[Block]:
    """Randomised complete blocks: every repeat holds each configuration once, in an order of its own.

    ``configurations`` are by the plan's names for them; blocks with more workers than one can have are
    left out. The order depends on the plan and the seed only, never on what this machine has, so that an
    interrupted run goes on with the same blocks. Within a block the loads keep the plan's order, the same
    for every configuration. In plans of recycling every cell has a block of its own.
    """
    searches = tuple((name, entry.search) for name, entry in plan.scenarios.items() if entry.search)
    shuffled = random.Random(seed)
    blocks: list[Block] = []
    for repeat in range(1, plan.repeats + 1):
        starts = list(_starts(plan, configurations))
        shuffled.shuffle(starts)
        for configuration, workers, tasks in starts:
            number = len(blocks) + 1
            cells = tuple(
                Cell(configuration, workers=workers, repeat=repeat, block=number, **task._asdict())
                for task in tasks
            )
            blocks.append(Block(number, configuration, workers, repeat, cells, searches))
    return blocks


def possible(
    blocks: Sequence[Block], configurations: Collection[str], unavailable: Collection[str]
) -> list[Block]:
    """The blocks of some configurations, without what belongs to scenarios that are unavailable."""
    left = []
    for block in blocks:
        cells = tuple(cell for cell in block.cells if cell.scenario not in unavailable)
        searches = tuple(entry for entry in block.searches if entry[0] not in unavailable)
        if block.configuration in configurations and (cells or searches):
            left.append(replace(block, cells=cells, searches=searches))
    return left


def _starts(
    plan: Plan, configurations: Mapping[str, Configuration]
) -> Iterator[tuple[str, int | None, Sequence[_Task]]]:
    """The starts of a server in one repeat: of what, with how many workers, and for which tasks."""
    for name in plan.configurations:
        configuration = configurations[name]
        possible = _possible_workers(plan, configuration)
        for workers in possible:
            if plan.recycling is None:
                yield name, workers, [_Task(scenario, load) for scenario, load in _loads(plan)]
            else:
                assert workers is not None
                for task in _recycling(plan, configuration, workers):
                    yield name, workers, [task]
        for probe in plan.probes:
            if possible:
                load = OpenLoop("constant", probe.rate_per_s, probe.users)
                yield (
                    name,
                    max(possible, key=lambda each: each or 0),
                    [_Task(probe.scenario, load, NEVER, probe=probe)],
                )


def _possible_workers(plan: Plan, configuration: Configuration) -> list[int | None]:
    """The numbers of workers of a plan that a configuration can have; of an external server it is unknown."""
    if plan.workers is None:
        return [None]
    most = configuration.max_workers
    return [each for each in plan.workers if most is None or each <= most]


def _loads(plan: Plan) -> Iterator[tuple[str, ClosedLoop | OpenLoop]]:
    for scenario, loads in plan.scenarios.items():
        for users in loads.users or []:
            yield scenario, ClosedLoop(users)
        for each in loads.open:
            for rate in each.rates_per_s:
                yield scenario, OpenLoop(each.arrivals, rate, each.users)


def _recycling(plan: Plan, configuration: Configuration, workers: int) -> Iterator[_Task]:
    """Each load with and without recycling; without only, where the configuration cannot recycle."""
    for scenario, load in _loads(plan):
        table = plan.recycling_in(scenario)
        assert table is not None and isinstance(load, OpenLoop)
        requests_s = table.requests / load.rate_per_s
        yield _Task(scenario, load, NEVER, Goal(0, table.requests, requests_s))
        if configuration.recycle != "none":
            told = table.told(configuration)
            seconds = table.replacements * _life_s(told, configuration, load, workers) / workers
            goal = Goal(table.replacements, table.requests, max(requests_s, seconds))
            yield _Task(scenario, load, told, goal)


# How long a worker lives at least before the next is there: it is started and imports the app; with the
# app's own recycling it has a minimum age.
_LEAST_LIFE_S = {"flag": 1.0, "respawn": 1.0, "app": 2.6}
# Granian, which looks at the memory once a second, replaces one worker after the other and gives each
# 3.5 s to stop.
_BY_MEMORY_S = 4.4


def _life_s(told: Recycling, configuration: Configuration, load: OpenLoop, workers: int) -> float:
    """How long a worker is expected to live, in seconds, if each gets the same share of the requests."""
    if told.max_requests is None:
        return _BY_MEMORY_S * workers
    requests = told.max_requests + (told.max_requests_jitter or 0) / 2
    return max(_LEAST_LIFE_S[configuration.recycle], requests * workers / load.rate_per_s)


# What a run spends besides load (seconds): the generator's own start, a change of server, and the files
# and the alignment to whole seconds of a cell.
_START_S, _BLOCK_S, _CELL_S = 2.0, 1.0, 0.3
# A cell that ends early does so at a whole second after the generator's next report.
_EARLY_END_S = 1.5


def estimate_s(plan: Plan, blocks: Sequence[Block]) -> float:
    """How long blocks will take, in seconds, environments and report not included."""
    return _START_S + sum(block_s(plan, block) for block in blocks) if blocks else 0.0


def block_s(plan: Plan, block: Block) -> float:
    """How long a block will take, in seconds, the start of its server included."""
    searches = sum(expected_steps(search) for _, search in block.searches) * _cell_s(plan, plan.measured_s)
    return _BLOCK_S + sum(cell_s(plan, cell) for cell in block.cells) + searches


def cell_s(plan: Plan, cell: Cell) -> float:
    """How long a cell will take, in seconds."""
    return _cell_s(plan, _window_s(plan, cell))


def load_s(plan: Plan, blocks: Sequence[Block]) -> float:
    """For how long users will be running, in seconds."""
    cells = sum(plan.warmup_s + _window_s(plan, cell) for block in blocks for cell in block.cells)
    steps = sum(block.expected_cells - len(block.cells) for block in blocks)
    return cells + steps * (plan.warmup_s + plan.measured_s)


def longest_window_s(plan: Plan, cell: Cell) -> int:
    """The measured seconds of a cell that does not end early."""
    return plan.measured_s if cell.probe is None else cell.probe.measured_s


def _cell_s(plan: Plan, window_s: float) -> float:
    return plan.warmup_s + window_s + _CELL_S


def _window_s(plan: Plan, cell: Cell) -> float:
    longest = longest_window_s(plan, cell)
    return longest if cell.goal is None else min(longest, cell.goal.seconds + _EARLY_END_S)


def duration(seconds: float) -> str:
    """A time in words, for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
