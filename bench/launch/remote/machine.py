"""Another machine: what is copied to it, what is made there, and how programs are run there."""

import atexit
import contextlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.launch.remote import files
from bench.launch.remote.link import Link
from bench.launch.remote.ssh import FAILED, Host, RemoteError, digest
from bench.launch.stacks import Environment, Say, UnavailableError, requirement_files
from bench.machine.processes import uninterrupted
from bench.model.errors import UsageError, UserError
from targets.catalogue.stack import Stack

_THERE = "bench.launch.remote.there"
_LEAST_PYTHON = (3, 11)
# As `stacks.find_interpreter` looks for one. Prints the program (or which python3 there is), the folder of
# what is kept for this user, and what machine it is.
_FIND_PYTHON = """
for python in python3 python3.14 python3.13 python3.12 python3.11 \\
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-9].*/bin/python; do
  found=$("$python" -c 'import sys, venv, ensurepip
if sys.version_info >= (3, 11): print(sys.executable)' 2>/dev/null) || continue
  test -n "$found" || continue
  printf '%s\\n' "$found" "${XDG_CACHE_HOME:-$HOME/.cache}/whichworker" "$(uname -s)" "$(uname -m)"
  exit 0
done
printf '%s\\n' '' "$(python3 --version 2>&1)" "$(uname -s)" "$(uname -m)"
"""
_MAKE_ENVIRONMENT = """
set -eu
made="$1" python="$2"
shift 2
test -e "$made/whole" && "$made/bin/python" -c '' 2>/dev/null && exit
echo made
mkdir -p "$(dirname "$made")"
"$python" -m venv --clear "$made" >&2
"$made/bin/python" -m pip install --quiet --no-input --disable-pip-version-check "$@" >&2
: > "$made/whole"
"""
_MOST_BYTES = 512 << 20


class Machine:
    """A machine that is reached by ssh, with a copy of what runs there, and an agent that runs.

    What is copied lies in the user's cache there, named by its content: a second run copies nothing.
    """

    def __init__(self, host: Host, say: Say) -> None:
        """Connect; ``say`` hears of what is copied and installed.

        Raises:
            RemoteError: it cannot be reached, or cannot serve.
        """
        self.host = host
        self._say = say
        self._copied: set[str] = set()
        self._base, self._cache, self._architecture = self._find_python()
        self.suite = self.copy(files.of_suite(), "suite", "the programs of the suite that run there")
        # psutil is what programs there have beside the standard library.
        psutil = files.pinned("psutil")
        self._python = self.interpreter(
            f"agent-{psutil.replace('==', '-')}", [psutil], "what watches programs there"
        )
        self._link: Link | None = None
        atexit.register(self.close)
        self.facts: dict[str, Any] = self.link.hello["facts"]

    @property
    def link(self) -> Link:
        """The agent there; it is started anew if the connection was lost. Raises ``RemoteError``."""
        if self._link is None or self._link.lost is not None:
            self.close()
            self._link = Link(self.host, self._in_suite(f"{_THERE}.agent", f"{self._cache}/scratch"))
        return self._link

    @property
    def lost(self) -> RemoteError | None:
        """Why there is no connection now; ``None`` if there is."""
        return None if self._link is None else self._link.lost

    def close(self) -> None:
        """End the agent, and with it whatever still runs there."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _find_python(self) -> tuple[str, str, str]:
        """The interpreter there for programs of the suite, the folder of what is kept, the architecture."""
        done = self.host.run(["sh", "-s"], _FIND_PYTHON.encode(), timeout_s=60.0)
        lines = done.stdout.decode(errors="replace").splitlines()
        if done.returncode != 0 or len(lines) < 4:
            raise self.host.failed(done, "looking for a Python there")
        python, cache, system, architecture = lines[-4:]
        if system != "Linux":
            raise RemoteError(f"{self.host} runs {system} ({architecture}): what runs there needs Linux")
        if not python:
            least = ".".join(map(str, _LEAST_PYTHON))
            found = cache if cache.startswith("Python ") else "there is no python3"
            raise RemoteError(
                f"{self.host} has no Python {least} or newer with venv ({found}): install one there "
                "(Debian: apt install python3-venv; or pyenv)"
            )
        return python, cache, architecture

    def interpreter(self, name: str, wanted: Sequence[str], what: str) -> str:
        """The interpreter of an environment there, made if it is not there; ``what`` it is for is for people.

        ``wanted`` are arguments of ``pip install``, and ``name`` is to tell it from all that have others.

        Raises:
            RemoteError: it cannot be made; with pip's last line.
        """
        folder = f"{self._cache}/venvs/{name}"
        words = ["sh", "-c", _MAKE_ENVIRONMENT, "sh", folder, self._base, *wanted]
        made = self.host.check(words, f"making an environment with {self._base} ({self._architecture})")
        if b"made" in made.split():
            self._say(f"{self.host}: made an environment for {what} (once)")
        return f"{folder}/bin/python"

    def _in_suite(self, module: str, *arguments: str) -> list[str]:
        """The words that run a module there, in the copy of the suite."""
        words = ["sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", self.suite]
        return [*words, self._python, "-m", module, *arguments]

    def relay(
        self,
        program: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cpus: Sequence[int] = (),
        pid: str | None = None,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """Start a program there, in the copy of the suite; it ends with the input of the Popen, which is ssh.

        Its lines are numbers of signals for the program. ``pid`` is a file there for the program's, options
        are those of ``Host.popen``.
        """
        order = {"program": list(program), "environment": environment, "cpus": list(cpus), "pid": pid}
        process = self.host.popen(self._in_suite(f"{_THERE}.relay"), stdin=subprocess.PIPE, **options)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # how it ended says why
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
        return process

    # -- What is made there

    def environment(self, stack: Stack) -> Environment:
        """The environment of a stack there, made if need be (then ``say`` hears of it).

        Raises:
            UnavailableError: it cannot be had there.
            UserError: the packages of a user's own app cannot.
        """
        order = {"stack": self._stack(stack), "venvs": f"{self._cache}/venvs"}
        with uninterrupted():
            process = self.relay(
                [self._python, "-m", f"{_THERE}.environment", json.dumps(order)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        came: dict[str, Any] = {}
        with process:
            try:
                assert process.stdout is not None and process.stderr is not None
                for line in process.stdout:
                    event = _event(line)
                    if "say" in event:
                        self._say(f"{self.host}: {event['say']}")
                    came |= event
                errors = process.stderr.read()
                process.wait()
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess[bytes](process.args, process.returncode, b"", errors)
        return self._made(came, done)

    def _made(self, came: Mapping[str, Any], done: "subprocess.CompletedProcess[bytes]") -> Environment:
        where = f"{self.host} ({self.facts['architecture']})"
        if "environment" in came:
            python, *facts = came["environment"]
            return Environment(Path(python), *facts)
        if "unavailable" in came:
            reason, remedy = came["unavailable"]
            remedy = remedy.replace("run `make setup`", "give the same command again")  # of this machine
            raise UnavailableError(f"on {where}, {reason}", f"on {self.host}, {remedy}")
        if "error" in came:
            raise UserError(f"{where}: {came['error']}")
        if done.returncode == FAILED:
            raise self.host.lost(done.stderr)
        raise self.host.failed(done, "making an environment")

    def _stack(self, stack: Stack) -> dict[str, Any]:
        """A stack with the copies of its requirements files."""
        own = None if stack.own is None else self._requirements(stack.own)
        return {**asdict(stack), "requirements": self._requirements(*stack.requirement_files), "own": own}

    def _requirements(self, path: Path, *beside: Path) -> str:
        """Where a requirements file is there, with what it includes and what lies beside it."""
        if (place := files.in_suite(path)) is not None:
            return f"{self.suite}/{place}"
        return self.put_together(path, [*requirement_files(path), *beside])

    def put_together(self, path: Path, others: Sequence[Path]) -> str:
        """Where a file is there, beside others that it names by relative paths; raises as ``put``."""
        whole = [file.resolve() for file in (path, *others)]
        common = Path(os.path.commonpath([file.parent for file in whole]))
        folder = self.copy({str(file.relative_to(common)): file for file in whole}, "files")
        return f"{folder}/{whole[0].relative_to(common)}"

    def put(self, path: Path) -> str:
        """Where a file or a folder is there, copied if need be; raises ``RemoteError``, ``UsageError``."""
        if (place := files.in_suite(path)) is not None:
            return f"{self.suite}/{place}"
        if path.is_file():
            return self.put_together(path, ())
        return self.copy(files.of_folder(path), "apps", str(path))

    def copy(self, content: Mapping[str, Path], kind: str, what: str | None = None) -> str:
        """Where files are there in a folder of their own, by their paths in it, copied if need be.

        ``kind`` names the folder that it lies in; ``what`` it is is said, if anything.

        Raises:
            RemoteError: as ``Host.copy_tree``.
            UsageError: it is more than a run copies.
        """
        folder = f"{self._cache}/{kind}/{digest(content)}"
        if folder not in self._copied:
            size = sum(file.stat().st_size for file in content.values())
            if size > _MOST_BYTES:
                raise UsageError(
                    f"{what or kind}: {size >> 20} MiB are more than is copied to {self.host} "
                    f"({_MOST_BYTES >> 20} MiB): name the folder of the app alone (APP_DIR=)"
                )
            if self.host.copy_tree(content, folder) and what is not None:
                self._say(f"{self.host}: copied {what}, {len(content)} files (once)")
            self._copied.add(folder)
        return folder


def _event(line: bytes) -> dict[str, Any]:
    """A line as an event; an empty one if it is none: a shell may say something when it starts."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
