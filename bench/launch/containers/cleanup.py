"""Containers say by labels which checkout and bench started them; what a killed bench left is removed."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from bench.launch.containers.engine import ClientError, Engine
from bench.machine import host
from bench.model.files import ROOT

CHECKOUT_LABEL = "whichworker.checkout"
BENCH_LABEL = "whichworker.bench"

# A client that was interrupted may have asked for a container that is made only afterwards.
_LOOKS = 5
_PROJECT = "whichworker"
_PROJECT_LABEL = "com.docker.compose.project"
# What Docker says of things that are gone, or that are being removed at this moment.
_GONE = ("no such ", "not found", "already in progress", "is not running")


def this_checkout() -> str:
    """A hash of where this checkout lies."""
    return hashlib.sha256(str(ROOT.resolve()).encode()).hexdigest()[:12]


def this_bench() -> str:
    """This process, as no other can be called: boot id, pid and start time (clock ticks since then)."""
    return f"{host.boot()}-{os.getpid()}-{_started(os.getpid())}"


def labels() -> list[str]:
    """The options that put the labels of this bench on a container."""
    values = {CHECKOUT_LABEL: this_checkout(), BENCH_LABEL: this_bench()}
    return [word for name, value in values.items() for word in ("--label", f"{name}={value}")]


def this_project() -> str:
    """The name of this bench's Compose project: networks that Compose makes carry nothing else of ours."""
    return f"{_PROJECT}-{this_checkout()}-{os.getpid()}-{_started(os.getpid())}"


def lives(label: str) -> bool:
    """Whether a bench still runs; ``label`` is what its ``this_bench()`` was."""
    boot, pid, started = label.rsplit("-", 2)
    return boot == host.boot() and _runs(pid, started)


def project_of_the_dead(name: str) -> bool:
    """Whether a project was that of a bench of this checkout that does not run any more."""
    kind, _, rest = name.partition("-")
    words = rest.split("-")
    return kind == _PROJECT and len(words) == 3 and words[0] == this_checkout() and not _runs(*words[1:])


def _runs(pid: str, started: str) -> bool:
    return pid.isdecimal() and _started(int(pid)) == started


def _started(pid: int) -> str | None:
    """When a process started; ``None`` if there is none, or it has ended and is not reaped yet."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name in brackets may hold anything
    return None if state in "ZX" else fields[18]  # field 22 of proc(5)


def is_gone(error: ClientError) -> bool:
    """Whether a command failed only because what it was about is not there, or not running, any more."""
    return all(any(words in line.lower() for words in _GONE) for line in str(error).splitlines())


def remove(engine: Engine, names: Sequence[str]) -> None:
    """Remove containers, running or not, with their volumes; those that are gone already are no error."""
    _try(engine, ["rm", "--force", "--volumes"], names)


def remove_own(engine: Engine) -> None:
    """Remove everything that this bench has started, and what Compose made for it."""
    own = f"label={BENCH_LABEL}={this_bench()}"
    for _ in range(_LOOKS):
        if not (names := engine.docker("ps", "--all", "--quiet", "--filter", own).splitlines()):
            break
        remove(engine, names)
    for kind in ("network", "volume"):
        made = [name for name, project in _made_by_compose(engine, kind) if project == this_project()]
        _try(engine, [kind, "rm"], made)


def remove_leftovers(engine: Engine) -> int:
    """Remove what killed benches of this checkout left; returns how many containers that was."""
    ours = f"label={CHECKOUT_LABEL}={this_checkout()}"
    shown = f'{{{{.ID}}}} {{{{.Label "{BENCH_LABEL}"}}}}'
    listed = engine.docker("ps", "--all", "--filter", ours, "--format", shown).splitlines()
    dead = [name for name, _, bench in (line.partition(" ") for line in listed) if not lives(bench)]
    remove(engine, dead)
    for kind in ("network", "volume"):
        made = [name for name, project in _made_by_compose(engine, kind) if project_of_the_dead(project)]
        _try(engine, [kind, "rm"], made)
    return len(dead)


def _made_by_compose(engine: Engine, kind: str) -> list[tuple[str, str]]:
    """The networks or volumes that Compose made, each with the project it was for."""
    shown = f'{{{{.Name}}}} {{{{.Label "{_PROJECT_LABEL}"}}}}'
    listed = engine.docker(kind, "ls", "--filter", f"label={_PROJECT_LABEL}", "--format", shown)
    return [(name, project) for name, _, project in (line.partition(" ") for line in listed.splitlines())]


def _try(engine: Engine, command: Sequence[str], names: Sequence[str]) -> None:
    if not names:
        return
    try:
        engine.docker(*command, *names)
    except ClientError as error:
        if not is_gone(error):
            raise
