"""The launcher of containers: servers and generator share a network namespace that nothing else is in."""

import itertools
import os
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import psutil

from bench.launch import workers as worker_events
from bench.launch.containers import cleanup, images
from bench.launch.containers.containers import Attached, Containers, own_cpus
from bench.launch.containers.engine import ClientError, Engine
from bench.launch.containers.programs import ContainerProgram, ContainerServe
from bench.launch.launcher import ONCE_S
from bench.launch.network import Joined, facts
from bench.launch.own import own_packages
from bench.launch.proxied import FrontingLauncher
from bench.launch.proxy import Found, Proxy
from bench.launch.server import Server, ServerError, StartedServer, own_log
from bench.launch.stacks import Environment, Say
from bench.machine.processes import Streams, tree_cpu_s
from bench.model.errors import UserError
from bench.model.files import ROOT
from targets.catalogue.configurations import Configuration
from targets.catalogue.stack import Stack

# What the suite's image has of the checkout for the programs that it starts, and where.
_IN_IMAGE = (ROOT / "swarm", ROOT / "locustfiles")
_INSIDE = Path("/whichworker")
# Nothing else listens in the namespace, and the kernel gives none of these to clients.
_FIRST_PORT, _PORTS, _STRIDE = 20000, 10000, 50
# Its image may have to be pulled first.
_DATABASE_START_S, _DATABASE_READY_S = 600.0, 60.0
_DATABASE_POLL_S = 0.2
# As docker-compose.yml has them.
_DATABASE_URL = "postgresql://whichworker:whichworker@127.0.0.1/whichworker"
_DATABASE_READY = ("pg_isready", "--host=127.0.0.1", "--username=whichworker", "--dbname=whichworker")


class Compose(FrontingLauncher):
    """The launcher of containers: servers, database, proxies and the suite's programs run in their images.

    Where locustfiles need packages, the suite's programs have an image with these as well.
    """

    name = "compose"
    own_network = True

    def __init__(self, engine: Engine, packages: Path | None = None) -> None:
        super().__init__(packages)
        self._engine = engine

    def environment(self, stack: Stack, say: Say) -> Environment:
        return images.ensure(self._engine, stack, say)

    def suite_versions(self, say: Say) -> dict[str, Any]:
        return own_packages.versions(self._suite_environment(say), pinned_only=self._packages is None)

    def _suite_environment(self, say: Say) -> Environment:
        if self._suite is None:
            self._suite = images.suite(self._engine, say, self._packages)
        return self._suite

    @property
    def _mounts(self) -> dict[Path, bool]:
        """The folders of the host that containers see, and whether they may be written to."""
        read = {_folder_of(path.resolve()): False for path in self._files if not _is_in_image(path)}
        return read | {self._folder.resolve(): True}

    def __enter__(self) -> Self:
        """Remove what killed runs have left, and make the namespace."""
        environments = dict(self._environments)
        if self._packages is not None:
            environments[images.SUITE] = self._suite_environment(self._say)
        tags = {images.service(name): made.image for name, made in environments.items() if made.image}
        self._containers = Containers(
            self._engine, self._mounts, tags, host_pids=not self._engine.remaps_users()
        )
        # Where runs share a network after all (the tests' stand-in for Docker), they must not meet.
        first = os.getpid() * _STRIDE % _PORTS
        self._ports = (_FIRST_PORT + (first + count) % _PORTS for count in itertools.count())
        self._main_pids: dict[str, int] = {}
        self.remove_left(self._say)
        try:
            self._containers.network = self._containers.start("loopback", [], own_cpus())
            self._joined = Joined(None, self._steered())
        except BaseException:
            cleanup.remove_own(self._engine)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the servers, and remove whatever is left of all that was started."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            cleanup.remove_own(self._engine)

    def remove_left(self, say: Say) -> None:
        left = cleanup.remove_leftovers(self._engine)
        if left:
            say(f"removed {left} container{'s' if left > 1 else ''} of a run that was killed")

    def _steered(self) -> dict[str, Any] | None:
        """The ``network`` of ``run.json``, after an attempt to steer it; ``None`` if nobody asked for it."""
        if self._network is None:
            return None
        why, sysctls = self._containers.steer(self._network.cpus)
        advice = "an engine of root's own that allows --cap-add SYS_ADMIN would steer it"
        return facts(self._network.cpus, why and f"{why}; {advice}", sysctls, namespace=True)

    def _port(self, used: Collection[int]) -> int:  # noqa: ARG002  (none comes twice)
        return next(self._ports)

    def _port_is_taken(self, port: int) -> None:
        """Nothing: the next one is tried."""

    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> "ContainerServe":
        service = images.service(configuration.stack)
        try:
            name = self._containers.start(service, arguments, cpus, variables=self._variables)
        except ClientError as error:
            raise ServerError(
                f"{configuration.name} did not start, Docker says:\n{_indented(error)}"
            ) from error
        return ContainerServe(self._containers, name, own_log(place))

    def has_proxy(self, kind: str) -> bool:
        return images.is_here(self._engine, images.of_proxy(kind))

    def find_proxy(self, kind: str) -> Found:
        return images.find_proxy(self._engine, kind)

    def start_proxy(self, proxy: Proxy, folder: Path, log: Path) -> ContainerProgram:
        try:
            name = self._containers.start(images.service(proxy.kind), proxy.arguments(folder), proxy.cpus)
        except ClientError as error:
            raise UserError(
                f"{proxy.kind} ({proxy.program}) did not start, Docker says:\n{_indented(error)}"
            ) from error
        return ContainerProgram(self._containers, name, log)

    def _port_of_front(self) -> int:
        return next(self._ports)

    def _share(self, folder: Path) -> None:
        self._containers.mounts[folder] = True

    def pids(self, server: Server) -> list[int]:
        """Serve wrote down the numbers in its container; the suite's programs know those of the host."""
        assert isinstance(server, StartedServer) and isinstance(server.process, ContainerServe)
        if not self._containers.host_pids:
            return []
        inside = set(worker_events.living(server.directory))
        try:
            first = psutil.Process(server.process.main_pid())
            return [each.pid for each in first.children(recursive=True) if _inner_pid(each.pid) in inside]
        except psutil.NoSuchProcess:
            return []

    def start_program(
        self, arguments: Sequence[str], cpus: Sequence[int], **streams: Unpack[Streams]
    ) -> subprocess.Popen[bytes]:
        return self._containers.attach(images.SUITE, arguments, cpus, variables=self.shared, **streams)

    def inside(self, path: Path) -> str:
        whole = path.resolve()
        if _is_in_image(whole):
            return str(_INSIDE / whole.relative_to(ROOT))
        if not any(whole.is_relative_to(folder) for folder in self._mounts):
            raise ValueError(f"{whole} is neither in the suite's image nor mounted")
        return str(whole)

    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        assert isinstance(process, Attached)
        name = process.container
        pid = self._main_pids.get(name) or self._containers.main_pid(name)
        used = tree_cpu_s(pid)
        self._main_pids[name] = pid  # to ask for it takes longer
        return used

    def once(
        self, stack: str, arguments: Sequence[str], timeout_s: float = ONCE_S
    ) -> subprocess.CompletedProcess[str]:
        return self._containers.once(images.service(stack), arguments, timeout_s, self._variables)

    def database(self) -> str:
        """Start PostgreSQL where the servers are, on the CPUs of this process.

        Returns its URL when it takes connections.

        Raises:
            UserError: it cannot be started, or ends; says why in its own words.
        """
        try:
            name = self._containers.start("bench-postgres", [], own_cpus(), timeout_s=_DATABASE_START_S)
        except ClientError as error:
            raise UserError(
                f"the database could not be started, Docker says:\n{_indented(error)}\n"
                "Name an image that is here or can be pulled with WHICHWORKER_POSTGRES (docs/compose.md)"
            ) from error
        deadline = time.monotonic() + _DATABASE_READY_S
        while not self._takes_connections(name):
            state = self._containers.state(name)
            if state is None or not state.running or time.monotonic() > deadline:
                said = self._containers.log(name).splitlines()[-8:]
                raise UserError("\n  ".join(["the database did not become ready; its last lines:", *said]))
            time.sleep(_DATABASE_POLL_S)
        return _DATABASE_URL

    def _takes_connections(self, database: str) -> bool:
        try:
            self._containers.execute(database, *_DATABASE_READY)
        except ClientError:
            return False
        return True


def _inner_pid(pid: int) -> int | None:
    """The number that a process has in its own pid namespace, from proc(5); ``None`` if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), None)


def _is_in_image(path: Path) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in _IN_IMAGE)


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _indented(error: ClientError) -> str:
    return "\n".join(f"  {line}" for line in str(error).splitlines()[-8:])
