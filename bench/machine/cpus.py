"""Which CPUs the server gets and which the load generator, so that neither takes from the other."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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

    def record(self) -> dict[str, Any]:
        """The ``cpu_split`` object of ``run.json``."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @property
    def own(self) -> tuple[int, ...]:
        """The CPUs of the suite's own work: a spare one, else the generator's, never the server's."""
        return self.spare or self.generator


def split(usable: Sequence[int], quota: float | None, workers: int, cores: dict[int, str]) -> CpuSplit:
    """Share out the ``usable`` CPUs for servers of up to ``workers`` workers.

    ``quota`` is how many CPUs' time the control group allows (``None``: no limit), ``cores`` names the
    physical core of each CPU. Threads of one core are used last, and the server comes first: on four
    CPUs with one worker, server [0], generator [1], spare [2, 3].
    """
    ordered = _distinct_cores_first(usable, cores)
    if quota is not None and quota < len(ordered):
        ordered = ordered[: max(1, int(quota))]
    if len(ordered) == 1:
        alone = (ordered[0],)
        note = "one CPU for both server and generator: they take from each other"
        return CpuSplit(alone, alone, (), trusted=False, note=note)
    servers = max(n for n in range(1, len(ordered)) if n == 1 or n + _generators(n) <= len(ordered))
    servers = min(servers, workers)
    generators = _generators(servers)
    server = tuple(ordered[:servers])
    generator = tuple(ordered[servers : servers + generators])
    shared = {cores.get(cpu, str(cpu)) for cpu in server} & {cores.get(cpu, str(cpu)) for cpu in generator}
    siblings = "server and generator are threads of one physical core" if shared else None
    return CpuSplit(server, generator, tuple(ordered[servers + generators :]), trusted=True, note=siblings)


def _generators(servers: int) -> int:
    return -(-servers // _SERVERS_PER_GENERATOR)


def _distinct_cores_first(usable: Sequence[int], cores: dict[int, str]) -> list[int]:
    """The CPUs with the first thread of every core before any second one."""
    seen: dict[str, int] = {}
    rank: dict[int, int] = {}
    for cpu in sorted(usable):
        core = cores.get(cpu, str(cpu))
        rank[cpu] = seen[core] = seen.get(core, -1) + 1
    return sorted(usable, key=lambda cpu: (rank[cpu], cpu))


def split_here(workers: int, say: Callable[[str], None] = lambda _note: None) -> CpuSplit:
    """Share out the CPUs this process may use; ``say`` gets the note on what spoils the numbers."""
    usable = sorted(os.sched_getaffinity(0))
    found = split(usable, quota(), workers, {cpu: _core(cpu) for cpu in usable})
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


def _core(cpu: int) -> str:
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return siblings.read_text().strip()
    except OSError:  # not told (some containers): take every CPU for a core of its own
        return str(cpu)


def quota(proc: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """How many CPUs' worth of time the control groups of this process allow; ``None`` without a limit.

    Looks at this process's group and those around it, in version 2 (``cpu.max``) and version 1
    (``cpu.cfs_quota_us``) hierarchies, where the kernel shows them.
    """
    try:
        groups = [line.split(":", 2) for line in proc.read_text().splitlines()]
    except OSError:
        return None
    limits = []
    for _, controllers, path in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root / "cpu" if controllers else root
        folder = base / path.lstrip("/")
        for group in (folder, *folder.parents):
            if not group.is_relative_to(base):
                break
            limits.append(_limit(group))
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
