"""What a server did in each second, read from serve's files as they grow.

The CPU time of a second is that between its edges on the lines through the samples next to them, as the
analysis has it for windows; so what the web UI shows is what the files say.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from bench.launch import workers
from bench.stats.counters import at

# Deaths that are told of: the page shows the last one.
_DEATHS = 20


@dataclass(frozen=True)
class _Row:
    """A row of processes.csv; memory is ``None`` in samples that took CPU time only."""

    time: float
    pid: int
    role: str
    cpu_s: float
    rss_bytes: int | None


Curve = list[tuple[float, float]]


class Meter:
    """Meters one server, by the folder that serve writes to."""

    def __init__(self, directory: Path, count: int, since: float) -> None:
        """``count`` is its number of workers; the first whole second is that after ``since`` (Unix)."""
        self._directory = directory
        self._count = count
        self._tail = workers.Tail(directory / "processes.csv")
        self._next = ceil(since)
        self._curves: dict[int, Curve] = {}
        self._memory: list[tuple[float, dict[int, int]]] = []
        self._complete = self._newest = float("-inf")

    def seconds(self) -> Iterator[dict[str, Any]]:
        """The ``server`` lines of the seconds that have been sampled to their end since the last call."""
        events = workers.read(self._directory)
        self._read({each.pid: each.time for each in events if each.event == "born"})
        while self._complete >= self._next + 1:
            yield self._second(self._next, events)
            self._next += 1

    def _read(self, births: dict[int, float]) -> None:
        for line in self._tail.lines():
            row = _parsed(line)
            if row is None or row.role == "meter":
                continue
            if row.time > self._newest:  # the rows of the sample before are all there
                self._complete, self._newest = self._newest, row.time
            born = min(births.get(row.pid, row.time), row.time)
            self._curves.setdefault(row.pid, [(born, 0.0)]).append((row.time, row.cpu_s))
            if row.rss_bytes is not None:
                self._remember(row.time, row.pid, row.rss_bytes)

    def _remember(self, time: float, pid: int, rss_bytes: int) -> None:
        if not self._memory or self._memory[-1][0] != time:
            self._memory.append((time, {}))
        self._memory[-1][1][pid] = rss_bytes

    def _second(self, second: int, events: list[workers.Event]) -> dict[str, Any]:
        end = second + 1
        used = {pid: grown(curve, second, end) for pid, curve in self._curves.items()}
        memory = self._memory_until(end)
        happened = [each for each in events if each.time <= end]
        self._forget(end)
        return {
            "second": second,
            "cpu_s": sum(used.values()),
            "rss_bytes": sum(memory.values()) if memory else None,
            "workers": [
                each | {"cpu": used.get(each["pid"]), "rss_bytes": memory.get(each["pid"])}
                for each in alive(happened)
            ],
            "restarts": workers.replaced(happened, self._count, float("-inf")),
            "deaths": deaths(happened, self._count),
        }

    def _memory_until(self, end: float) -> dict[int, int]:
        known = [sizes for time, sizes in self._memory if time < end]
        return known[-1] if known else {}

    def _forget(self, end: float) -> None:
        """Drop what no later second needs: the last point before its begin is the first that it does."""
        for pid, curve in list(self._curves.items()):
            del curve[: max(0, bisect_right(curve, (end, float("inf"))) - 1)]
            if curve[-1][0] < end:  # it has died
                del self._curves[pid]
        older = [index for index, (time, _) in enumerate(self._memory) if time < end]
        del self._memory[: older[-1] if older else 0]


def grown(curve: Curve, start: float, end: float) -> float:
    """How much a counter grew between two moments; it stands still before its first and after its last."""
    times, values = zip(*curve, strict=True)
    return at(times, values, end) - at(times, values, start)


def alive(events: list[workers.Event]) -> list[dict[str, Any]]:
    """The workers that serve: ready and not dead, oldest first, with when they were born and ready."""
    born: dict[int, float] = {}
    serving: dict[int, dict[str, Any]] = {}
    for each in events:
        if each.event == "born":
            born[each.pid] = each.time
        elif each.event == "ready":
            birth = born.get(each.pid, each.time)
            serving[each.pid] = {"pid": each.pid, "born": birth, "ready": each.time}
        else:
            serving.pop(each.pid, None)
    return sorted(serving.values(), key=lambda each: (each["ready"], each["pid"]))


def deaths(events: list[workers.Event], count: int) -> list[dict[str, Any]]:
    """The last workers that died: when, which, how, and when the successor was ready (``None``: not yet).

    The first ``count`` workers have no predecessor; after that, the n-th succeeds the n-th that died.
    """
    successors = [each.time for each in events if each.event == "ready"][count:]
    died = [each for each in events if each.event == "died" and each.role == "worker"]
    return [
        {
            "time": each.time,
            "pid": each.pid,
            "exit_status": each.exit_status,
            "successor": successors[index] if index < len(successors) else None,
        }
        for index, each in enumerate(died)
    ][-_DEATHS:]


def _parsed(line: str) -> _Row | None:
    """A row of the table; ``None`` for its header."""
    time, pid, role, cpu_s, rss, *_ = line.split(",")
    if time == "time":
        return None
    return _Row(float(time), int(pid), role, float(cpu_s), int(rss) if rss else None)
