"""What serve's workers.csv says while a server runs: who was replaced, who serves, how it ended."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Event:
    """A row of workers.csv; ``time`` in Unix seconds, ``exit_status`` is ``None`` where it is unknown."""

    time: float
    event: str
    pid: int
    role: str
    exit_status: int | None


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

    The first ``workers`` to be ready replace nobody. A successor may be ready before the death.
    """
    of_workers = [each for each in events if each.role == "worker"]
    deaths = [each.time for each in of_workers if each.event == "died"]
    successors = sum(each.event == "ready" for each in of_workers) - workers
    alone = max(0, len(deaths) - successors)
    return max(0, sum(time >= since for time in deaths) - alone)


def oldest(events: Iterable[Event]) -> int | None:
    """The pid of the worker that has been ready for longest and is alive, ``None`` without one."""
    serving: dict[int, float] = {}
    for each in events:
        if each.event == "ready":
            serving[each.pid] = each.time
        elif each.event == "died":
            serving.pop(each.pid, None)
    return min(serving, key=lambda pid: serving[pid], default=None)


def last_end(events: Iterable[Event]) -> Event | None:
    """How a server that is gone ended: the death of its manager, or without one that of its last worker."""
    deaths = [each for each in events if each.event == "died"]
    managers = [each for each in deaths if each.role == "manager"]
    workers = [each for each in deaths if each.role == "worker"]
    return next(reversed(managers or workers), None)
