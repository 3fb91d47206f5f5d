"""What a rotation does in the engine, step by step: it lets targets settle, goes its rounds, and ends.

The steps are generators that yield when their next part is due, on the engine's clock. Between the edges of
a window they do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from time import perf_counter_ns as clock
from time import process_time_ns
from typing import Final, NamedTuple

from ...recording.slices import Slice, grown_s
from ..agent import Agent
from ..gates import Gate
from ..stage import POLLS, Stage
from .meters import Meters
from .timetable import Planned

LOOK_NS: Final = 1_000_000
"""How often it looks whether what is in flight has ended."""
STAT_LEAD_NS: Final = 2_000_000
"""How long before a window the CPUs' clocks are read, at most a third of its warm-up: /proc/stat takes 0.1 ms
and more, for which answers have to wait."""
STEPS: Final = 32
"""In how many steps users are set off at most."""
DRAIN_NS: Final = 10_000_000_000
"""How long a target that settles may keep the next one waiting."""

Gates = Mapping[str, Gate[Agent]]
ALL: Final = 1 << 62


def settle(
    stage: Stage,
    gate: Gate[Agent],
    length_ns: int,
    step: int,
    pause_ns: int,
    done: Callable[[float | None], None],
) -> Iterator[int]:
    """Load one target for so long, alone, its users set off a `step` at a time; wait for the last answers.

    `done` is told what a request takes (ns) when all users are at it, by Little's law: users over throughput,
    of the second half, as the first answers of a server take longer. None where nothing was answered then.
    """
    stage.wait_as(POLLS)
    begin = clock()
    end = begin + length_ns
    gate.begin(begin)
    gate.open()
    while gate.parked and clock() < end:
        stage.release(gate, step)
        yield clock() + pause_ns
    yield begin + length_ns // 2
    middle, before = clock(), gate.requests
    yield end
    served, lasted = gate.requests - before, clock() - middle
    gate.end(clock())
    gate.close()
    until = clock() + DRAIN_NS
    while stage.in_flight and clock() < until:
        yield clock() + LOOK_NS
    done(len(gate.agents) * lasted / served if served else None)


def lift(stage: Stage, gates: Iterable[Gate[Agent]]) -> Iterator[int]:
    """Open all gates, so that users can finish what they are at."""
    for gate in gates:
        gate.open()
        stage.release(gate, ALL)
    yield from ()


def _until(due_ns: int) -> Iterator[int]:
    """Come back when it is time, and go on at once where it is past.

    A handshake costs the engine a millisecond, and a look at all its sockets a hundred: were there one after
    each step, the window would begin later and later.
    """
    if clock() < due_ns:
        yield due_ns


class Edge(NamedTuple):
    """What was read at an edge of a window; `cpu_ns` is by target."""

    at_ns: int
    requests: int
    failures: int
    own_ns: int
    spun_ns: int
    cpu_ns: dict[str, int | None]


class Done(NamedTuple):
    """A slice that is over, as it was read: figures are made of it when there is time."""

    planned: Planned
    in_flight: int
    opened: int
    start: Edge
    end: Edge
    cpus: tuple[bytes, bytes] | None


class Rounds:
    """Goes through the slices of a timetable. `meters` is None where another process reads them."""

    def __init__(self, gates: Gates, slices: Iterable[Planned], meters: Meters | None) -> None:
        self._gates = gates
        self._slices = slices
        self._meters = meters
        self._done: list[Done] = []

    def steps(self, stage: Stage, done: Callable[[], None]) -> Iterator[int]:
        """All slices; `done` is called behind the last."""
        try:
            for planned in self._slices:
                yield planned.open_ns
                gate = self._gates[planned.target]
                if not gate.is_dropped and clock() < planned.start_ns:
                    yield from self._slice(stage, gate, planned)
        finally:
            stage.wait_as(POLLS)
            if self._meters is not None:
                self._meters.close()
        done()

    def _slice(self, stage: Stage, gate: Gate[Agent], planned: Planned) -> Iterator[int]:
        in_flight, opened = stage.in_flight, stage.counters.connections_opened
        gate.look_at_flying()
        gate.keep()
        stage.wait_as(planned.manner)
        gate.open()
        yield from self._let_in(stage, gate, planned)
        before = after = b""
        if self._meters is not None:
            lead_ns = min(STAT_LEAD_NS, (planned.start_ns - planned.open_ns) // 3)
            yield from _until(planned.start_ns - lead_ns)
            before = self._meters.cpus()
        yield planned.start_ns
        start = self._start(stage, gate)
        yield planned.end_ns
        end = self._end(stage, gate)
        opened = stage.counters.connections_opened - opened
        while stage.in_flight and clock() < planned.over_ns - LOOK_NS:
            yield clock() + LOOK_NS
        if self._meters is not None:
            after = self._meters.cpus()
        gate.keep()
        if not gate.is_dropped:
            cpus = (before, after) if self._meters is not None else None
            self._done.append(Done(planned, in_flight, opened, start, end, cpus))

    def _let_in(self, stage: Stage, gate: Gate[Agent], planned: Planned) -> Iterator[int]:
        """Set the users off one after the other, over the first two thirds of the warm-up.

        Set off at once, those of a server with time to spare would go on in step, and the number of waves
        that fall into a window would decide.
        """
        parked = len(gate.parked)
        parts, warm_ns = max(1, min(STEPS, parked)), planned.start_ns - planned.open_ns
        for part in range(parts):
            stage.release(gate, -(-parked // parts))
            yield from _until(planned.open_ns + warm_ns * 2 * (part + 1) // (3 * parts))

    def _start(self, stage: Stage, gate: Gate[Agent]) -> Edge:
        """The target's own clock is read last, next to the window."""
        cpu: dict[str, int | None] = {}
        if self._meters is not None:
            cpu = self._meters.cpu_of_all(but=gate.name)
            cpu[gate.name] = self._meters.cpu_ns(gate.name)
        own, spun, now = process_time_ns(), stage.counters.spun_ns, clock()
        gate.begin(now)
        return Edge(now, gate.requests, gate.failed, own, spun, cpu)

    def _end(self, stage: Stage, gate: Gate[Agent]) -> Edge:
        now, own, spun = clock(), process_time_ns(), stage.counters.spun_ns
        gate.end(now)
        gate.close()
        cpu: dict[str, int | None] = {}
        if self._meters is not None:
            cpu[gate.name] = self._meters.cpu_ns(gate.name)
            cpu |= self._meters.cpu_of_all(but=gate.name)
        return Edge(now, gate.requests, gate.failed, own, spun, cpu)

    def slices(self, to_unix_ns: int) -> Iterator[Slice]:
        """What became of the slices."""
        for each in self._done:
            planned, start, end = each.planned, each.start, each.end
            spun_ns = end.spun_ns - start.spun_ns
            busy_s, steal_s = self._meters.between(*each.cpus) if self._meters and each.cpus else (None, None)
            yield Slice(
                **planned.placed(start.at_ns, end.at_ns, to_unix_ns),
                requests=end.requests - start.requests,
                failures=end.failures - start.failures,
                opened=each.opened,
                generator_s=(end.own_ns - start.own_ns - spun_ns) / 1e9,
                spin_s=spun_ns / 1e9,
                in_flight=each.in_flight,
                cpu_s={name: grown_s(start.cpu_ns[name], ns) for name, ns in end.cpu_ns.items()},
                busy_s=busy_s,
                steal_s=steal_s,
            )
