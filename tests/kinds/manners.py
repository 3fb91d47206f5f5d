"""How a kind is carried out: by local processes, in containers, behind the web UI."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest

from bench.model import scenarios
from bench.model.files import ROOT
from tests.bench.commands import start_run
from tests.bench.studies.cockpit.ui import FORM, STACK, TARGET_FORM, Ui
from tests.compose.real import engine
from tests.compose.real.checkout import Checkout, end
from tests.faults.roles import below
from tests.kinds.kind import PROCESSES, UI, Done, Kind, Place
from tests.patience import CONTAINERS_S, LONG_S

_WARMUP_S = 0.3
# How long a load of the web UI goes on after that: two whole seconds at least.
_LOOKED_AT_S = 3.2
ORPHANS_S = 10.0
"""What a run has started may take so long to end after it."""
# As the suite's own app is served, in the stack's environment: it says who it is, and when it is ready.
_SERVED = """
import sys
from pathlib import Path

sys.path.append({root!r})

import app as shop
from sanic import Sanic
from targets.inside.identity import identify

made = getattr(shop, {name!r})
app = made if isinstance(made, Sanic) else made()
identify(app)

if __name__ == "__main__":
    app.run(sys.argv[1], int(sys.argv[2]), single_process=True, motd=False, access_log=False)
"""
_CATALOGUE = """
[stack.current]
python = ["3.14", "3.13", "3.12", "3.11"]
requirements = "{requirements}"

[configuration.shop]
summary = "An app of one's own."
stack = "current"
argv = ["python", "{served}", "{{host}}", "{{port}}"]
recycle = "none"
loop = "uvloop"
parser = "sanic"
keep_alive_s = 120
backlog = 100
max_workers = 1
"""


class Manner(Protocol):
    """A way to carry out kinds; `url` is that of a server which runs already."""

    def __call__(self, kind: Kind, place: Place, url: str | None) -> Done:
        """Do it, and say what came of it."""


def by_processes(kind: Kind, place: Place, url: str | None) -> Done:
    """`bench run --launcher processes`."""
    program = "bench" if kind.ceilings else "tests.bench.without_ceilings"
    # What runs already takes no launcher.
    launcher = ["--launcher", PROCESSES] if url is None else []
    with _variables(place, kind.variables):
        run = start_run([*launcher, *place.of_run(kind, url)], program=program)
    return _communicated(run, place)


class InContainers:
    """`bench run --launcher compose`, in a copy of this checkout whose user has no privileges."""

    def __init__(self, checkout: Checkout) -> None:
        self._checkout = checkout

    def __call__(self, kind: Kind, place: Place, url: str | None) -> Done:
        if os.geteuid() == 0:
            os.chown(place.results, self._checkout.uid, self._checkout.uid)
        command = self._checkout.bench(*place.of_run(kind, url))
        given = {**kind.variables, "TMPDIR": str(place.temporary), "COLUMNS": "200"}
        done = _communicated(self._checkout.start(*command, **given), place)
        left = engine.things_of(self._checkout)
        assert not any(left.values()), f"on the engine there are still {left}; {done.said}"
        return done


def _communicated(run: subprocess.Popen[str], place: Place) -> Done:
    """Wait for a command, which may have to install packages or to build images, and ends at last."""
    try:
        said, _ = run.communicate(timeout=2 * CONTAINERS_S)
    except subprocess.TimeoutExpired as late:
        os.killpg(run.pid, signal.SIGINT)
        said, _ = run.communicate(timeout=LONG_S)
        raise AssertionError(f"it ended only when it was interrupted, and said: {said}") from late
    finally:
        end(run)
    return Done(run.returncode, said, place)


def behind_the_web_ui(kind: Kind, place: Place, url: str | None) -> Done:
    """`bench ui`, with a Start and a Stop for each of the picks and numbers of users of a kind."""
    named = ",".join(scenarios.load(place.locustfile(kind)))
    words = ["--launcher", PROCESSES, "--locustfiles", f"{place.locustfile(kind)}", "--scenarios", named]
    if url is None:
        words += ["--catalogue", f"{_catalogue(kind, place)}"]
    else:
        words += ["--target-url", url]
    with _variables(place, kind.variables):
        ui = _Visited(place.results, *words, "--warmup", str(_WARMUP_S), *place.options(kind))
    try:
        if ui.url is not None:  # else `said` has why not
            for pick in kind.picks:
                for users in kind.users:
                    ui.visit(pick, users, FORM if url is None else TARGET_FORM)
            ui.note(ui.live())
        status = ui.end()
    finally:
        ui.close()
    return Done(status, "\n".join([ui.said, *ui.told]), place)


class _Visited(Ui):
    """A web UI, and what its page was `told`."""

    def __init__(self, results: Path, *options: str) -> None:
        self.told: list[str] = []
        super().__init__(results, *options)

    def visit(self, pick: Sequence[str], users: int, form: Mapping[str, Any]) -> None:
        """Start a load, look at it, and stop it; one that is refused says why."""
        changes: dict[str, Any] = {"user_classes": [*pick], "user_count": str(users)}
        if "configuration" in form:
            changes["configuration"] = "shop"
        self._started = time.time()
        answer = self.post("/swarm", {**form, **changes})
        if not answer["success"]:
            self.told.append(answer["message"])
            return
        seconds = self.until(_looked_at, "it is measured")["seconds"]
        requests, failures = (sum(row[place] or 0 for row in seconds) for place in (1, 2))
        self.told.append(f"of {requests} requests {failures} failed")
        self.idle()
        if "configuration" in form:
            self.recorded()

    def note(self, live: Mapping[str, Any]) -> None:
        """Keep the notices of the page."""
        self.told += [each["text"] for each in live["notices"]]


def _looked_at(live: Mapping[str, Any]) -> bool:
    """Whether a load has gone on for long enough, or is over."""
    settled = live["load"] and live["load"]["settled"]
    return live["state"] == "idle" or bool(settled and time.time() > settled + _WARMUP_S + _LOOKED_AT_S)


def _catalogue(kind: Kind, place: Place) -> Path:
    """A catalogue whose only configuration serves the app of a kind."""
    served = place.app / "served.py"
    served.write_text(_SERVED.format(root=str(ROOT), name=kind.app_name.partition(":")[2]))
    path = place.folder / "configurations.toml"
    path.write_text(_CATALOGUE.format(requirements=STACK, served=served))
    return path


@contextlib.contextmanager
def _variables(place: Place, given: Mapping[str, str]) -> Iterator[None]:
    """Have what is started get variables, and a folder for its temporary files."""
    with pytest.MonkeyPatch.context() as changed:
        for name, value in {**given, "TMPDIR": str(place.temporary)}.items():
            changed.setenv(name, value)
        yield


@contextlib.contextmanager
def nothing_left(patience_s: float) -> Iterator[list[str]]:
    """A list that says afterwards which processes are left after so long; these are ended."""
    before, left = set(psutil.Process().children(recursive=True)), list[str]()
    try:
        yield left
    finally:
        deadline = time.monotonic() + patience_s
        while (more := set(below(psutil.Process())) - before) and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in more:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.append(f"process {process.pid} was left: {' '.join(process.cmdline())[:200]}")
                process.kill()


MANNERS: dict[str, Manner] = {PROCESSES: by_processes, UI: behind_the_web_ui}
"""Those that need nothing; containers take a checkout (`InContainers`)."""
