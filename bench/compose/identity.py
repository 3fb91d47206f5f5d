"""Whose a container is: the checkout and the bench that started it, and whether that bench still lives."""

import hashlib
import os
from pathlib import Path

from bench.processes import ROOT

CHECKOUT_LABEL = "whichworker.checkout"
BENCH_LABEL = "whichworker.bench"

_PROJECT = "whichworker"


def checkout() -> str:
    """A hash of where this checkout lies."""
    return hashlib.sha256(str(ROOT.resolve()).encode()).hexdigest()[:12]


def bench() -> str:
    """This process, as no other can be called: boot id, pid and start time (clock ticks since then)."""
    return f"{_boot()}-{os.getpid()}-{_started(os.getpid())}"


def project() -> str:
    """The name of this bench's Compose project: networks that Compose makes carry nothing else of ours."""
    return f"{_PROJECT}-{checkout()}-{os.getpid()}-{_started(os.getpid())}"


def lives(label: str) -> bool:
    """Whether a bench still runs; ``label`` is what its ``bench()`` was."""
    boot, pid, started = label.rsplit("-", 2)
    return boot == _boot() and _runs(pid, started)


def project_of_the_dead(name: str) -> bool:
    """Whether a project was that of a bench of this checkout that does not run any more."""
    kind, _, rest = name.partition("-")
    words = rest.split("-")
    return kind == _PROJECT and len(words) == 3 and words[0] == checkout() and not _runs(*words[1:])


def _runs(pid: str, started: str) -> bool:
    return pid.isdecimal() and _started(int(pid)) == started


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> str | None:
    """When a process started; ``None`` if there is none, or it has ended and is not reaped yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
    return None if state in "ZX" else fields[18]  # field 22 of proc(5)
