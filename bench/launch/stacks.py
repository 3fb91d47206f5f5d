"""The environment of each dependency stack: a virtual environment under ``.venvs``, made when missing."""

import codecs
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine.processes import outcome, spawn
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT, check_plain, shortened
from targets.catalogue.stack import Stack

VENVS = ROOT / ".venvs"
MARKER = ".whichworker-stack"

Say = Callable[[str], None]

FACTS = """
import json, platform, sys, sysconfig
from importlib.metadata import distributions
packages = {d.metadata["Name"]: d.version for d in distributions()}
optimized = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
if not optimized and sys.base_prefix == "/usr":
    optimized = None  # distributions build theirs by other means
print(json.dumps([platform.python_version(), dict(sorted(packages.items())), optimized]))
"""
"""Asks the interpreter of an environment: prints what ``Environment`` has but its path, as JSON."""
_INCLUDE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)(?:\s*=\s*|\s*)(\S+)", re.MULTILINE)
_PROGRESS = re.compile(
    r"WARNING:|Looking in |Requirement already satisfied|Collecting |\s+(Using cached|Downloading) "
)
# The byte order marks that pip heeds.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PROBE = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"


class UnavailableError(Exception):
    """A stack cannot be had on this machine: ``reason`` says why, ``remedy`` what would help."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class Environment:
    """An environment that is ready for use; ``image`` is the tag of its image, if it has one of its own.

    ``optimized`` is whether its Python was built with profile-guided optimisation, as far as it knows.
    """

    python: Path
    version: str
    packages: dict[str, str]
    optimized: bool | None = None
    image: str | None = None


def ensure(stack: Stack, say: Say, venvs: Path = VENVS) -> Environment:
    """The environment of a stack, created or renewed if need be (then ``say`` hears of it).

    Raises:
        UnavailableError: no suitable interpreter, or its packages cannot be installed.
        UserError: those of a user's own app cannot.
    """
    wanted = "".join(requirements_hash(path) for path in stack.requirement_files)
    name = stack.name
    if stack.of is not None:
        changes = " ".join(["with", *stack.packages, "without", *stack.without])
        wanted = hashlib.sha256(f"{wanted} {changes}".encode()).hexdigest()
    if stack.own is not None:  # a folder for each content: switching between apps installs nothing anew
        wanted = hashlib.sha256(f"{wanted} {requirements_hash(stack.own)}".encode()).hexdigest()
        name = f"{stack.name}-own-{wanted[:12]}"
    with locked(venvs, name) as folder:
        return ready(folder, wanted) or _create(stack, folder, wanted, say)


@contextlib.contextmanager
def locked(venvs: Path, name: str) -> Iterator[Path]:
    """The folder of an environment; other runs, which may want to make the same, wait meanwhile."""
    venvs.mkdir(parents=True, exist_ok=True)
    with (venvs / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield venvs / name


def requirements_hash(path: Path) -> str:
    """A hash of a requirements file and of the files it includes (``-r``, ``-c``); raises as they do."""
    digest = hashlib.sha256()
    for file in requirement_files(path):
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def requirement_files(path: Path) -> list[Path]:
    """A requirements file, and the local ones that it includes (``-r``, ``-c``), each once.

    Raises:
        UsageError: one of them is not there, or is no text.
    """
    found: list[Path] = []
    waiting = [path.resolve()]
    while waiting:
        file = waiting.pop(0)
        if file not in found:
            found.append(file)
            included = _INCLUDE.findall(requirements_text(file))
            waiting += [_beside(file, name) for name in included if "://" not in name]
    return found


def _beside(file: Path, name: str) -> Path:
    try:
        return (file.parent / name).resolve()
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} includes {shortened(name)!r}, which is no name of a file") from error


def requirements_text(path: Path) -> str:
    """A requirements file as pip reads it, for some shells write UTF-16; raises ``UsageError``."""
    check_plain(path)
    try:
        content = path.read_bytes()
        encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
        return content.decode(encoding)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else f"it is not text ({error})"
        raise UsageError(f"{path} is no requirements file that can be read: {why}") from error


def ready(folder: Path, wanted: str) -> Environment | None:
    """The environment as it is, unless it was never finished, its requirements changed or it is broken."""
    marker = folder / MARKER
    if not marker.exists() or marker.read_text().strip() != wanted:
        return None
    python = folder / "bin" / "python"
    try:
        answer = subprocess.run([python, "-c", FACTS], capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):  # its interpreter was removed or replaced
        return None
    return Environment(python, *json.loads(answer.stdout))


def _create(stack: Stack, folder: Path, wanted: str, say: Say) -> Environment:
    interpreter = find_interpreter(stack.pythons)
    if interpreter is None:
        versions = " or ".join(stack.pythons)
        then = "then run `make setup`" if stack.of is None else "then give the same command again"
        raise UnavailableError(
            f'the stack "{stack.name}" needs Python {versions}, which was not found',
            f"install Python {stack.pythons[0]} (with venv), for example `pyenv install {stack.pythons[0]}`, "
            f"{then}",
        )
    say(f'installing the stack "{stack.name}" into {folder.name} with {interpreter} (once) …')
    (folder / MARKER).unlink(missing_ok=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    install = [*pip, "install", "--quiet", "--no-input", "--disable-pip-version-check", "--requirement"]
    base = [[interpreter, "-m", "venv", "--clear", str(folder)], [*install, str(stack.requirements)]]
    _run_all(stack, [*base, *([[*install[:-1], *stack.packages]] if stack.packages else [])])
    if stack.wheels is not None and (last := failed([*install, str(stack.wheels), "--only-binary", ":all:"])):
        lines = (line.partition("#")[0].strip() for line in requirements_text(stack.wheels).splitlines())
        named, why = ", ".join(filter(None, lines)), last.splitlines()[-1].strip()
        say(f"{folder.name} does without {named}, of which pip has found no wheel ({why})")
    if stack.own is not None:
        for command in ([*install, str(stack.own)], [*pip, "check", "--disable-pip-version-check"]):
            if last := failed(command):
                shutil.rmtree(folder)  # its content will not be wanted again
                raise not_both(stack, last)
    # At the end: what others depend on would be installed again.
    _run_all(stack, [[*pip, "uninstall", "--quiet", "--yes", *stack.without]] if stack.without else [])
    return finished(folder, wanted)


def _run_all(stack: Stack, commands: Sequence[Sequence[str]]) -> None:
    """Run what makes the environment of a stack; raises ``UnavailableError`` with the last lines."""
    for command in commands:
        if last := failed(command):
            raise UnavailableError(
                f'installing the stack "{stack.name}" failed:\n{last}',
                f"look at {stack.requirements.name} and the lines above, then run `make setup`",
            )


def finished(folder: Path, wanted: str) -> Environment:
    """An environment that was just installed, marked as what is ``wanted``; raises ``UnavailableError``."""
    (folder / MARKER).write_text(wanted + "\n")
    environment = ready(folder, wanted)
    if environment is None:
        raise UnavailableError(f"{folder} was installed but its interpreter does not run", f"remove {folder}")
    return environment


def failed(command: Sequence[str]) -> str | None:
    """The last lines of a command that failed, indented, without pip's progress; ``None`` if it did not."""
    cpus, out = sorted(os.sched_getaffinity(0)), subprocess.PIPE
    # pip runs what builds a package, which is other people's code.
    pip = spawn(command, cpus, stdout=out, stderr=subprocess.STDOUT, folder=Path.cwd(), guarded=True)
    done = outcome(pip, None)
    if done.returncode == 0:
        return None
    lines = [line for line in done.stdout.splitlines() if line.strip() and not _PROGRESS.match(line)]
    return "\n".join(f"  {line}" for line in lines[-12:]) or f"  (exit status {done.returncode})"


def not_both(stack: Stack, said: str) -> UserError | UnavailableError:
    """That an app's requirements cannot be had with a stack; ``said`` are pip's last lines.

    A stack that is for a certain version of something is then unavailable; without any other nothing can be
    measured.
    """
    what = f'{stack.own} cannot be installed with the servers of the stack "{stack.name}"; pip says:'
    advice = f"name versions in {stack.own} that work with both: they replace those of the stack"
    if stack.fixed:
        return UnavailableError(f"{what} {said.splitlines()[-1].strip()}", advice)
    return UserError(f"{what}\n{said.strip(chr(10))}\n{advice}")


def find_interpreter(versions: tuple[str, ...]) -> str | None:
    """The first interpreter of the wanted versions, best version first, that can make environments.

    Looks for ``pythonX.Y`` and ``python3`` on PATH, then among pyenv's versions, then at this interpreter.
    """
    for version in versions:
        for candidate in _candidates(version):
            answer = _probe(candidate)
            if answer is not None and answer[0] == version:
                return answer[1]
    return None


def _candidates(version: str) -> Iterator[str]:
    for name in (f"python{version}", "python3"):
        found = shutil.which(name)
        if found:
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    # What cannot be looked into has none for this user: another's, of whom `su` keeps the variable.
    with contextlib.suppress(OSError):
        for folder in sorted(pyenv.glob(f"versions/{version}.*"), reverse=True):
            yield str(folder / "bin" / "python")
    yield sys.executable


def _probe(interpreter: str) -> tuple[str, str] | None:
    """Version and path as an interpreter says; ``None`` if it does not run (pyenv's shims) or has no venv."""
    try:
        answer = subprocess.run([interpreter, "-c", _PROBE], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    version, _, path = answer.stdout.strip().partition(" ")
    return version, path
