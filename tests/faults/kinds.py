"""The kinds of run that faults meet: plans of a few seconds, and where each of them runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.launch.proxy import installed
from tests import plans
from tests.bench.commands import LIGHT, start_run
from tests.bench.launch.remote.wire import why_not
from tests.bench.studies.cockpit.ui import CATALOGUE, Ui
from tests.faults.places import Where, contained, here, steered, stood_in, wired
from tests.patience import LONG_S, wait_until

_OPEN = """
[[scenarios.{scenario}.open]]
rates_per_s = [40, 60]
users = 4
"""
_OPENED = _OPEN.format(scenario="index")
# Servers that start in no time.
_LIGHT = {"catalogue": str(LIGHT), "loads": _OPENED}
_ROTATED = """
[rotation]
sittings = 2
load_s = 0.3
settle_s = 0.1
slice_s = 0.1
[scenarios.index]
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
# Laps of two seconds on two servers at once.
_SOAKED = """
[soak]
hours = 0.004
interval_s = 1
[[scenarios.index.open]]
rates_per_s = [40]
users = 4
"""
# Among the first that the command line of bench imports.
_IMPORTED = "_pydantic_core"
_SERVED = ("bench", "generator", "serve", "worker")
_CONTAINED = plans.tiny("gunicorn-uvicorn", proxy="nginx", loads=_OPENED)
_INSIDE = (*_SERVED, "manager", "proxy", "client")


@dataclass(frozen=True)
class Kind:
    """A plan of so many `cells` on so many `servers`, and where it runs; `roles` are those of its processes.

    `lacks` says why it cannot run here. One that was `interrupted` before is gone on with when a fault comes.
    Without `disks` no file system can fail under it, without a `clock` part of it has one that cannot be set.
    Without a `launcher` the plan has its own. What others run for it, on this machine, is not below it
    (`apart`): an engine's containers.
    """

    plan: str
    cells: int = 2
    servers: int = 1
    roles: tuple[str, ...] = _SERVED
    where: Callable[[Path], contextlib.AbstractContextManager[Where]] = here
    lacks: Callable[[], str | None] = lambda: None
    interrupted: bool = False
    disks: bool = True
    clock: bool = True
    apart: bool = False
    launcher: str | None = "processes"
    weight: int = 2

    @property
    def is_run(self) -> bool:
        """Whether it is a run, which can be gone on with; else it is the web UI."""
        return bool(self.plan)

    @property
    def own_memory(self) -> bool:
        """Whether it can have a shared memory of its own, which takes root: then none of it may be left."""
        return os.geteuid() == 0 and not self.apart


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
    "recycle behind a proxy": Kind(
        plans.tiny("gunicorn-uvicorn", proxy="nginx", loads=_RECYCLED, measured_s=20),
        cells=4,
        servers=4,
        roles=(*_SERVED, "manager", "proxy"),
        lacks=_without_nginx,
    ),
    "managers": Kind(
        plans.tiny("sanic", "hypercorn", loads=_OPENED),
        cells=4,
        servers=2,
        roles=(*_SERVED, "manager"),
    ),
    "soak": Kind(plans.tiny("one", "two", **_LIGHT | {"loads": _SOAKED}, measured_s=2), servers=2, weight=3),
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
        where=wired("--server"),
        lacks=why_not,
        launcher=None,
    ),
    "generators": Kind(
        plans.tiny("uvicorn", loads=_OPENED),
        roles=(*_SERVED, "ssh", "agent", "generator there"),
        where=wired("--generators"),
        lacks=why_not,
        launcher=None,
    ),
    "steered": Kind(
        plans.tiny("one", **_LIGHT),
        where=steered,
        lacks=why_not,
        disks=False,  # it has mounts of its own
        weight=1,
    ),
    "containers": Kind(
        _CONTAINED,
        roles=_INSIDE,
        where=contained,
        lacks=_without_engine,
        clock=False,
        apart=True,
        launcher="compose",
    ),
    "stand-in containers": Kind(
        _CONTAINED, roles=_INSIDE, where=stood_in, lacks=_without_nginx, clock=False, launcher="compose"
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
                self.until(_settled_or_over, "it is measured")
                enough = time.monotonic() + 3
                self.until(lambda told: _over(told) or time.monotonic() > enough, "two seconds are measured")
                self.stop()
                self.until(_over, "the load is over")
        self.process.send_signal(signal.SIGINT)


def _over(told: dict[str, Any]) -> bool:
    return bool(told["state"] == "idle")


def _settled_or_over(told: dict[str, Any]) -> bool:
    return _over(told) or bool(told["load"] and told["load"]["settled"])


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
    def temporary(self) -> Path:
        """Where its commands have their temporary files."""
        return self.folder / "tmp"

    @property
    def runs(self) -> list[Path]:
        """The folders of its runs, oldest first: names tell that by the clock, which may have been set."""
        found = [path.parent for path in self.results.glob("*/run.json")]
        return sorted(found, key=lambda run: (run / ".lock").stat().st_mtime_ns)

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
