"""Programs and servers as processes of this machine: the suite in its own environment, servers in theirs."""

import itertools
import os
import signal
import subprocess
import sys
import time
from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import psutil

from bench.launch import network, stacks
from bench.launch import workers as worker_events
from bench.launch.launcher import ONCE_S, Launcher
from bench.launch.network import Joined
from bench.launch.own import own_packages
from bench.launch.program import ProgramHere
from bench.launch.proxied import FrontingLauncher
from bench.launch.proxy import Found, Proxy, find_installed, installed
from bench.launch.server import HOST, Serve, Server, ServerError, StartedServer, own_log
from bench.launch.stacks import Environment, Say
from bench.launch.starting import Attempt, ServerRequest
from bench.machine import host, topology
from bench.machine import network as machine_network
from bench.machine.cpus import as_good
from bench.machine.processes import (
    Streams,
    move_tree,
    outcome,
    spawn,
    tree_cpu_s,
    uninterrupted,
    wait_or_kill,
)
from bench.model import folders
from bench.model.errors import UserError
from targets.catalogue.configurations import Configuration
from targets.catalogue.stack import Stack
from targets.serving.readiness import free_port

# In a network of the run's own nothing else listens, and the kernel gives none of these to clients.
_FIRST_PORT = 20000
# Where servers have their temporary files: those that are killed leave some (Sanic's manager a socket).
_TEMPORARY = "whichworker-tmp-"


class LocalPrograms(Launcher, ABC):
    """A launcher that runs the suite's programs as local processes.

    Where locustfiles need packages, they run in an environment that has these as well.
    """

    def suite_versions(self, say: Say) -> dict[str, Any]:
        environment = self._suite_environment(say)
        return host.suite_versions() if environment is None else own_packages.versions(environment)

    def _suite_environment(self, say: Say) -> Environment | None:
        """The one that was made for locustfiles; ``None``: this process's own."""
        if self._packages is not None and self._suite is None:
            self._suite = own_packages.ensure_generator(self._packages, say)
        return self._suite

    def start_program(
        self, arguments: Sequence[str], cpus: Sequence[int], **streams: Unpack[Streams]
    ) -> subprocess.Popen[bytes]:
        environment = self._suite_environment(self._say)
        python = sys.executable if environment is None else str(environment.python)
        return spawn(
            [python, *arguments],
            cpus,
            environment=self.shared,
            guarded=True,
            network=self.namespace,
            **streams,
        )

    def inside(self, path: Path) -> str:
        return str(path)

    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        return tree_cpu_s(process.pid)  # the guard, which the program is below


class LocalProxies(FrontingLauncher, LocalPrograms, ABC):
    """A launcher whose proxies are local processes, wherever its servers are."""

    def has_proxy(self, kind: str) -> bool:
        return installed(kind) is not None

    def find_proxy(self, kind: str) -> Found:
        return find_installed(kind)

    def start_proxy(self, proxy: Proxy, folder: Path, log: Path) -> "LocalProgram":
        """Guarded: none of its processes outlives the suite, even if its first one is killed."""
        with log.open("wb") as output:
            child = spawn(
                [proxy.program, *proxy.arguments(folder)],
                proxy.cpus,
                stdout=output,
                stderr=output,
                folder=folder,
                network=self.namespace,
                guarded=True,
            )
        return LocalProgram(child)

    def _port_of_front(self) -> int:
        return free_port()


class Processes(LocalProxies):
    """The launcher of local processes: servers run in the virtual environments of their stacks."""

    name = "processes"

    def __init__(self, packages: Path | None = None, port: int | None = None) -> None:
        """``port`` is what a server listens on, others beside it the next ones; without it any free one."""
        super().__init__(packages)
        self._given_port = port
        self._sysctls: dict[str, int] = {}  # of the run's own network, that are not those it began with
        self._entered = ExitStack()

    def __enter__(self) -> Self:
        """Make the network that is wanted, and a folder for the servers' temporary files."""
        self._ports = itertools.count(_FIRST_PORT)
        self._sysctls = {}
        with ExitStack() as stack:
            self._joined = network.enter(self._network, stack)
            self._temporary = stack.enter_context(folders.temporary(_TEMPORARY))
            self._entered = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._entered.close()
            self._joined = Joined()

    def set_sysctls(self, sysctls: Mapping[str, int]) -> None:
        """As any launcher, where the network is one of the run's own."""
        if self.namespace is None:
            super().set_sysctls(sysctls)
            return
        facts = self.network
        assert facts is not None
        wanted = {**{name: facts["sysctls"].get(name) for name in self._sysctls}, **sysctls}
        if wanted == self._sysctls:
            return
        why = machine_network.set_sysctls(self.namespace, wanted)
        if why is not None:
            raise ServerError(why)
        self._sysctls = dict(sysctls)

    def environment(self, stack: Stack, say: Say) -> Environment:
        return stacks.ensure(stack, say)

    def _port_of_front(self) -> int:
        return super()._port_of_front() if self.namespace is None else next(self._ports)

    def _port(self, used: Collection[int]) -> int:
        if self.namespace is not None:
            return next(self._ports)
        if self._given_port is None:
            return next(port for port in iter(free_port, None) if port not in used)
        self.settle()
        return next(port for port in itertools.count(self._given_port) if port not in used)

    def _port_is_taken(self, port: int) -> None:
        if self._given_port is not None:
            raise UserError(
                f"port {port} is in use on {HOST}; free it, ask for another one with --port, "
                "or leave --port out and a free one is chosen"
            )

    def pids(self, server: Server) -> list[int]:
        return [pid for pid in worker_events.living(server.directory) if psutil.pid_exists(pid)]

    def _starts_on(self, request: ServerRequest) -> list[tuple[int, ...]]:
        places = topology.read([*request.cpus, *request.resting])
        return as_good(request.cpus, request.resting, places)

    def _look_at(self, attempt: Attempt) -> None:
        """As any launcher; a server that has started on other CPUs than its own is moved to these."""
        super()._look_at(attempt)
        request = attempt.request
        if isinstance(attempt.outcome, StartedServer) and attempt.cpus != request.cpus:
            assert isinstance(attempt.process, LocalServe)
            move_tree(attempt.process.child.pid, request.cpus)

    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> "LocalServe":
        python = self._environments[configuration.stack].python
        command = [str(python), "-m", "targets.serve", *arguments]
        with own_log(place).open("wb") as log:
            child = spawn(
                command,
                cpus,
                stdout=log,
                stderr=log,
                environment={**self._variables, "TMPDIR": str(self._temporary)},
                network=self.namespace,
            )
        return LocalServe(child)

    def once(
        self, stack: str, arguments: Sequence[str], timeout_s: float = ONCE_S
    ) -> subprocess.CompletedProcess[str]:
        with uninterrupted():
            process = spawn(
                [str(self._environments[stack].python), *arguments],
                sorted(os.sched_getaffinity(0)),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                environment=self._variables,
                guarded=True,
                network=self.namespace,
            )
        return outcome(process, timeout_s)


@dataclass(eq=False)
class LocalProgram(ProgramHere):
    """A program that is a child of this process."""

    child: subprocess.Popen[bytes]

    def poll(self) -> int | None:
        return self.child.poll()

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def settle(self, timeout_s: float) -> None:
        wait_or_kill(self.child, timeout_s)

    def cpu_s(self) -> float:
        return tree_cpu_s(self.child.pid)


class LocalServe(LocalProgram, Serve):
    """A ``targets.serve`` that is a child of this process."""

    def kill(self, pid: int) -> float:
        moment = time.time()
        os.kill(pid, signal.SIGKILL)
        return moment
