"""What the server's processes cost: `processes.csv` and `workers.csv` (see docs/contracts.md)."""

from __future__ import annotations

import csv
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Iterable, List, NamedTuple, TextIO, Tuple

import psutil

from targets.serving.exits import DEAD, PARENT, START, STATE, ExitWatch, stat_of

PROCESSES = ("time", "pid", "role", "cpu_s", "rss_bytes", "pss_bytes", "descriptors", "threads")
WORKERS = ("time", "event", "pid", "role", "exit_status")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


_Row = Tuple[TextIO, "_Process", List[object]]


class MeteringError(Exception):
    """The metrics cannot be written; the message says which file and why."""


class _Holdings(NamedTuple):
    """Memory (bytes), open files and threads of a process."""

    rss: int | None = None
    pss: int | None = None
    descriptors: int | None = None
    threads: int | None = None


@dataclass
class _Process:
    pid: int
    start: int | None  # ticks after boot: with the pid, the identity of a process
    role: str | None  # None: not known yet
    exit: ExitWatch

    def cpu_s(self) -> float:
        """User and system time of all threads, those that have ended included.

        The process's own CPU clock counts nanoseconds where `/proc/PID/stat` counts hundredths of a
        second. Its number is what clock_getcpuclockid(3) computes: the pid's complement above the
        three bits for "CPUCLOCK_SCHED, of the whole process". Raises `OSError` when it is gone.
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def holdings(self) -> _Holdings:
        """What it holds; None where the system does not tell."""
        try:
            process = psutil.Process(self.pid)
            memory = process.memory_full_info()
            return _Holdings(memory.rss, memory.pss, process.num_fds(), process.num_threads())
        except psutil.Error:
            return _Holdings()


class Meter:
    """Samples the server's processes, given their pids, and records their births and deaths.

    A worker is a process that announced itself (`targets.inside.identity`). Until `settle()` says that all
    workers have done so, nothing can tell a worker that still imports the app from a helper, so rows
    are held back until then.
    """

    def __init__(self, folder: Path, memory_interval: float = 1.0) -> None:
        """Create the files in `folder`; raises `FileExistsError` if they are there already.

        Memory, open files and threads are read in the first sample after every `memory_interval` seconds.
        """
        self._memory_interval = memory_interval
        self.announcements = folder / "ready.csv"
        self._announced = self.announcements.open("x+")
        # Line-buffered, so that readers see whole lines meanwhile.
        self._processes = (folder / "processes.csv").open("x", buffering=1)
        self._workers = (folder / "workers.csv").open("x", buffering=1)
        self._meter = _Process(os.getpid(), 0, "meter", ExitWatch(os.getpid(), None))
        self._known: dict[int, _Process] = {}
        self._held: list[_Row] | None = []
        self._memory_due = 0.0
        self._first_role = "worker"  # of what serve itself starts
        self.roots: set[int] = set()  # what serve itself has started
        self.announced = 0  # workers that have announced themselves, ever
        self.stillborn = 0  # processes that died before `settle()` came, announced or not
        self.stillborn_status: int | None = None  # of the last of them whose exit status could be read
        _write(self._processes, PROCESSES)
        _write(self._workers, WORKERS)

    @property
    def workers(self) -> set[int]:
        """Pids of the living workers that have announced themselves."""
        return {process.pid for process in self._known.values() if process.role == "worker"}

    def sample(self, pids: Iterable[int]) -> None:
        """Append a row for each living process; with what it holds, if it is time for that."""
        self._look_for_deaths_and_births(pids)
        self.read_announcements()
        now = time.time()
        with_memory = now >= self._memory_due
        if with_memory:
            self._memory_due = now + self._memory_interval
        cpu_times = []
        for process in [*self._known.values(), self._meter]:
            try:
                cpu_times.append((process, process.cpu_s()))
            except OSError:
                self.died(process.pid)
        # All clocks are read before any memory, which takes a hundred times as long.
        for process, cpu_s in cpu_times:
            holdings = process.holdings() if with_memory else _Holdings()
            self._record(self._processes, process, [f"{now:.6f}", process.pid, f"{cpu_s:.6f}", *holdings])

    def read_announcements(self) -> None:
        """Record the workers that have announced themselves since."""
        for line in self._announced:
            moment, pid, *_ = line.split(",")
            process = self._known.get(int(pid))
            if process is None:  # born since the last sample, and perhaps dead again
                process = self._born(int(pid), stat_of(int(pid)), float(moment))
            process.role = "worker"
            self.announced += 1
            self._event(float(moment), "ready", process)

    def died(self, pid: int, exit_status: int | None = None) -> None:
        """Record a death, unless it is known already; where no exit status is given, the system is asked."""
        self.read_announcements()  # its own may have come since
        process = self._known.pop(pid, None)
        if process is None:
            return
        if exit_status is None:
            exit_status = process.exit.status()
        process.exit.close()
        if self._held is not None:
            self.stillborn += 1
            if exit_status is not None:  # one that was gone before it was first seen unsays nothing
                self.stillborn_status = exit_status
        self._event(time.time(), "died", process, exit_status)

    def settle(self, pids: Iterable[int], root: int | None) -> None:
        """All workers have announced themselves: the others are the manager (`root`) and helpers."""
        self._look_for_deaths_and_births(pids)
        for process in self._known.values():
            process.role = process.role or ("manager" if process.pid == root else "helper")
            self._first_role = process.role if process.pid == root else self._first_role
        self._memory_due = 0.0  # what a server weighs when it gets ready is worth knowing
        held, self._held = self._held or [], None
        for file, process, values in held:
            process.role = process.role or "helper"
            self._record(file, process, values)

    def close(self) -> None:
        """Close the files."""
        for process in [*self._known.values(), self._meter]:
            process.exit.close()
        for file in (self._announced, self._processes, self._workers):
            # What a full disk refused once, it refuses again.
            with suppress(OSError):
                file.close()

    def _look_for_deaths_and_births(self, pids: Iterable[int]) -> None:
        for process in list(self._known.values()):
            start = _start_of(process.pid)
            if start is None or start != process.start:
                self.died(process.pid)
        for pid in pids:
            stat = None if pid in self._known else stat_of(pid)
            if stat is not None and stat[STATE] not in DEAD:
                self._born(pid, stat)

    def _born(self, pid: int, stat: list[str] | None, announced: float = 0.0) -> _Process:
        """Record a birth, given what the system knew of it (it may be gone by now)."""
        if stat is None:
            start, moment = None, announced  # it has died since; this is the earliest that is known of it
        else:
            start = int(stat[START])
            moment = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + start / _TICKS_PER_S
        role = None if self._held is not None else self._role_of_newborn(pid, stat)
        process = self._known[pid] = _Process(pid, start, role, ExitWatch(pid, start))
        self._event(moment, "born", process)
        return process

    def _role_of_newborn(self, pid: int, stat: list[str] | None) -> str:
        """After `settle()`: what the manager starts is a worker, what a worker starts is not.

        What serve starts again is what its first process was. Where a manager lives, something of unknown
        parents was orphaned, or is dead.
        """
        if pid in self.roots:
            return self._first_role
        parent = self._known.get(int(stat[PARENT])) if stat else None
        if parent is None:
            managed = any(process.role == "manager" for process in self._known.values())
            return "worker" if managed else self._first_role
        return "worker" if parent.role == "manager" else "helper"

    def _event(self, moment: float, event: str, process: _Process, exit_status: int | None = None) -> None:
        self._record(self._workers, process, [f"{moment:.6f}", event, process.pid, exit_status])

    def _record(self, file: TextIO, process: _Process, values: list[object]) -> None:
        """Write a row, given without its role, or hold it back."""
        if self._held is not None:
            self._held.append((file, process, values))
        else:
            place = (PROCESSES if file is self._processes else WORKERS).index("role")
            _write(file, [*values[:place], process.role, *values[place:]])


def _write(file: TextIO, row: Iterable[object]) -> None:
    try:
        csv.writer(file, lineterminator="\n").writerow(row)
    except OSError as error:
        raise MeteringError(f"cannot write {file.name}: {error.strerror}") from error


def _start_of(pid: int) -> int | None:
    """When a living process started, in ticks after boot; None if it is dead."""
    stat = stat_of(pid)
    return None if stat is None or stat[STATE] in DEAD else int(stat[START])
