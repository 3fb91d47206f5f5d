"""Which launcher a run uses: the one that was asked for, else the best that works here."""

import os
from collections.abc import Mapping
from pathlib import Path

from bench.launch.containers import engine as docker
from bench.launch.containers.compose import Compose
from bench.launch.external import External, check_presence
from bench.launch.launcher import Launcher
from bench.launch.local import Processes
from bench.launch.remote.launcher import Remote
from bench.launch.remote.machine import Machine
from bench.launch.remote.ssh import Host
from bench.launch.stacks import Say
from bench.model.errors import UsageError, UserError, unknown
from bench.model.plans.deployed import Deployed

VARIABLE = "WHICHWORKER_LAUNCHER"
NAMES = (Processes.name, Compose.name, External.name, Remote.name)

_OTHERWISE = f"Local processes need no Docker: LAUNCHER={Processes.name}"


def choose_launcher(
    name: str | None,
    port: int | None = None,
    external: Deployed | None = None,
    environment: Mapping[str, str] = os.environ,
    packages: Path | None = None,
    server: str | None = None,
    say: Say = lambda _: None,
) -> tuple[Launcher, str]:
    """The launcher of that name, or the one that the environment names, else the best there is; and why.

    ``external`` is a server that runs already, which needs the external launcher. ``packages`` is a
    requirements file of what locustfiles import. ``server`` is the machine that servers run on, if it is
    another one; ``say`` hears of what is copied there.

    Raises:
        UsageError: there is no such launcher, or it cannot give servers a ``port``.
        UserError: it cannot be used here, or the external server does not answer.
    """
    if external is not None:
        return _external(name, port, external, packages)
    if server is not None:
        return _remote(name, port, server, packages, say)
    by = "as asked" if name else f"as {VARIABLE} says"
    name = name or environment.get(VARIABLE)
    if not name:
        launcher: Launcher
        launcher, why = _best(port, packages)
    elif name not in NAMES:
        raise UsageError(unknown("launcher", name, NAMES))
    elif name == Remote.name:
        raise UsageError(
            "the launcher ssh needs the machine that servers run on: --server user@host (SERVER=)"
        )
    elif name == External.name:
        raise UsageError("the launcher external needs a server that runs already: bench run --url http://…")
    elif name == Processes.name:
        launcher, why = Processes(packages, port), f"launcher: local processes, {by}"
    else:
        launcher, why = _containers(by, packages)
    if port is not None and launcher.name == Compose.name:
        raise UsageError(
            f"--port is for local processes, give --launcher {Processes.name} too: containers share no ports"
        )
    return launcher, why


def _external(
    name: str | None, port: int | None, external: Deployed, packages: Path | None
) -> tuple[Launcher, str]:
    if name not in (None, External.name):
        raise UsageError(f"--url is a server that runs already: leave out --launcher {name}")
    if port is not None:
        raise UsageError(f"{external.url} has its port: leave out --port")
    check_presence(external.url)
    why = f"launcher: none, what runs at {external.url} is measured and not metered"
    return External(external, packages), why


def _remote(
    name: str | None, port: int | None, server: str, packages: Path | None, say: Say
) -> tuple[Launcher, str]:
    if name not in (None, Remote.name):
        raise UsageError(f"--server is for processes on another machine: leave out --launcher {name}")
    machine = Machine(Host.parse(server), say)
    launcher = Remote(machine, packages, port)
    found = machine.facts["host"]
    why = f"launcher: servers on {server} ({found['cpu']}, {found['cpus']} CPUs), at {launcher.address}"
    return launcher, why


def _containers(by: str, packages: Path | None) -> tuple[Launcher, str]:
    try:
        engine = docker.find()
    except docker.EngineError as error:
        raise UserError(f"{error}\n{_OTHERWISE}") from error
    return Compose(engine, packages), f"launcher: containers, {by} ({_versions(engine)})"


def _best(port: int | None, packages: Path | None) -> tuple[Launcher, str]:
    """Containers where Docker answers, else local processes."""
    try:
        engine = docker.find()
    except docker.EngineError as error:
        why = f"launcher: local processes, no containers ({str(error).splitlines()[0]})"
        return Processes(packages, port), why
    why = f"launcher: containers, as Docker answers ({_versions(engine)})"
    return Compose(engine, packages), f"{why}; LAUNCHER={Processes.name} for local processes"


def _versions(engine: docker.Engine) -> str:
    compose = " ".join(engine.compose_command)
    return f"Docker {engine.version}, {compose} {engine.compose_version}"
