"""The kinds of run that faults meet: plans of a few seconds, and where each of them runs."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.launch.containers.cleanup import CHECKOUT_LABEL, this_checkout
from bench.launch.proxy import installed
from bench.machine.loopback import STEERING
from bench.machine.network import STATE
from bench.model.files import ROOT
from tests import plans
from tests.bench.commands import LIGHT, start_run
from tests.bench.launch.remote.wire import Elsewhere, Wire, kept, namespace, why_not
from tests.bench.studies.cockpit.ui import CATALOGUE, Ui
from tests.compose.real.engine import containers
from tests.patience import LONG_S, wait_until

_OPEN = """
[[scenarios.{scenario}.open]]
rates_per_s = [40, 60]
users = 4
"""
_OPENED = _OPEN.format(scenario="index")
# Servers that start in no time, and what they answer.
_LIGHT = {
    "catalogue": str(LIGHT),
    "locustfiles": str(ROOT / "bench/studies/self_check/known/locustfiles"),
    "loads": _OPEN.format(scenario="answer"),
}
_ROTATED = """
[rotation]
sittings = 2
load_s = 0.3
settle_s = 0.1
slice_s = 0.1
[scenarios.answer]
users = [4]
"""
_RECYCLED = """
[recycling]
max_requests = 40
replacements = 1
requests = 60
[[scenarios.index.open]]
rates_per_s = [80]
users = 4
"""
# Among the first that the command line of bench imports.
_IMPORTED = "_pydantic_core"
_SERVED = ("bench", "generator", "serve", "worker")


@dataclass
class Where:
    """Where commands run: the words of what becomes them, their options, and those that change a plan.

    `left` says what is left there when nothing of a run is.
    """

    through: Sequence[str] = ()
    options: Sequence[str] = ()
    changes: Sequence[str] = ()
    left: Callable[[], list[str]] = list


@contextlib.contextmanager
def _here(_folder: Path) -> Iterator[Where]:
    yield Where()


@contextlib.contextmanager
def _wired(folder: Path) -> Iterator[Where]:
    """With servers on another machine, at the other end of a wire."""
    cpus = sorted(os.sched_getaffinity(0))
    with Wire(folder, there=Elsewhere(kept(folder / "cache"), cpus[:1])) as wire:
        os.environ.update(wire.environment)
        yield Where(wire.here("taskset", "-c", str(cpus[-1])), changes=["--server", "there"])


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """One trial of this checkout at a time."""
    STATE.parent.mkdir(exist_ok=True)
    with STATE.with_name(f"faults-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _contained(_folder: Path) -> Iterator[Where]:
    """In containers, of which the next command removes what a killed one has left."""

    def left() -> list[str]:
        label = f"{CHECKOUT_LABEL}={this_checkout()}"
        return [f"the container {identifier} was left" for identifier in containers(label)]

    with _alone("containers"):
        yield Where(left=left)


@contextlib.contextmanager
def _steered(_folder: Path) -> Iterator[Where]:
    """In a network namespace whose loopback device a run steers as if it were this machine's."""
    with (
        _alone("steered"),
        namespace("--mount", first="mount -t sysfs none /sys && ip link set lo up") as holder,
    ):
        inside = ["nsenter", f"--net=/proc/{holder}/ns/net", f"--mount=/proc/{holder}/ns/mnt"]

        def steering() -> str:
            return subprocess.run([*inside, "cat", str(STEERING)], capture_output=True, text=True).stdout

        def left() -> list[str]:
            changed = [] if steering() == before else [f"lo is steered to {steering()}, as it was not before"]
            return changed + ([f"{STATE} was left"] if STATE.exists() else [])

        before = steering()
        yield Where(
            # Whoever enters another mount namespace is at its root.
            [*inside, "sh", "-c", 'cd "$0" && exec "$@"', str(ROOT)],
            options=["--steer-host-loopback"],
            left=left,
        )


@dataclass(frozen=True)
class Kind:
    """A plan of so many `cells` on so many `servers`, and where it runs; `roles` are those of its processes.

    `lacks` says why it cannot run here. One that was `interrupted` before is gone on with when a fault comes.
    Without `disks` no file system can fail under it. Without a `launcher` the plan has its own.
    """

    plan: str
    cells: int = 2
    servers: int = 1
    roles: tuple[str, ...] = _SERVED
    where: Callable[[Path], contextlib.AbstractContextManager[Where]] = _here
    lacks: Callable[[], str | None] = lambda: None
    interrupted: bool = False
    disks: bool = True
    launcher: str | None = "processes"
    weight: int = 2

    @property
    def is_run(self) -> bool:
        """Whether it is a run, which can be gone on with; else it is the web UI."""
        return bool(self.plan)


def _without_nginx() -> str | None:
    return "nginx is not installed" if installed("nginx") is None else None


def _without_engine() -> str | None:
    if shutil.which("docker") is None:
        return "there is no Docker client"
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return "no Docker engine answers" if asked.returncode else None


KINDS = {
    "run": Kind(plans.tiny("one", "two", **_LIGHT), cells=4, servers=2, weight=3),
    "resume": Kind(plans.tiny("one", "two", **_LIGHT), cells=4, servers=2, interrupted=True),
    "rotation": Kind(plans.tiny("one", "two", **_LIGHT | {"loads": _ROTATED}), cells=6, servers=6, weight=3),
    "recycle": Kind(
        plans.tiny("gunicorn-uvicorn", loads=_RECYCLED, measured_s=20), servers=2, roles=(*_SERVED, "manager")
    ),
    "proxy": Kind(
        plans.tiny("one", proxy="nginx", **_LIGHT),
        roles=(*_SERVED, "proxy"),
        lacks=_without_nginx,
    ),
    "database": Kind(
        plans.tiny("sanic-single", loads=_OPEN.format(scenario="db")), roles=(*_SERVED, "database")
    ),
    "web UI": Kind("", cells=1, roles=("bench", "web UI", "serve", "worker")),
    "remote": Kind(
        plans.tiny("uvicorn", loads=_OPENED),
        roles=(*_SERVED, "ssh", "agent"),
        where=_wired,
        lacks=why_not,
        launcher=None,
    ),
    "steered": Kind(
        plans.tiny("one", **_LIGHT),
        where=_steered,
        lacks=why_not,
        disks=False,  # it has mounts of its own
        weight=1,
    ),
    "containers": Kind(
        plans.tiny("uvicorn", loads=_OPENED),
        roles=("bench", "client"),
        where=_contained,
        lacks=_without_engine,
        launcher="compose",
    ),
}
"""By their names in the table."""


class Running:
    """A command that runs, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str], *, listened: bool = True) -> None:
        """What it says is taken by somebody else if it is not `listened` to."""
        self.process = process
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        if listened:
            self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._lines += iter(self.process.stdout)

    @property
    def imports(self) -> bool:
        """Whether Python has come to the suite's own words, or is over already."""
        with contextlib.suppress(OSError):
            return _IMPORTED in Path(f"/proc/{self.process.pid}/maps").read_text() or self.over
        return True

    @property
    def over(self) -> bool:
        return self.process.poll() is not None

    def end(self) -> int:
        """Wait for its end, which must come; returns the exit status, negative if a signal ended it."""
        try:
            wait_until(lambda: self.over, "the command ends", again_s=0.05)
        except AssertionError as late:
            self.process.send_signal(signal.SIGABRT)  # it says where it is (PYTHONFAULTHANDLER)
            self.process.wait(LONG_S)
            self._reader.join(1)
            raise AssertionError(f"{late}\n{self.said}") from late
        if self._reader.is_alive():
            self._reader.join(LONG_S)
        return self.process.returncode

    @property
    def said(self) -> str:
        return "".join(self._lines)


class _VisitedUi(Ui):
    """A web UI that somebody visits: starts a load, stops it when two seconds are measured, and ends it."""

    def _address(self) -> None:
        """Do not wait: a fault may come before it has one."""

    def visit(self) -> None:
        # Whatever happens to the web UI, the browser loses it; what it was told is in the results.
        with contextlib.suppress(OSError, AssertionError, ValueError):
            self.url = super()._address()
            if self.url is not None and self.start()["success"]:
                self.until(_measured_or_over, "two seconds are measured")
                self.stop()
                self.until(_over, "the load is over")
        self.process.send_signal(signal.SIGINT)


def _over(told: dict[str, Any]) -> bool:
    return bool(told["state"] == "idle")


def _measured_or_over(told: dict[str, Any]) -> bool:
    settled = told["load"] and told["load"]["settled"]
    return _over(told) or bool(settled and time.time() > settled + 3)


class _Visited(Running):
    def __init__(self, ui: _VisitedUi) -> None:
        super().__init__(ui.process, listened=False)
        self._ui = ui
        self._visitor = threading.Thread(target=ui.visit, daemon=True)
        self._visitor.start()

    def end(self) -> int:
        status = super().end()
        self._visitor.join(LONG_S)
        self._read()
        return status

    @property
    def said(self) -> str:
        return self._ui.said + super().said


@dataclass
class Stage:
    """A folder in which commands of one kind are begun, one after the other or at the same time."""

    kind: Kind
    folder: Path
    where: Where
    begun: list[Running] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs, oldest first."""
        return sorted(path.parent for path in self.results.glob("*/run.json"))

    def begin(self, *more: str) -> Running:
        """Give the command; `more` are further words."""
        if self.kind.is_run:
            words = ["--results", str(self.results), "--no-report", *self.where.options, *more]
            if "--resume" not in more:
                words += ["--plan", str(self.folder / "plan.toml"), *self.where.changes]
            running = Running(start_run(words, through=self.where.through))
        else:
            running = _Visited(_VisitedUi(self.results, "--catalogue", str(self.folder / "catalogue.toml")))
        self.begun.append(running)
        return running


@contextlib.contextmanager
def staged(kind: Kind, folder: Path) -> Iterator[Stage]:
    """A stage in a new or empty folder, which others may enter: PostgreSQL runs as another user."""
    for each in (folder, folder / "results", folder / "tmp"):
        each.mkdir(exist_ok=True, parents=True)
        each.chmod(0o755)
    (folder / "plan.toml").write_text(kind.plan)
    (folder / "catalogue.toml").write_text(CATALOGUE)
    os.environ["TMPDIR"] = str(folder / "tmp")
    os.environ["PYTHONFAULTHANDLER"] = "1"
    os.environ.pop("WHICHWORKER_LAUNCHER", None)
    if kind.launcher is not None:
        os.environ["WHICHWORKER_LAUNCHER"] = kind.launcher
    with kind.where(folder) as where:
        yield Stage(kind, folder, where)
