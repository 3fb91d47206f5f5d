"""Another machine, reached by the system's ``ssh`` with its keys and configuration (ssh_config(5)).

No password is asked for: a run may go on for hours with nobody there. A connection of one's own for each
program, which no other outlives: what is in ssh_config of sharing them does not hold here. What runs there
notices the end of its input when this process ends, is killed or is cut off; here a host that does not answer
is given up after ``SILENCE_S``.
"""

import hashlib
import io
import os
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, Unpack

from bench.machine.processes import Streams, spawn, uninterrupted
from bench.model.errors import UsageError, UserError
from bench.model.plans.machines import parts

VARIABLE = "WHICHWORKER_SSH_OPTIONS"
"""Further options for ``ssh``, as in a shell: another configuration file, say."""

_ALIVE_S, _ALIVE_COUNT = 5, 3
SILENCE_S = float(_ALIVE_S * _ALIVE_COUNT)
"""After so many seconds without a sign of life a host is given up."""
_CONNECT_S = 10
_OPTIONS = (
    "BatchMode=yes",
    "AddressFamily=inet",  # servers are told to listen at the address that ssh has reached, as `host:port`
    f"ConnectTimeout={_CONNECT_S}",
    f"ServerAliveInterval={_ALIVE_S}",
    f"ServerAliveCountMax={_ALIVE_COUNT}",
    "ControlMaster=no",
    "ControlPath=none",
    "ForwardX11=no",
    "ForwardAgent=no",
    "RequestTTY=no",
    "LogLevel=ERROR",
)
# What ssh ends with where it could not connect, or was cut off; else it ends as the command there did.
FAILED = 255
NOT_RESPONDING = b"not responding"
"""What ssh(1) says of such a one."""
# What ssh(1) says, and what that comes to. {host} is without a user, {target} with it.
_MEANINGS = (
    ("Could not resolve hostname", "there is no host {host}: is the name right (ssh_config, DNS)?"),
    ("Permission denied", "{target} takes no key of this user: have it known there, `ssh-copy-id {target}`"),
    (
        "Too many authentication failures",
        "{target} takes none of the first keys of this user: name one by IdentityFile in ~/.ssh/config",
    ),
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "{host} has another host key than before: see `ssh {target}`, and go on only if you know why",
    ),
    ("Host key verification failed", "the host key of {host} is not known here: once, `ssh {target}`"),
    ("Connection refused", "nothing listens for ssh at {host}: is sshd running there, on this port?"),
    ("timed out", "{host} does not answer: is it on, and is its ssh port open to this machine?"),
    ("No route to host", "there is no way from here to {host}: is it on, and in a network of this machine?"),
    ("Network is unreachable", "there is no way from here to {host}: has this machine a network?"),
    (NOT_RESPONDING.decode(), "{host} has not answered for {silence:g} s, and was given up"),
)
# What programs there say.
_FULL = ("No space left on device", "Disk quota exceeded")


class RemoteError(UserError):
    """Another machine does not do what is asked: one or two lines which say where, and what next."""


@dataclass(frozen=True)
class Host:
    """A machine as ssh(1) knows it; ``str`` is what the user has written."""

    name: str
    user: str | None = None
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``[user@]host[:port]``, as ``machines.parts``; raises ``UsageError``."""
        try:
            user, host, port = parts(text)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return cls(host, user, port)

    def __str__(self) -> str:
        return f"{self._target}:{self.port}" if self.port else self._target

    @property
    def _target(self) -> str:
        return f"{self.user}@{self.name}" if self.user else self.name

    def command(self, words: Sequence[str]) -> list[str]:
        """The words here that run a program there, by the user's shell of that machine."""
        options = [word for option in _OPTIONS for word in ("-o", option)]
        further = shlex.split(os.environ.get(VARIABLE, ""))
        port = ["-p", str(self.port)] if self.port else []
        return ["ssh", *further, *options, *port, self._target, "--", shlex.join(words)]

    def popen(
        self,
        words: Sequence[str],
        cpus: Sequence[int] | None = None,
        kind: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
        **streams: Unpack[Streams],
    ) -> subprocess.Popen[bytes]:
        """Start a program there; the Popen is ssh, on some CPUs here (those of this process).

        It ends with this thread at the latest, and the program's input with it: what runs there must end then
        (``relay`` has any program do so).

        Raises:
            RemoteError: there is no ssh here.
        """
        on = sorted(os.sched_getaffinity(0)) if cpus is None else cpus
        _check_client()
        return spawn(self.command(words), on, folder=Path.cwd(), kind=kind, **streams)

    def run(
        self, words: Sequence[str], given: bytes = b"", timeout_s: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program there to its end, with some input; returns how it ended and what it said.

        Raises:
            RemoteError: the machine cannot be reached, or takes longer than ``timeout_s``.
        """
        with uninterrupted():
            process = self.popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with process:
            try:
                output, errors = process.communicate(given, timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                raise RemoteError(f"{self}: no answer within {timeout_s:g} s to {words[0]}") from None
            except BaseException:
                process.kill()
                raise
        if process.returncode == FAILED:
            raise self.lost(errors)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def check(
        self, words: Sequence[str], what: str, given: bytes = b"", timeout_s: float | None = None
    ) -> bytes:
        """The output of a program that must end well; ``what`` it does is for people. Otherwise as ``run``.

        Raises:
            RemoteError: it does not, with its last line; or as ``run``.
        """
        done = self.run(words, given, timeout_s)
        if done.returncode != 0:
            raise self.failed(done, what)
        return done.stdout

    def copy_tree(self, files: Mapping[str, Path], folder: str) -> bool:
        """Put files into a new folder there, by their paths below it; returns whether that was needed.

        A folder that is there is whole, and stays as it is: name it after its content (``digest``). It is
        unpacked by ``tar`` there.

        Raises:
            RemoteError: as ``check``.
        """
        if self.run(["test", "-d", folder]).returncode == 0:
            return False
        # What was begun and cut off lies elsewhere, and another run may be doing the same.
        script = (
            'set -eu; umask 077; made="$1.$$"; mkdir -p "$made"; '
            'trap \'rm -rf "$made"\' EXIT; tar -xf - -C "$made"; '
            'mv -T "$made" "$1" 2>/dev/null || test -d "$1"'
        )
        self.check(["sh", "-c", script, "sh", folder], f"copying to {folder}", packed(files))
        return True

    def lost(self, said: bytes = b"") -> RemoteError:
        """Why there is no connection: what ssh said on its standard error, for people, in one line."""
        text = said.decode(errors="replace")
        if any(words in text for words in _FULL):
            return self._full
        for words, meaning in _MEANINGS:
            if words.lower() in text.lower():
                told = meaning.format(host=self.name, target=self._target, silence=SILENCE_S)
                return RemoteError(f"{self}: {told}")
        return RemoteError(f"{self}: the connection was lost{_last_line(text)}")

    def failed(self, done: "subprocess.CompletedProcess[bytes]", what: str) -> RemoteError:
        """That a program there failed, in its last words; ``what`` it is for stands before them."""
        text = done.stderr.decode(errors="replace")
        if any(words in text for words in _FULL):
            return self._full
        return RemoteError(f"{self}: {what} failed{_last_line(text) or f' (exit status {done.returncode})'}")

    @property
    def _full(self) -> RemoteError:
        return RemoteError(f"{self}: no space is left there; free some, then give the command again")


def digest(files: Mapping[str, Path]) -> str:
    """A name for files by their paths in a folder and what they hold: the same, wherever they lie."""
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        whole.update(f"{name}\0{path.stat().st_mode & 0o111}\0".encode(errors="surrogateescape"))
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


def packed(files: Mapping[str, Path]) -> bytes:
    """A tar archive of files by their paths in it, with their modes; links are followed."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", dereference=True) as tar:
        for name, path in sorted(files.items()):
            tar.add(path, name, recursive=False, filter=_nobody)
    return stream.getvalue()


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry of an archive without the owner that its file has here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _check_client() -> None:
    if shutil.which("ssh") is None:
        raise RemoteError(
            "there is no program ssh on this machine: install OpenSSH's client "
            "(Debian: apt install openssh-client)"
        )


def _last_line(text: str) -> str:
    """The last line of what was said, behind a colon; empty if nothing was."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""
