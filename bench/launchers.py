"""Which launcher a run uses, and what must be there before it can be made: environments, or images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bench import host, stacks
from bench.compose import engine as docker
from bench.compose import images
from bench.compose.launcher import Compose
from bench.deployed import Deployed
from bench.errors import UsageError, UserError, unknown
from bench.launch import Launcher
from bench.launch_external import External, check_presence
from bench.launch_processes import Processes
from bench.stacks import Environment, Say
from targets.configurations import Stack

VARIABLE = "WHICHWORKER_LAUNCHER"
NAMES = (Processes.name, Compose.name, External.name)

_OTHERWISE = f"Local processes need no Docker: LAUNCHER={Processes.name}"


@dataclass(frozen=True)
class Work:
    """What a launcher is for.

    It writes to ``folder`` only. ``catalogue`` is one of the plan's own, ``files`` are all files and folders
    of its own that programs read, ``port`` is what every local server is to listen on. ``say`` hears what
    others left and is removed.
    """

    environments: Mapping[str, Environment]
    folder: Path
    say: Say
    catalogue: Path | None = None
    files: Sequence[Path] = ()
    port: int | None = None


class Kind(Protocol):
    """A launcher before there is one."""

    @property
    def name(self) -> str:
        """As in ``run.json``."""

    def environment(self, stack: Stack, say: Say, /) -> Environment:
        """What servers of a stack run in, made if need be (then ``say`` hears of it).

        Raises:
            UnavailableError: it cannot be had here.
            UserError: something that must be mended first.
        """

    def suite(self, say: Say, /) -> dict[str, Any]:
        """The ``suite`` of ``run.json``: the versions of what the generator runs on, made if need be."""

    def launcher(self, work: Work, /) -> Launcher:
        """The launcher of a run."""


@dataclass(frozen=True)
class _OfProcesses:
    """Virtual environments, and local processes in them."""

    name: str = Processes.name

    def environment(self, stack: Stack, say: Say, /) -> Environment:
        return stacks.ensure(stack, say)

    def suite(self, _say: Say, /) -> dict[str, Any]:
        return host.suite_versions()

    def launcher(self, work: Work, /) -> Processes:
        return Processes(work.environments, port=work.port, catalogue=work.catalogue)


@dataclass(frozen=True)
class _OfContainers:
    """Images, and containers of them."""

    engine: docker.Engine
    name: str = Compose.name

    def environment(self, stack: Stack, say: Say, /) -> Environment:
        return images.ensure(self.engine, stack, say)

    def suite(self, say: Say, /) -> dict[str, Any]:
        return images.suite(self.engine, say)

    def launcher(self, work: Work, /) -> Compose:
        return Compose(
            self.engine,
            work.folder,
            work.say,
            environments=work.environments,
            catalogue=work.catalogue,
            files=work.files,
        )


@dataclass(frozen=True)
class _OfNobody:
    """A server that runs already: only the suite has an environment here."""

    deployed: Deployed
    name: str = External.name

    def environment(self, stack: Stack, _say: Say, /) -> Environment:
        raise AssertionError(f"nothing is served from {stack.name}")

    def suite(self, _say: Say, /) -> dict[str, Any]:
        return host.suite_versions()

    def launcher(self, _work: Work, /) -> External:
        return External(self.deployed)


def choose(
    asked: str | None,
    port: int | None = None,
    external: Deployed | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Kind, str]:
    """The launcher that was asked for, here or by the environment, else the best there is; and why.

    ``external`` is a server that runs already, which no other launcher is for.

    Raises:
        UsageError: there is no such launcher, or it cannot give servers a ``port``.
        UserError: it cannot be used here, or the server is not there.
    """
    kind, why = _chosen(asked, environment) if external is None else _there(asked, port, external)
    if port is not None and kind.name == Compose.name:
        raise UsageError(
            f"--port is for local processes, give --launcher {Processes.name} too: containers share no ports"
        )
    return kind, why


def _there(asked: str | None, port: int | None, external: Deployed) -> tuple[Kind, str]:
    """The launcher of a server that is there."""
    if asked not in (None, External.name):
        raise UsageError(f"--url is a server that runs already: leave out --launcher {asked}")
    if port is not None:
        raise UsageError(f"{external.url} has its port: leave out --port")
    check_presence(external.url)
    return _OfNobody(external), f"launcher: none, what runs at {external.url} is measured and not metered"


def _chosen(asked: str | None, environment: Mapping[str, str]) -> tuple[Kind, str]:
    name, by = (asked, "as asked") if asked else (environment.get(VARIABLE), f"as {VARIABLE} says")
    if not name:
        return _best()
    if name not in NAMES:
        raise UsageError(unknown("launcher", name, NAMES))
    if name == External.name:
        raise UsageError("the launcher external needs a server that runs already: bench run --url http://…")
    if name == Processes.name:
        return _OfProcesses(), f"launcher: local processes, {by}"
    try:
        engine = docker.find()
    except docker.EngineError as error:
        raise UserError(f"{error}\n{_OTHERWISE}") from error
    return _OfContainers(engine), f"launcher: containers, {by} ({_versions(engine)})"


def _best() -> tuple[Kind, str]:
    """Containers where there can be any."""
    try:
        engine = docker.find()
    except docker.EngineError as error:
        return _OfProcesses(), f"launcher: local processes, no containers ({str(error).splitlines()[0]})"
    why = f"launcher: containers, as Docker answers ({_versions(engine)})"
    return _OfContainers(engine), f"{why}; LAUNCHER={Processes.name} for local processes"


def _versions(engine: docker.Engine) -> str:
    compose = " ".join(engine.compose_command)
    return f"Docker {engine.version}, {compose} {engine.compose_version}"
