"""What is done to a run: to one of its processes, to all of them, or to what is around them.

A strike is a registered function. What it changes for longer than a moment it undoes by its scene's `undone`,
before anybody goes on with the run.
"""

import os
import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.faults import surroundings
from tests.faults.kinds import Kind, Running, Stage
from tests.faults.roles import below, playing
from tests.patience import wait_until

# Far below what any process of a run opens, needs, or writes.
_FILE_BYTES = 512
_MORE_BYTES = 1 << 20


@dataclass
class Scene:
    """A run that is struck: on its stage, at one of its processes, for so many seconds.

    `silent` are the signals by which it may end without a word; `second` is another command of the same run.
    """

    stage: Stage
    running: Running
    target: psutil.Process | None
    seconds: float
    undone: ExitStack
    silent: set[int] = field(default_factory=set)
    second: Running | None = None

    @property
    def family(self) -> list[psutil.Process]:
        """The command and all below it, what has started first first."""
        own = psutil.Process(self.running.process.pid)
        return [own, *below(own)]


@dataclass(frozen=True)
class Strike:
    """`on`: the roles of what it strikes, `None`: the whole run. `words` are what is said of it besides.

    `disk` names the file system that it needs; with a `clock` the run has one of its own. Some strike only
    `runs`, not the web UI. A command that it `cripples` need not tidy up: the next one does.
    """

    do: Callable[[Scene], None]
    on: tuple[str, ...] | None
    words: str = "$^"
    disk: str | None = None
    clock: bool = False
    runs: bool = False
    cripples: bool = False
    lacks: Callable[[], str | None] = lambda: None


_OTHERS = (
    *("generator", "serve", "manager", "worker", "proxy", "database", "web UI"),
    *("ssh", "agent", "generator there", "client"),
)
_ALL = ("bench", *_OTHERS)
STRIKES: dict[str, Strike] = {}
"""By their names in the table."""

# What is said where a process with a role has ended, or does not answer any more.
OF_ROLE = {
    "bench": r"interrupted|error: |the load was stopped",
    "generator": r"load generator (died|ended|did not|was not)|no server is left",
    "serve": r"server ended by itself|did not start|no server is left|died twice",
    "manager": r"server ended by itself|did not start|no server is left|died twice",
    "worker": r"server ended by itself|did not start|no server is left|died twice|no request",
    "proxy": r"nginx",
    "database": r"database|PostgreSQL",
    "web UI": r"web UI|generator",
    "ssh": r"there: |generator there",
    "agent": r"there: |generator there",
    "generator there": r"there: |generator",
    "client": r"server ended by itself|did not start|container|docker",
}


def strike(name: str, **keys: object) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
    """Register what strikes under a name."""

    def register(do: Callable[[Scene], None]) -> Callable[[Scene], None]:
        STRIKES[name] = Strike(do, **keys)
        return do

    return register


# -- One process


def _send(scene: Scene, *numbers: int, pause_s: float = 0.0) -> None:
    """Send a process signals; one that has ended meanwhile is met no more."""
    if scene.target is not None and scene.target.pid == scene.running.process.pid:
        scene.silent.update(numbers)
    for number in numbers:
        with suppress(psutil.NoSuchProcess):
            scene.target.send_signal(number)
        time.sleep(pause_s if number != numbers[-1] else 0.0)


@strike("killed", on=_ALL)
def _killed(scene: Scene) -> None:
    _send(scene, signal.SIGKILL)


@strike("terminated", on=_ALL)
def _terminated(scene: Scene) -> None:
    _send(scene, signal.SIGTERM)


@strike("hung up", on=_ALL)
def _hung_up(scene: Scene) -> None:
    _send(scene, signal.SIGHUP)


@strike("interrupted", on=_ALL)
def _interrupted(scene: Scene) -> None:
    _send(scene, signal.SIGINT)


@strike("frozen for seconds", on=_ALL)
def _frozen(scene: Scene) -> None:
    _send(scene, signal.SIGSTOP, signal.SIGCONT, pause_s=scene.seconds)


@strike("frozen, then killed", on=_ALL)
def _frozen_and_killed(scene: Scene) -> None:
    _send(scene, signal.SIGSTOP, signal.SIGKILL, pause_s=scene.seconds)


@strike("frozen for good", on=_OTHERS)
def _frozen_for_good(scene: Scene) -> None:
    _send(scene, signal.SIGSTOP)


@strike("interrupted, then killed", on=("bench",))
def _impatient(scene: Scene) -> None:
    _send(scene, signal.SIGINT, signal.SIGKILL, pause_s=scene.seconds / 10)


def _limit(scene: Scene, what: int, value: int) -> None:
    with suppress(ProcessLookupError):
        _, hard = resource.prlimit(scene.target.pid, what)
        resource.prlimit(scene.target.pid, what, (value, hard))


@strike("without descriptors", on=_ALL, words=r"[Tt]oo many open files", cripples=True)
def _without_descriptors(scene: Scene) -> None:
    with suppress(psutil.NoSuchProcess, FileNotFoundError):
        used = {int(path.name) for path in Path(f"/proc/{scene.target.pid}/fd").iterdir()}
        _limit(scene, resource.RLIMIT_NOFILE, next(each for each in range(len(used) + 1) if each not in used))


@strike("without memory", on=_OTHERS, words=r"[Mm]emory", cripples=True)
def _without_memory(scene: Scene) -> None:
    with suppress(psutil.NoSuchProcess):
        _limit(scene, resource.RLIMIT_AS, scene.target.memory_info().vms + _MORE_BYTES)


@strike("no room for a file", on=("bench", "generator", "serve"), words=r"no space left|File too large")
def _without_room(scene: Scene) -> None:
    _limit(scene, resource.RLIMIT_FSIZE, _FILE_BYTES)


# -- All of them


def _group(scene: Scene, *numbers: int) -> None:
    """What a terminal sends: to the process group of the command, which is its own."""
    scene.silent.update(numbers)
    for number in numbers:
        with suppress(ProcessLookupError):
            os.killpg(scene.running.process.pid, number)
        time.sleep(scene.seconds / 20)


@strike("Ctrl-C", on=None, runs=True)
def _ctrl_c(scene: Scene) -> None:
    _group(scene, signal.SIGINT)


@strike("Ctrl-C twice", on=None, runs=True)
def _ctrl_c_twice(scene: Scene) -> None:
    _group(scene, signal.SIGINT, signal.SIGINT)


@strike("closed terminal", on=None, runs=True)
def _closed_terminal(scene: Scene) -> None:
    _group(scene, signal.SIGHUP, signal.SIGCONT)


@strike("suspended", on=None)
def _suspended(scene: Scene) -> None:
    """As a machine that sleeps: nothing of the run goes on for a while, and then all of it."""
    family = scene.family
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        time.sleep(scene.seconds if number == signal.SIGSTOP else 0)


@strike(
    "out of memory",
    on=None,
    words=r"SIGKILL|ended|died|[Mm]emory",
    cripples=True,
    lacks=surroundings.why_no_limit,
)
def _out_of_memory(scene: Scene) -> None:
    """The kernel kills what it likes to of the run, for it may have no more memory than it has."""
    scene.silent.add(signal.SIGKILL)
    scene.undone.enter_context(surroundings.memory_limited(scene.family))


# -- What is around them


@strike("disk full", on=None, disk="small", words=r"[Nn]o space left", lacks=surroundings.why_no_mount)
def _disk_full(scene: Scene) -> None:
    scene.undone.enter_context(surroundings.filled(scene.stage.results))


@strike(
    "disk read-only",
    on=None,
    disk="failing",
    words=r"[Rr]ead-only",
    cripples=True,
    lacks=surroundings.why_no_disk,
)
def _disk_read_only(scene: Scene) -> None:
    scene.undone.enter_context(surroundings.read_only(scene.stage.results))


@strike("folder removed", on=None, runs=True, words=r"error: .* was removed", cripples=True)
def _removed(scene: Scene) -> None:
    for run in scene.stage.results.iterdir():
        shutil.rmtree(run, ignore_errors=True)


@strike("a second run", on=None, runs=True)
def _second(scene: Scene) -> None:
    """Somebody gives the same command again; where it names the run, it is refused."""
    runs = scene.stage.runs
    scene.second = scene.stage.begin(*(["--resume", runs[-1].name] if runs else []))
    wait_until(lambda: scene.second.over or scene.running.over, "one of two ends")


def _sets_clock(name: str, by_s: Callable[[Scene], float]) -> None:
    """Register a clock that is set by some seconds, and stays so."""

    @strike(name, on=None, clock=True, words="the clock of this machine", lacks=surroundings.why_no_clock)
    def _set(scene: Scene) -> None:
        surroundings.set_clock(scene.stage.folder, by_s(scene))


_sets_clock("clock back by seconds", lambda scene: -scene.seconds)
_sets_clock("clock forth by seconds", lambda scene: scene.seconds)
_sets_clock("clock back by an hour", lambda _scene: -3600.0)
_sets_clock("clock forth by an hour", lambda _scene: 3600.0)


def choices(kind: Kind) -> Iterator[tuple[str, str | None]]:
    """What can be done to a kind of run: the name of a strike, and the role of whom it strikes."""
    for name, found in STRIKES.items():
        if (found.runs and not kind.is_run) or (found.disk and not kind.disks):
            continue
        if found.clock and not kind.clock:
            continue
        yield from (
            [(name, None)] if found.on is None else [(name, each) for each in found.on if each in kind.roles]
        )


def targets(role: str | None, running: Running, stage: Stage) -> list[psutil.Process]:
    """What a strike may meet at this moment, the oldest first."""
    if role in (None, "bench"):
        return [] if running.over else [psutil.Process(running.process.pid)]
    return sorted(playing(role, stage.where.others()), key=lambda process: process.pid)
