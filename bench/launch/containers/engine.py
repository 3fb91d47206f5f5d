"""The Docker engine of this machine, and the clients that talk to it."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.machine.processes import kill_tree, spawn, uninterrupted
from bench.model.errors import UserError
from bench.model.files import ROOT

COMPOSE_FILE = ROOT / "docker-compose.yml"

_ANSWER_S = 10.0
CLIENT_S = 60.0
_FINISH_S = 20.0
_PERMISSION = ("permission denied", "access is denied")


class EngineError(UserError):
    """There is no engine to be used; the text says why and what would help."""


class ClientError(UserError):
    """A command of Docker failed; the text is what it said."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers, and the command of the Docker Compose that is installed."""

    version: str
    compose_command: tuple[str, ...]
    compose_version: str

    def docker(self, *arguments: str, timeout_s: float = CLIENT_S) -> str:
        """Run ``docker ARGUMENTS`` to its end; returns what it printed.

        Raises:
            ClientError: it failed.
            EngineError: it takes longer than ``timeout_s``.
        """
        return run(["docker", *arguments], timeout_s=timeout_s)

    def remaps_users(self) -> bool:
        """Whether its containers are in user namespaces, where they may not see the host's processes."""
        return "name=userns" in self.docker("info", "--format", "{{.SecurityOptions}}")

    def compose(self, project: str, *arguments: str) -> list[str]:
        """The command of Compose for bench's services of docker-compose.yml, under a project's name."""
        place = ["--file", str(COMPOSE_FILE), "--project-name", project, "--profile", "bench"]
        return [*self.compose_command, *place, *arguments]


def run(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = CLIENT_S
) -> str:
    """Run a client of Docker to its end; returns what it printed.

    A Ctrl-C at the terminal does not reach it; it ends when this process does. Raises as ``Engine.docker``.
    """
    client = None
    try:
        with uninterrupted():
            client = spawn(
                command,
                sorted(os.sched_getaffinity(0)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                environment=environment,
            )
        output, said = client.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        assert client is not None
        _kill(client)
        raise EngineError(
            f"Docker does not answer: `{_shown(command)}` took more than {timeout_s:g} s.\n"
            "Look whether the engine is well (docker info), and give the same command again"
        ) from None
    except BaseException:
        if client is not None:
            _await_end(client)
        raise
    if client.returncode != 0:
        words = (said or output).decode(errors="replace").strip()
        raise ClientError(words or f"`{_shown(command)}` ended with status {client.returncode}")
    return output.decode(errors="replace").strip()


def _await_end(client: "subprocess.Popen[bytes]") -> None:
    """Let a client end that was not to be interrupted, or kill it if it takes long.

    The engine goes on with what it was asked for: a container that a killed client began to start would
    appear after everything had been removed.
    """
    try:
        client.communicate(timeout=_FINISH_S)
    except subprocess.TimeoutExpired:
        _kill(client)
    except BaseException:  # asked to stop once more
        _kill(client)
        raise


def _kill(client: "subprocess.Popen[bytes]") -> None:
    with client:
        kill_tree(client)


def find() -> Engine:
    """The engine and the Compose of this machine.

    Raises:
        EngineError: there is none that can be used.
    """
    if shutil.which("docker") is None:
        raise EngineError("Docker is not installed")
    try:
        version = run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=_ANSWER_S)
    except ClientError as error:
        raise _no_engine(str(error)) from error
    compose = _compose()
    if compose is None:
        raise EngineError(
            "Docker answers, but Docker Compose is missing: install its plugin, or docker-compose"
        )
    return Engine(version, *compose)


def _compose() -> tuple[tuple[str, ...], str] | None:
    """The command of Compose and its version: the plugin, else the older program."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]) is None:
            continue
        try:
            version = run([*command, "version", "--short"], timeout_s=_ANSWER_S)
        except ClientError:  # docker without the plugin
            continue
        if re.match(r"v?\d+\.", version):
            return command, version
    return None


def _no_engine(words: str) -> EngineError:
    """What is wrong where the engine does not answer, from what the client said."""
    last = words.splitlines()[-1]
    if any(word in words.lower() for word in _PERMISSION):
        return EngineError(
            "Docker is installed, but its engine may not be used by this user: "
            f"{last}\nJoin the group that may (usermod --append --groups docker USER, then log in again)"
        )
    return EngineError(f"Docker is installed, but no engine answers: {last}")


def _shown(command: Sequence[str]) -> str:
    """A command for people; a long one is cut."""
    text = shlex.join(command)
    return text if len(text) <= 80 else f"{text[:79]}…"
