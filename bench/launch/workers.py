"""What serve's files say while a server runs: above all which workers were replaced, serve, or ended."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from targets.serving.deploys import FIRST


@dataclass(frozen=True)
class Event:
    """A row of workers.csv; ``time`` in Unix seconds, ``exit_status`` is ``None`` where it is unknown."""

    time: float
    event: str
    pid: int
    role: str
    exit_status: int | None


class Tail:
    """The whole lines that a growing file got since it was last looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def lines(self) -> list[str]:
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            grown = stream.read()
        whole = grown[: grown.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.decode().splitlines()


def read(directory: Path) -> list[Event]:
    """The events in a folder that serve writes to, in their order; a row being written is left out."""
    lines = (directory / "workers.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    return [
        Event(
            float(row["time"]),
            row["event"],
            int(row["pid"]),
            row["role"],
            int(row["exit_status"]) if row["exit_status"] else None,
        )
        for row in csv.DictReader(line for line in lines if line.endswith("\n"))
    ]


def replaced(events: Iterable[Event], workers: int, since: float) -> int:
    """How many workers died since a time (Unix seconds) and have a successor that is ready.

    The first ``workers`` to be ready replace no other. A successor may be ready before the death.
    """
    of_workers = [event for event in events if event.role == "worker"]
    deaths = [event.time for event in of_workers if event.event == "died"]
    successors = sum(event.event == "ready" for event in of_workers) - workers
    alone = max(0, len(deaths) - successors)
    return max(0, sum(time >= since for time in deaths) - alone)


def oldest(events: Iterable[Event]) -> int | None:
    """The pid of the worker that has been ready for longest and is alive, ``None`` without one."""
    serving: dict[int, float] = {}
    for event in events:
        if event.event == "ready":
            serving[event.pid] = event.time
        elif event.event == "died":
            serving.pop(event.pid, None)
    return min(serving, key=lambda pid: serving[pid], default=None)


def renewed(directory: Path) -> list[int]:
    """The pids of the workers that have started with a later release of the app than the first."""
    lines = (directory / "ready.csv").read_text(encoding="utf-8").splitlines()
    announced = (line.split(",") for line in lines)
    return [int(pid) for _, pid, *release in announced if "".join(release) not in ("", FIRST)]


def living(directory: Path) -> list[int]:
    """The pids of all processes of a server that were born and have not died, in the order of their birth."""
    alive: dict[int, None] = {}
    for event in read(directory):
        if event.event == "died":
            alive.pop(event.pid, None)
        else:
            alive[event.pid] = None
    return list(alive)


def last_end(events: Iterable[Event]) -> Event | None:
    """How a server that is gone ended: the death of its manager, or without one that of its last worker."""
    deaths = [event for event in events if event.event == "died"]
    managers = [death for death in deaths if death.role == "manager"]
    workers = [death for death in deaths if death.role == "worker"]
    return next(reversed(managers or workers), None)
