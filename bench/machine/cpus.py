"""Which CPUs the server gets and which the load generator, so that neither takes from the other."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.machine import cgroups, topology
from bench.machine.topology import Place, Topology

# One CPU of generator can keep at least three of servers busy (168 000 requests/s a core against a null
# server, where the fastest configurations answer some 30 000).
_SERVERS_PER_GENERATOR = 3


@dataclass(frozen=True)
class CpuSplit:
    """Disjoint CPUs for server and generator; ``note`` says what about them spoils the numbers."""

    server: tuple[int, ...]
    generator: tuple[int, ...]
    spare: tuple[int, ...]
    trusted: bool
    note: str | None = None

    def for_workers(self, workers: int | None) -> tuple[int, ...]:
        """The CPUs of a server with that many workers: one each, as far as there are any; all if unknown."""
        return self.server[:workers]

    def resting(self, workers: int | None) -> tuple[int, ...]:
        """What is left beside the CPUs of such a server, while there is no load: it may start on those."""
        cpus = self.for_workers(workers)
        return tuple(cpu for cpu in (*self.generator, *self.spare, *self.server) if cpu not in cpus)

    def record(self) -> dict[str, Any]:
        """The ``cpu_split`` object of ``run.json``."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @property
    def processes(self) -> int:
        """How many server and generator have at most: a worker, or one of the generator, for each CPU."""
        return len(self.server) + len(self.generator)

    @property
    def own(self) -> tuple[int, ...]:
        """The CPUs of the suite's own work: a spare one, else the generator's, never the server's."""
        return self.spare or self.generator


def split(usable: Sequence[int], quota: float | None, workers: int, places: Topology) -> CpuSplit:
    """Share out the ``usable`` CPUs for servers of up to ``workers`` workers.

    ``quota`` is how many CPUs' time the control group allows (``None``: no limit), ``places`` where CPUs are:
    one that is not told is a core of its own. The server comes first: on four CPUs with one worker, server
    [0], generator [1], spare [2, 3]. Unless the server would have fewer CPUs for it, both never have threads
    of one core, nor, where sockets have memory of their own, the same memory. What shares a core with the
    server and is not its own stays idle.
    """
    cpus = sorted(usable)
    allowed = len(cpus) if quota is None else max(1, min(len(cpus), int(quota)))
    if allowed == 1:
        alone = (cpus[0],)
        note = "one CPU for both server and generator: they take from each other"
        return CpuSplit(alone, alone, (), trusted=False, note=note)
    here = {cpu: places.get(cpu, Place(str(cpu))) for cpu in cpus}
    ours, theirs = _sides(here, workers, allowed)
    servers = _fitting(ours, theirs, workers, allowed)
    server = tuple(first_threads_first(ours, here)[:servers])
    memories = {here[cpu].memory for cpu in server}
    # Where the generator cannot have another memory altogether, the CPUs that do come first.
    away = sorted(first_threads_first(theirs, here), key=lambda cpu: here[cpu].memory in memories)
    generator = tuple(sorted(away[: _generators(servers)]))
    spare = _spare(here, server, generator)[: allowed - servers - len(generator)]
    return CpuSplit(server, generator, tuple(spare), trusted=True, note=_note(here, server, generator))


def _sides(places: Topology, workers: int, allowed: int) -> tuple[list[int], list[int]]:
    """The CPUs among which server and generator may have theirs, so that the server has as many as it can."""
    cores = _groups(places, lambda place: place.core)
    cores.sort(key=lambda core: (places[core[0]].memory, core[0]))
    if len(cores) == 1:
        (threads,) = cores
        halves = ((threads[:n], threads[n:]) for n in range(1, len(threads)))
        return max(halves, key=lambda sides: _fitting(sides[0], sides[1], workers, allowed))

    def served(first: int) -> tuple[int, int, int]:
        """How good it is that the server has the first cores: CPUs before cores of its own for each."""
        found = _fitting(_flat(cores[:first]), _flat(cores[first:]), workers, allowed)
        return found, min(found, first), -first

    best = max(range(1, len(cores)), key=served)
    most, *_ = served(best)
    for socket in _groups(places, lambda place: place.memory):
        others = [cpu for cpu in places if cpu not in socket]
        if others and _fitting(socket, others, workers, allowed) == most:
            return socket, others
    return _flat(cores[:best]), _flat(cores[best:])


def _fitting(ours: Sequence[int], theirs: Sequence[int], workers: int, allowed: int) -> int:
    """How many CPUs the server can have of ``ours`` if the generator has what that needs of ``theirs``."""
    rate = _SERVERS_PER_GENERATOR
    return max(1, min(workers, len(ours), rate * len(theirs), rate * allowed // (rate + 1)))


def _generators(servers: int) -> int:
    return -(-servers // _SERVERS_PER_GENERATOR)


def _groups(places: Topology, key: Callable[[Place], object]) -> list[list[int]]:
    """The CPUs that share something, in order."""
    found: dict[object, list[int]] = {}
    for cpu, place in places.items():
        found.setdefault(key(place), []).append(cpu)
    return list(found.values())


def _flat(groups: Iterable[Iterable[int]]) -> list[int]:
    return [cpu for group in groups for cpu in group]


def as_good(cpus: Sequence[int], others: Iterable[int], places: Topology) -> list[tuple[int, ...]]:
    """The ways to have as many CPUs as these, of their memory: they come first, then groups of ``others``.

    A program that starts on any of them finds the same number of CPUs, and has its memory in the same place.
    """
    memories = {places[cpu].memory for cpu in cpus}
    free = [cpu for cpu in others if {places[cpu].memory} == memories]
    size = len(cpus)
    groups = [tuple(free[first : first + size]) for first in range(0, len(free), size)]
    return [tuple(cpus), *(group for group in groups if len(group) == size)]


def first_threads_first(cpus: Iterable[int], places: Topology) -> list[int]:
    """The CPUs with the first thread of every core before any second one."""
    seen: Counter[str] = Counter()
    rank: dict[int, int] = {}
    for cpu in cpus:
        rank[cpu] = seen[places[cpu].core]
        seen[places[cpu].core] += 1
    return sorted(rank, key=lambda cpu: rank[cpu])


def _spare(places: Topology, server: Sequence[int], generator: Sequence[int]) -> list[int]:
    """The CPUs of the suite's own work: away from the server's memory, or at least from both sides' cores.

    If there are none, threads beside the generator's: they take from what the ceiling shows.
    """
    cores, memories = ({getattr(places[cpu], kind) for cpu in server} for kind in ("core", "memory"))
    beside = {places[cpu].core for cpu in generator}
    others = [cpu for cpu, at in places.items() if at.core not in cores and cpu not in generator]
    free = [cpu for cpu in others if places[cpu].core not in beside]
    away = [cpu for cpu in free if places[cpu].memory not in memories]
    return away or free or others


def _note(places: Topology, server: Sequence[int], generator: Sequence[int]) -> str | None:
    """What about a split spoils the numbers."""
    cores, memories = (
        [{getattr(places[cpu], kind) for cpu in side} for side in (server, generator)]
        for kind in ("core", "memory")
    )
    notes = []
    if cores[0] & cores[1]:
        notes.append("server and generator are threads of one physical core")
    if memories[0] & memories[1] and len({place.memory for place in places.values()}) > 1:
        notes.append("server and generator share a socket's memory")
    if len(cores[0]) < len(server) and not cores[0] & cores[1]:
        notes.append(f"beyond {len(cores[0])} workers, two have threads of one core")
    return "; ".join(notes) or None


def split_here(workers: int, say: Callable[[str], None] = lambda _note: None) -> CpuSplit:
    """Share out the CPUs this process may use; ``say`` gets the note on what spoils the numbers."""
    usable = sorted(os.sched_getaffinity(0))
    found = split(usable, quota(), workers, topology.read(usable))
    if found.note:
        say(f"note: {found.note}")
    return found


def split_beside_external(say: Callable[[str], None] = lambda _note: None) -> CpuSplit:
    """Share out the CPUs beside an external server, which runs wherever it does.

    If that is here, it has the CPUs that a server of the suite would have, as far as the generator leaves
    others.
    """
    here = split_here(len(os.sched_getaffinity(0)))
    spare = () if here.server == here.generator else (*here.server, *here.spare)
    note = "the server is not pinned: if it runs on this machine, it may run on the generator's CPUs"
    note = f"{here.note}; {note}" if here.note else note
    say(f"note: {note}")
    return CpuSplit((), here.generator, spare, here.trusted, note)


@contextlib.contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keep the calling thread, and the threads it starts, on some CPUs meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def quota(proc: Path = cgroups.OF_PROCESS, root: Path = cgroups.ROOT) -> float | None:
    """How many CPUs' worth of time the control groups of this process allow; ``None`` without a limit.

    By ``cpu.max`` in version 2, by ``cpu.cfs_quota_us`` in version 1.
    """
    limits = [_limit(group) for group in cgroups.around("cpu", proc, root)]
    return min((limit for limit in limits if limit is not None), default=None)


def _limit(group: Path) -> float | None:
    """The limit of one control group, in CPUs."""
    try:
        if (group / "cpu.max").exists():
            quota_us, period_us = (group / "cpu.max").read_text().split()
        else:
            quota_us = (group / "cpu.cfs_quota_us").read_text().strip()
            period_us = (group / "cpu.cfs_period_us").read_text().strip()
    except OSError:  # the group is not visible from inside its container
        return None
    return None if quota_us in ("max", "-1") else int(quota_us) / int(period_us)
