"""A copy of the checkout that belongs to a user without privileges, and what that user does in it."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from targets.catalogue.configurations import load
from tests.compose.real.engine import compose_command, socket
from tests.patience import CONTAINERS_S

ROOT = Path(__file__).parents[3]
# What docker-compose.yml publishes on 127.0.0.1, by configuration.
PORTS = {name: 8001 + place for place, name in enumerate(load().declared)}


class Checkout:
    """Commands are given by its user, who may use the engine and owns nothing but this copy."""

    def __init__(self, folder):
        """Copies what git knows or would add into `folder`; environments are those of the original."""
        self.folder = folder
        # What marks its containers: those of bench, and those of Compose in this folder (docs/contracts.md).
        self.hash = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]
        self.project = folder.name
        self.uid = os.geteuid() or 23_456  # nobody's
        self._copy()

    def _copy(self):
        listed = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # removed and not yet committed
                shutil.copy2(ROOT / name, target)  # with its time: make goes by it
        (self.folder / ".venvs").symlink_to(ROOT / ".venvs")
        self.home = self.folder.parent / "home"
        self.home.mkdir()
        if os.geteuid() == 0:
            for path in (self.home, self.folder, *self.folder.rglob("*")):
                os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def _as_user(self, command):
        if os.geteuid() != 0:
            return list(map(str, command))
        engine = socket()
        groups = self.uid if engine is None else engine.stat().st_gid
        # Python may be installed where only root may look, in its home for one.
        look = "+dac_read_search"
        return [
            "setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", f"--groups={groups}",
            f"--inh-caps={look}", f"--ambient-caps={look}", "--", *map(str, command),
        ]  # fmt: skip

    def start(self, *command, **variables):
        """Starts a command in a process group of its own, as a shell does; `stdout` is its whole output."""
        return subprocess.Popen(
            self._as_user(command),
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.home), **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command, status=0, timeout_s=2 * CONTAINERS_S, **variables):
        """Runs a command, which must end with `status`; returns what it printed."""
        process = self.start(*command, **variables)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        finally:
            end(process)
        assert process.returncode == status, f"{command}: exit status {process.returncode}\n{output}"
        return output

    def compose(self, *arguments, **more):
        return self.run(*compose_command(), *arguments, **more)

    def plan(self, name):
        """One of the plans of these tests, by its name."""
        return self.folder / "tests" / "compose" / "real" / "plans" / f"{name}.toml"

    def bench(self, *arguments, launcher="compose"):
        """The command of a run in containers, for `run` and `start`.

        It makes no report and measures no ceilings, as `make bench` does in test_runs.py.
        """
        program = (".venvs/suite/bin/python", "-m", "tests.bench.without_ceilings")
        return (*program, "run", "--launcher", launcher, "--no-report", *arguments)

    def run_bench(self, results, *arguments, **more):
        """Runs the suite; returns what it printed."""
        return self.run(*self.bench("--results", results, *arguments), **more)

    @contextlib.contextmanager
    def benching(self, results, *arguments, **variables):
        """A run that goes on while the block does; ended with it at the latest."""
        process = self.start(*self.bench("--results", results, *arguments), **variables)
        try:
            yield process
        finally:
            end(process)

    @contextlib.contextmanager
    def changed(self, name, change):
        """A file with what `change` makes of its text, until the block ends."""
        path = self.folder / name
        before = path.read_text()
        path.write_text(change(before))
        try:
            yield
        finally:
            path.write_text(before)


def end(process):
    """Ends what a test may have left running, as Ctrl-C would, so that it removes its containers."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.communicate(timeout=CONTAINERS_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    process.stdout.close()


def cells(results):
    """Every `cell.json` below a folder."""
    # Not `rglob`, which fails if a folder vanishes: those of bench's own, with a dot, come and go.
    folders = (Path(folder) for folder, _, names in os.walk(results) if "cell.json" in names)
    return [json.loads((folder / "cell.json").read_text()) for folder in folders]


def reasons(results):
    """Why cells failed; empty if none did."""
    return {
        f"{cell['configuration']}/{cell['scenario']}": cell["reason"]
        for cell in cells(results)
        if cell["reason"]
    }


def under_way(results):
    """The folders of cells that have begun and are not over."""
    # Folders whose names begin with a dot are bench's own, for what it does around the cells.
    return [path for path in Path(results).glob("*/[!.]*/*/*/r[0-9]") if not (path / "cell.json").exists()]
