"""How CPUs share cores, sockets and memory, as the kernel tells, or as a machine would have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.model.errors import UsageError

DEVICES = Path("/sys/devices/system")


@dataclass(frozen=True)
class Place:
    """Where a CPU is: which of them are threads of one core, and which have memory nearest to them all.

    ``memory`` is a socket with memory of its own. Sockets without, as a virtual machine has whose every CPU
    is one, are one place.
    """

    core: str
    memory: int = 0


Topology = Mapping[int, Place]


def read(cpus: Iterable[int], devices: Path = DEVICES) -> dict[int, Place]:
    """The places of some CPUs; one of which nothing is told (in some containers) is a core of its own."""
    numbers = sorted(cpus)
    sockets = {cpu: _number(_told(cpu, "physical_package_id", devices)) for cpu in numbers}
    memories = _memories(sockets, _nodes(devices) or [set(numbers)])
    return {
        cpu: Place(_told(cpu, "thread_siblings_list", devices) or str(cpu), memories[sockets[cpu]])
        for cpu in numbers
    }


def imagined(cpus: int, sockets: int = 1, threads_per_core: int = 1) -> dict[int, Place]:
    """The places on a machine that is not here, numbered as Linux does: first threads before second ones.

    Raises:
        UsageError: so many CPUs cannot be so many sockets of cores with so many threads.
    """
    cores = cpus // threads_per_core
    if cores * threads_per_core != cpus or cores % sockets:
        raise UsageError(
            f"{cpus} CPUs cannot be {sockets} sockets of whole cores with {threads_per_core} threads: "
            f"ask for a multiple of {sockets * threads_per_core}"
        )
    return {cpu: Place(str(cpu % cores), cpu % cores // (cores // sockets)) for cpu in range(cpus)}


def described(topology: Topology) -> str:
    """CPUs, cores and sockets in words."""
    cores, memories = ({getattr(each, kind) for each in topology.values()} for kind in ("core", "memory"))
    shared = "" if len(memories) < 2 else f", {len(memories)} sockets with memory of their own"
    return f"{_counted(len(topology), 'CPU')}, {_counted(len(cores), 'core')}{shared}"


def ranges(cpus: Sequence[int]) -> str:
    """Numbers as the kernel lists them: ``0-3,8``."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _memories(sockets: Mapping[int, int], nodes: Sequence[set[int]]) -> dict[int, int]:
    """The number of the memory of each socket: sockets that one node of memory spans share theirs."""
    memory = {socket: socket for socket in sockets.values()}
    for node in nodes:
        spanned = {memory[sockets[cpu]] for cpu in node if cpu in sockets}
        memory = {socket: min(spanned) if own in spanned else own for socket, own in memory.items()}
    return memory


def _nodes(devices: Path) -> list[set[int]]:
    """The CPUs of each node of memory; none where the kernel knows no nodes."""
    return [set(_listed(file.read_text())) for file in sorted(devices.glob("node/node[0-9]*/cpulist"))]


def _listed(text: str) -> Iterator[int]:
    """The numbers of a list such as ``0-3,8``."""
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _told(cpu: int, name: str, devices: Path) -> str | None:
    try:
        return (devices / f"cpu/cpu{cpu}/topology/{name}").read_text().strip()
    except OSError:
        return None


def _number(text: str | None) -> int:
    """A socket's number; one that is not told is the first, as is ``-1``: unknown."""
    return max(0, int(text or 0))


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
