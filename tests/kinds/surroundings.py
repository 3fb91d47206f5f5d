"""What kinds need around them: an engine with base images, a copy of the checkout, a server with TLS."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.launch.stacks import VENVS
from bench.model.files import ROOT
from tests.bench.launch.test_external import serving_by_tls
from tests.compose.real import engine
from tests.compose.real.checkout import Checkout
from tests.kinds.kind import COMPOSE, Kind
from tests.kinds.manners import MANNERS, InContainers, Manner

_SCRIPTS = ROOT / "tests" / "compose"
# Of images, so that those of others stay as they are.
_TAG = "kinds"
_MADE = re.compile(r"into (suite-own-\w+) \(once\)")


@contextlib.contextmanager
def manners(names: Sequence[str]) -> Iterator[dict[str, Manner]]:
    """The manners of some names, with what they need."""
    with contextlib.ExitStack() as stack:
        found = {name: MANNERS[name] for name in names if name in MANNERS}
        if COMPOSE in names:
            stack.enter_context(_engine())
            found[COMPOSE] = InContainers(stack.enter_context(_checkout()))
        yield {name: found[name] for name in names}


@contextlib.contextmanager
def _engine() -> Iterator[None]:
    """An engine that answers; where there is none, one is made, as in .ci/run, and gone afterwards."""
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0:
        yield
        return
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="kinds-engine-") as folder:
        Path(folder).chmod(0o711)  # its socket is for other users, too
        # Whoever builds images beside others waits longer than Compose would.
        os.environ.update(WHICHWORKER_ENGINE=f"{folder}/engine", COMPOSE_HTTP_TIMEOUT="600")
        try:
            for script in (["engine.sh", "start"], ["bases.sh"]):
                _export(script)
            yield
        finally:
            subprocess.run([_SCRIPTS / "engine.sh", "stop"], check=True)
            os.environ.clear()
            os.environ.update(before)


def _export(script: Sequence[str]) -> None:
    """Run a script of tests/compose, and take the variables that it exports."""
    name, *words = script
    done = subprocess.run([_SCRIPTS / name, *words], check=True, stdout=subprocess.PIPE, text=True)
    for line in done.stdout.splitlines():
        os.environ.update(word.split("=", 1) for word in line.removeprefix("export ").split())


@contextlib.contextmanager
def _checkout() -> Iterator[Checkout]:
    """A copy of this checkout; its images go with it."""
    os.environ["WHICHWORKER_TAG"] = _TAG
    with tempfile.TemporaryDirectory(prefix="kinds-") as folder:
        Path(folder).chmod(0o755)
        try:
            yield Checkout(Path(folder) / f"checkout-{os.getpid()}")
        finally:
            engine.remove_images(_TAG)
            del os.environ["WHICHWORKER_TAG"]


@contextlib.contextmanager
def running_already(kind: Kind, folder: Path) -> Iterator[str | None]:
    """The URL of what runs already, by TLS, for kinds without an app of their own."""
    if kind.app is not None:
        yield None
        return
    with serving_by_tls(folder) as url:
        yield url


def remove_environments(said: str) -> None:
    """Remove the environments that commands said they have made for locustfiles."""
    for name in set(_MADE.findall(said)):
        shutil.rmtree(VENVS / name, ignore_errors=True)
        (VENVS / f".{name}.lock").unlink(missing_ok=True)
