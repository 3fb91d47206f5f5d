"""Facts about the machine a run was measured on, and its CPU time while it was."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import resource
import shutil
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records.columns import FILES

HOST_FIELDS = tuple(FILES["host"].types)

# Descriptors a process needs besides one for each user: libraries, logs, listening sockets, pipes.
SPARE_FILES = 256
# Those it holds for each other process beside it: Granian's first one five for a worker, others fewer.
_FILES_PER_PROCESS = 8


def facts() -> dict[str, Any]:
    """The ``host`` object of ``run.json``."""
    return {
        "hostname": platform.node(),
        "machine_id": _machine_id(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "container": any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv")),
    }


def _machine_id() -> str:
    """An application-specific hash: machine-id(5) asks that the identifier itself is kept private."""
    try:
        identity = Path("/etc/machine-id").read_text().strip()
    except OSError:
        identity = ""
    return hashlib.sha256(f"whichworker {identity or platform.node()}".encode()).hexdigest()[:16]


def boot() -> str:
    """What tells this machine, since it was started, from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model"):
                return value.strip()
    return platform.machine()


def suite_versions() -> dict[str, Any]:
    """The ``suite`` object of ``run.json``: this interpreter and what the suite directly depends on."""
    return {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in suite_packages()},
    }


def suite_packages(requirements: Path = ROOT / "requirements" / "suite.txt") -> list[str]:
    """The names of the packages that the suite directly depends on."""
    return sorted(line.split("==")[0] for line in requirements.read_text().splitlines() if "==" in line)


def git_state() -> dict[str, Any] | None:
    """The revision the suite is at, or ``None`` where it is no git checkout or git is missing."""
    if shutil.which("git") is None:
        return None
    try:
        revision = _git("rev-parse", "HEAD").strip()
        dirty = bool(_git("status", "--porcelain").strip())
    except subprocess.CalledProcessError:
        return None
    return {"revision": revision, "dirty": dirty}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def open_file_limits() -> tuple[int, int]:
    """The soft and the hard limit of open files."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def open_files(users: int, processes: int = 0) -> int:
    """How many files one process of a server or generator of so many processes may have open."""
    return users + SPARE_FILES + _FILES_PER_PROCESS * processes


def allow_open_files(users: int, processes: int = 0) -> None:
    """Raise the soft limit so that server and generator, which inherit it, can hold so many connections.

    Any process may get all of them. ``processes`` is how many server and generator have together.

    Raises:
        UserError: the hard limit is too low for that.
    """
    needed = open_files(users, processes)
    soft, hard = open_file_limits()
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UserError(
            f"too few open files: {users} users need {needed}, the hard limit here is {hard}.\n"
            f"Raise it (ulimit -Hn {needed} as root, or LimitNOFILE), or ask for fewer: USERS={hard // 2}"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def cpu_times(stat: Path = Path("/proc/stat")) -> list[tuple[int, tuple[float, ...]]]:
    """Cumulative CPU seconds of every CPU, in the order of ``HOST_FIELDS`` from ``user_s`` on."""
    tick = os.sysconf("SC_CLK_TCK")
    rows: list[tuple[int, tuple[float, ...]]] = []
    for line in stat.read_text().splitlines():
        name, *values = line.split()
        if not name.startswith("cpu") or name == "cpu":
            continue
        user, nice, system, idle, iowait, irq, softirq, steal = (int(v) / tick for v in values[:8])
        rows.append((int(name[3:]), (user + nice, system, idle, iowait, irq, softirq, steal)))
    return rows


class Sampler(threading.Thread):
    """Takes a sample at every multiple of ``every_s`` seconds of Unix time, while its context lasts."""

    def __init__(self, name: str, every_s: float) -> None:
        super().__init__(name=name, daemon=True)
        self._every_s = every_s
        self._ending = threading.Event()

    def sample(self) -> None:
        """Take one sample now."""
        raise NotImplementedError

    def run(self) -> None:
        """Sample until the context is left; a sample that cannot be taken is missing."""
        while not self._ending.wait(self._every_s - time.time() % self._every_s):
            # No descriptor is free, say: whoever works here meets that as well, and tells of it.
            with contextlib.suppress(OSError):
                self.sample()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self.join()


class HostSampler(Sampler):
    """Samples ``/proc/stat`` at every whole second, where measured windows begin and end.

    Keeps the last two hours, more than the longest cell, in memory; ``rows`` gives a part of them.
    """

    def __init__(self) -> None:
        super().__init__("host-sampler", 1.0)
        self._rows: deque[tuple[float, list[str]]] = deque(maxlen=7200)

    def sample(self) -> None:
        """Take one sample now."""
        now = time.time()
        lines = []
        for cpu, seconds in cpu_times():
            lines.append(",".join((f"{now:.3f}", str(cpu), *(f"{value:.2f}" for value in seconds))))
        self._rows.append((now, lines))

    def rows(self, start: float, end: float) -> list[str]:
        """The CSV lines sampled between two times, oldest first."""
        samples = list(self._rows)
        return [line for at, lines in samples if start <= at <= end for line in lines]
