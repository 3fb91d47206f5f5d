"""A private PostgreSQL server for one run: made from the binaries that are installed, gone with the run."""

import contextlib
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.errors import UserError
from bench.launch import last_lines
from bench.launch_processes import free_port
from bench.processes import spawn, wait_or_kill
from bench.serve_command import HOST

# Where Debian has them, which is not on PATH: one folder for each version.
VERSIONS = Path("/usr/lib/postgresql")
# Where its data is if its user may not go to the run's folder. Unlike /tmp it is a disk everywhere.
ELSEWHERE = Path("/var/tmp")

_PROGRAMS = ("initdb", "postgres")
_PREFIX = ".serve-postgres-"
_NEW_S = 60.0
_ROLE = "whichworker"
# Two servers of several workers, with ten connections each, may overlap; PostgreSQL's own default is 100.
_MAX_CONNECTIONS = 200
_PORT_TRIES = 3
_START_S, _STOP_S = 30.0, 3.0
# An immediate shutdown, which waits neither for clients nor for the disk: nobody reads the data again.
_END = signal.SIGQUIT


def find_binaries() -> Path | None:
    """The folder of PostgreSQL's programs: the one on PATH, else the newest version that Debian has."""
    on_path = shutil.which("postgres")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(VERSIONS.glob("*/bin"), key=_version, reverse=True)
    return next((each for each in folders if all((each / name).exists() for name in _PROGRAMS)), None)


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", folder.parent.name)))


@dataclass(frozen=True)
class Postgres:
    """A private server that takes connections at ``url``, the only place of its password."""

    url: str
    _process: subprocess.Popen[bytes]
    _log: Path

    def failure(self) -> str | None:
        """Why it is not there any more, with its last lines; ``None`` while it runs."""
        if self._process.poll() is None:
            return None
        return "the database ended by itself" + last_lines(self._log)


@contextlib.contextmanager
def private(binaries: Path, run: Path, cpus: Sequence[int]) -> Iterator[Postgres]:
    """A server on a free port of 127.0.0.1, pinned to CPUs, with its data in a run's folder.

    Its settings are PostgreSQL's defaults, so that commits wait for the disk (fsync), but for the number of
    connections. It is ended when the context is left, and by the kernel if the suite is killed.

    Raises:
        UserError: it cannot be made or does not start; with its last lines.
    """
    user = _user()
    with _folder(run, user) as folder:
        password = secrets.token_hex(16)
        _make(binaries, folder, user, password)
        log = folder / "postgres.log"
        process, port = _start(binaries, folder, user, cpus, log)
        try:
            url = f"postgresql://{_ROLE}:{password}@{HOST}:{port}/postgres"
            yield Postgres(url, process, log)
        finally:
            _stop(process)


def _user() -> tuple[int, int] | None:
    """Who runs it: PostgreSQL refuses to be run by root. ``None``: whoever runs the suite."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


@contextlib.contextmanager
def _folder(run: Path, user: tuple[int, int] | None) -> Iterator[Path]:
    """A folder for data and log, owned by the user and gone afterwards.

    It is below the run's unless the user may not go there. Its name makes it one that the next writer to the
    run's folder removes if this suite is killed; elsewhere the next private server does.
    """
    place = run.resolve()
    if user is not None and not _open_to_all(run):
        place = ELSEWHERE
        _sweep(place)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=place) as name, _lock(Path(name)):
        if user is not None:
            os.chown(name, *user)
        yield Path(name)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[bool]:
    """Hold a folder, if nobody else does; whether that is so."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


def _sweep(place: Path) -> None:
    """Remove what suites that were killed have left: nobody holds it, and it is not just being made."""
    for left in place.glob(f"{_PREFIX}*"):
        with _lock(left) as ours:
            if ours and time.time() - left.stat().st_ctime > _NEW_S:
                shutil.rmtree(left)


def _open_to_all(folder: Path) -> bool:
    """Whether everybody may pass through a folder and those above."""
    path = folder.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (path, *path.parents))


def _make(binaries: Path, folder: Path, user: tuple[int, int] | None, password: str) -> None:
    """Make the cluster. Only who has the password gets in, because a superuser may run any program."""
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
        user=None if user is None else user[0],
        group=None if user is None else user[1],
        extra_groups=None if user is None else (),
    )
    secret.unlink()
    if done.returncode != 0:
        said = "".join(f"\n  {line}" for line in done.stdout.strip().splitlines()[-8:])
        raise UserError(f"{command[0]} could not make a private PostgreSQL in {folder}:{said}")


def _start(
    binaries: Path, folder: Path, user: tuple[int, int] | None, cpus: Sequence[int], log: Path
) -> tuple[subprocess.Popen[bytes], int]:
    """Start it and wait until it takes connections; returns its process and port."""
    for _ in range(_PORT_TRIES):
        port = free_port()
        settings = {
            "listen_addresses": HOST,
            "port": port,
            "unix_socket_directories": "",
            "max_connections": _MAX_CONNECTIONS,
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
                last_signal=_END,
            )
        try:
            if _ready(process, folder / "data" / "postmaster.pid"):
                return process, port
        except BaseException:
            _stop(process)
            raise
        _stop(process)
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


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it; returns when it is gone with all its processes."""
    if process.poll() is None:
        process.send_signal(_END)
    wait_or_kill(process, _STOP_S)
