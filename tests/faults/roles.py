"""Which process of a run is which, by its command and by what started it."""

from collections.abc import Iterable, Iterator

import psutil

_BY_WORD = {
    "swarm.session": "generator",
    "swarm.cockpit": "web UI",
    "swarm.generator": "generator there",
    "targets.serve": "serve",
    "bench.launch.remote.there.agent": "agent",
}
_BY_NAME = {
    "nginx": "proxy",
    "postgres": "database",
    "ssh": "ssh",
    "docker": "client",
    "docker-compose": "client",
}
# Programs that become another one, or wait until one ends.
_NOT_YET = ("tether.py", "guard.py")


def living(processes: list[psutil.Process]) -> Iterator[psutil.Process]:
    """Those that have not ended, reaped or not."""
    for process in processes:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.NoSuchProcess:
            continue


def role(process: psutil.Process) -> str | None:
    """What a process is to a run; `None`: nothing of its own, or it has ended."""
    try:
        words, name = process.cmdline(), process.name()
        if any(word.endswith(_NOT_YET) for word in words):
            return None
        # By its name first: clients and ssh have the words of what they have started.
        own = _BY_NAME.get(name) or next((_BY_WORD[word] for word in words if word in _BY_WORD), None)
        if own is not None:
            return own
        parent = process.parent()
        above = None if parent is None else role(parent)
        if above == "serve":
            return "manager" if process.children() else "worker"
        return "worker" if above in ("manager", "worker") else None
    except psutil.NoSuchProcess:
        return None


def below(process: psutil.Process) -> list[psutil.Process]:
    """All that a process has started and that lives, theirs included."""
    return list(living(process.children(recursive=True)))


def playing(wanted: str, others: Iterable[psutil.Process]) -> list[psutil.Process]:
    """The processes below this one, and of others, that have a role."""
    return [process for process in {*below(psutil.Process()), *others} if role(process) == wanted]
