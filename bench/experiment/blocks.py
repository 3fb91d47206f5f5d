"""The blocks of cells of a plan, in a random order, and how long they take."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

from bench.model.cells import Block, Cell, ClosedLoop, Goal, OpenLoop
from bench.model.plans.plan import Plan
from bench.model.plans.proxy import ways
from bench.model.plans.recycling import Probe
from bench.model.plans.settings import TAIL, expecting
from bench.model.search import expected_steps
from targets.catalogue.configurations import Configuration
from targets.catalogue.recycling import NEVER, Recycling
from targets.catalogue.variants import CONNECTIONS, REPLACED


class _Task(NamedTuple):
    """A cell without its configuration, repeat and block."""

    scenario: str
    load: ClosedLoop | OpenLoop
    recycling: Recycling | None = None
    goal: Goal | None = None
    probe: Probe | None = None


def expand(plan: Plan, seed: int, configurations: Mapping[str, Configuration]) -> list[Block]:
    """Randomised complete blocks: every repeat holds each configuration once, in an order of its own.

    ``configurations`` are by the plan's names for them; blocks with more workers than a configuration can
    have are left out, and in a plan of settings loads under which none of a server's changes is expected to
    show. The order depends on the plan and the seed only, so that an interrupted run goes on with the same
    blocks. Within a block the loads keep the plan's order. Where workers are replaced every cell has a block
    of its own; these blocks follow those of the closed loops.
    """
    searches = tuple((name, entry.search) for name, entry in plan.scenarios.items() if entry.search)
    shuffled = random.Random(seed)
    blocks: list[Block] = []
    for starts_of, repeats in ((_compared, plan.repeats), (_observed, plan.recycling_repeats)):
        for repeat in range(1, repeats + 1):
            starts = list(starts_of(plan, configurations))
            shuffled.shuffle(starts)
            for configuration, workers, tasks, proxy in starts:
                number = len(blocks) + 1
                cells = tuple(
                    Cell(
                        configuration,
                        workers=workers,
                        repeat=repeat,
                        block=number,
                        proxy=proxy,
                        **task._asdict(),
                    )
                    for task in tasks
                )
                blocks.append(Block(number, configuration, workers, repeat, cells, searches, proxy))
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


# Configuration, number of workers, tasks, and the proxy that clients go through.
_Start = tuple[str, int | None, Sequence[_Task], str | None]


def _compared(plan: Plan, configurations: Mapping[str, Configuration]) -> Iterator[_Start]:
    """The starts of servers whose workers stay, in one repeat."""
    every = [
        _Task(scenario, load)
        for scenario, load, recycled in _loads(plan)
        if plan.recycling is None or not recycled
    ]
    if plan.recycling is not None and not every:
        return
    closed = [task for task in every if isinstance(task.load, ClosedLoop)]
    with_tail = _measured_for([TAIL], plan, configurations)
    elsewhere = told_elsewhere(plan, configurations)
    for name in plan.configurations:
        tasks = every if name in with_tail else [] if name in elsewhere else closed
        for workers in possible_workers(plan, configurations[name]):
            if tasks or not plan.settings:
                yield name, workers, tasks, plan.proxy


def _observed(plan: Plan, configurations: Mapping[str, Configuration]) -> Iterator[_Start]:
    """The starts of servers whose workers are replaced or signalled, and of their controls: a cell each.

    Where clients go through a proxy each of them is there once more with clients that go to the server: what
    the proxy takes from their losses, and adds to them, shows beside these alone.
    """
    if plan.recycling is None:
        return
    with_losses = _measured_for(REPLACED, plan, configurations, replaced=True)
    for name in plan.configurations:
        if (plan.both and name in plan.aliases) or name not in with_losses:
            continue  # the second name is there to be compared with the first
        configuration = configurations[name]
        if configuration.workers is not None:
            continue  # what is replaced is told by how many workers the cell has
        numbers = possible_workers(plan, configuration, replaced=True)
        for workers in numbers:
            assert workers is not None
            for task, proxy in product(_recycling(plan, configuration, workers), ways(plan.proxy)):
                yield name, workers, [task], proxy
        for probe, proxy in product(plan.probes if numbers else [], ways(plan.proxy)):
            if probe.kind == "swap" and proxy is None:
                continue  # nothing leads clients from one copy to the other
            load = OpenLoop("constant", probe.rate_per_s, probe.users)
            most = max(numbers, key=lambda workers: workers or 0)
            yield name, most, [_Task(probe.scenario, load, NEVER, probe=probe)], proxy


def _measured_for(
    what: Collection[str], plan: Plan, configurations: Mapping[str, Configuration], *, replaced: bool = False
) -> Collection[str]:
    """The configurations that are measured for the sake of any of ``what``; outside of settings all are.

    A variant that has no cells, as it needs more workers than the plan has, is no reason to measure another.
    """
    if not plan.settings:
        return plan.configurations
    every = plan.configurations
    served = [name for name in every if possible_workers(plan, configurations[name], replaced=replaced)]
    return expecting(what, served, configurations)


def told_elsewhere(plan: Plan, configurations: Mapping[str, Configuration]) -> set[str]:
    """The variants of a plan of settings that have no closed loops: other loads tell all they may change.

    These are the replacing of workers, and connections, which a user's own app has not.
    """
    if not plan.settings:
        return set()
    told = {*(REPLACED if plan.recycling else ())}
    told |= {*(CONNECTIONS if plan.connections and plan.own_app is None else ())}
    variants = {name: configurations[name].variant for name in plan.configurations if name in configurations}
    return {
        name for name, variant in variants.items() if variant is not None and told.issuperset(variant.expects)
    }


def possible_workers(plan: Plan, configuration: Configuration, *, replaced: bool = False) -> list[int | None]:
    """The plan's numbers of workers that a configuration can have; ``[None]`` for an external server.

    A variant with a number of its own is beside the fewest workers of the plan, unless it has as many. One of
    the network has none but where workers are ``replaced``: there no other server has that network.
    """
    if plan.workers is None:
        return [None]
    if configuration.sysctls and not replaced:
        return []
    least, most = configuration.least_workers or 1, configuration.max_workers
    found = [each for each in plan.workers if each >= least and (most is None or each <= most)]
    if configuration.workers is None:
        return [*found]
    return [each for each in found if each == min(plan.workers) and each != configuration.workers]


def _loads(plan: Plan) -> Iterator[tuple[str, ClosedLoop | OpenLoop, bool]]:
    """The loads of each scenario, and whether a plan of recycling replaces workers under them."""
    for scenario, loads in plan.scenarios.items():
        for users in loads.users or []:
            yield scenario, ClosedLoop(users), False
        for loops in loads.open:
            for rate in loops.rates_per_s:
                yield scenario, OpenLoop(loops.arrivals, rate, loops.users), loops.recycled


def _recycling(plan: Plan, configuration: Configuration, workers: int) -> Iterator[_Task]:
    """Each load without recycling, and with it if the configuration can recycle."""
    for scenario, load, recycled in _loads(plan):
        if isinstance(load, ClosedLoop) or not recycled:
            continue
        table = plan.recycling_in(scenario)
        assert table is not None
        requests_s = table.requests / load.rate_per_s
        yield _Task(scenario, load, NEVER, Goal(0, table.requests, requests_s))
        if configuration.recycle == "none":
            continue
        for recycling in table.every(configuration):
            seconds = table.replacements * _life_s(recycling, configuration, load, workers) / workers
            goal = Goal(table.replacements, table.requests, max(requests_s, seconds))
            yield _Task(scenario, load, recycling, goal)


# The shortest life of a worker: the next one must start and import the app, and the app's own recycling has
# a minimum age.
_LEAST_LIFE_S = {"flag": 1.0, "respawn": 1.0, "app": 2.6}
# Granian looks at the memory once a second, replaces workers one after the other, and gives each 3.5 s to
# stop.
_BY_MEMORY_S = 4.4


def _life_s(recycling: Recycling, configuration: Configuration, load: OpenLoop, workers: int) -> float:
    """How long a worker is expected to live, in seconds, if all get the same share of the requests."""
    if recycling.max_requests is None:
        return _BY_MEMORY_S * workers
    requests = recycling.max_requests + (recycling.max_requests_jitter or 0) / 2
    return max(_LEAST_LIFE_S[configuration.recycle], requests * workers / load.rate_per_s)


# Seconds of a run without load: the generator starts, the server changes, and a cell writes its files and is
# aligned to whole seconds.
_START_S, _BLOCK_S, _CELL_S = 2.0, 1.0, 0.3
# A cell that ends early does so at a whole second after the generator's next report.
_EARLY_END_S = 1.5


def estimate_s(plan: Plan, blocks: Sequence[Block]) -> float:
    """How long blocks will take, in seconds, without environments and report."""
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
    if cell.probe is not None:
        return cell.probe.measured_s
    return plan.measured_s if cell.goal is None else plan.recycling_s


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
