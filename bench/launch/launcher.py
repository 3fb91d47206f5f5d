"""Launchers: where servers and load generator run, and how a configuration becomes a server that answers.

A launcher first makes what servers and generator run in (``environment``, ``suite_versions``). ``open`` says
where it writes, ``with`` enters it, and from then on it owns all that it starts. ``start`` returns a server
that is ready, ``start_all`` several, which start side by side; ``stop`` only asks one to end, so that the
next may start meanwhile; ``settle`` waits until those are gone; leaving the context ends everything. It may
be opened again after that.
"""

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, Unpack

from bench.launch import certificates
from bench.launch.certificates import AUTHORITY, Certificate
from bench.launch.network import Joined, Wanted
from bench.launch.server import (
    HOST,
    ORDINARY,
    Options,
    Serve,
    Server,
    ServerError,
    StartedServer,
    serve_arguments,
)
from bench.launch.stacks import Environment, Say
from bench.launch.starting import LOOK_EVERY_S, Attempt, ServerRequest
from bench.machine import cpus, memory
from bench.machine.cpus import CpuSplit
from bench.machine.processes import Streams
from bench.model.own_app import BEFORE, OwnApp
from bench.model.plan import STARTUP_S
from targets.configurations import Configuration
from targets.stack import Stack

# Serve itself gives up after the start-up time-out; this is for one that does not.
_STARTUP_SLACK_S = 10.0
# Servers that start share their CPUs, and each has its time to become ready: 47 at once on one CPU, as with
# all variants of three servers, take longer than 30 s, and no one by one.
_STARTING_AT_ONCE = 6
# A run that was interrupted does not wait for long until its servers have ended.
_INTERRUPTED_S = 2.0
# A program of the suite's own that is run to its end.
ONCE_S = 60.0
# The caller's own is for runs that need a database.
NO_DATABASE = {"DATABASE_URL": ""}


Readings = Callable[[], Sequence[Any] | None]
"""What was read of CPU clocks, once all is: Unix times, and each server's CPU time (ns); ``None`` before."""


class Launcher(ABC):
    """What every launcher can do; how it does it, and where, is in its subclasses.

    ``variables`` reach the environment of every server that is started from then on, ``shared`` that of
    everything; their values are never shown. ``app_options`` tell serve which app it is, if it is not the
    suite's; ``certificate`` is what servers that speak TLS present. ``own_network``: what it starts has
    another 127.0.0.1 than this process.
    """

    name: ClassVar[str]
    """As in ``run.json``."""
    servers_here: ClassVar[bool] = True
    """Whether servers run on this machine, where their CPUs and processes can be looked at."""
    own_network: ClassVar[bool] = False

    variables: dict[str, str]
    shared: dict[str, str]
    app_options: list[str]
    before_options: list[str]
    certificate: Certificate | None
    address: str = HOST
    """Where servers listen."""

    def __init__(self, packages: Path | None = None) -> None:
        """``packages`` is a requirements file for locustfiles: the suite's programs get them."""
        self._packages = packages
        self._catalogue: Path | None = None
        self._suite: Environment | None = None  # that of the suite's programs, once it is made for them
        self._joined = Joined()

    @property
    def server_host(self) -> dict[str, Any] | None:
        """The ``server_host`` of ``run.json``; ``None`` where the suite starts servers on this machine."""
        return None

    @property
    def server_cpus(self) -> int:
        """How many CPUs there are where servers run."""
        return len(os.sched_getaffinity(0))

    @property
    def available_bytes(self) -> int | None:
        """How much memory is free where servers run, as far as that is told."""
        return memory.available_bytes()

    def split(self, workers: int, say: Say) -> CpuSplit:
        """Share out the CPUs for servers of up to ``workers`` workers; ``say`` hears what spoils numbers."""
        return cpus.split_here(workers, say)

    @abstractmethod
    def environment(self, stack: Stack, say: Say) -> Environment:
        """What servers of a stack run in, made if need be (then ``say`` hears of it).

        Raises:
            UnavailableError: it cannot be had here.
            UserError: something that must be mended first.
        """

    @abstractmethod
    def suite_versions(self, say: Say) -> dict[str, Any]:
        """The ``suite`` of ``run.json``: the versions of what the generator runs on, made if need be.

        Raises:
            UserError: it cannot be made.
        """

    def open(
        self,
        environments: Mapping[str, Environment],
        folder: Path,
        say: Say,
        *,
        catalogue: Path | None = None,
        files: Sequence[Path] = (),
        network: Wanted | None = None,
        startup_timeout_s: float = STARTUP_S,
        stop_timeout_s: float = 20.0,
    ) -> Self:
        """This launcher, to be entered for a run or a part of one: nothing of what it was before is left.

        ``environments`` are those of the servers by the name of their stack. ``folder`` is the only one that
        is written to. ``say`` hears what is installed, and what others left and is removed. ``catalogue``
        declares the configurations if it is not the suite's own. ``files`` are all files and folders of a
        plan's own that programs read. ``network`` is the one to meet in; without it this machine's, as it is,
        where there is a choice.
        """
        self.variables = dict(NO_DATABASE)
        self.shared = {}
        self.app_options = []
        self.before_options = []
        self.certificate = None
        self._environments = environments
        self._folder = folder
        self._say = say
        self._catalogue = catalogue
        self._files = files
        self._network = network
        self._joined = Joined()
        self._startup_timeout_s = startup_timeout_s
        self._stop_timeout_s = stop_timeout_s
        return self

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def network(self) -> dict[str, Any] | None:
        """The ``network`` of ``run.json``, when it is entered; ``None`` where no network was asked for."""
        return self._joined.facts

    @property
    def namespace(self) -> Path | None:
        """The network namespace that programs of this machine run in; ``None``: that of this process."""
        return self._joined.path

    def serve_app(self, app: OwnApp) -> None:
        """Have servers run a user's own app, or its baseline; raises as ``OwnApp.values``."""
        self.app_options = app.serve_options(self.at_servers(app.path))
        before = app.before
        self.before_options = [] if before is None else before.serve_options(self.at_servers(before.path))
        self.shared.update(app.values())

    def certify(self, folder: Path) -> None:
        """Have servers that speak TLS present a certificate made in ``folder``, which all clients trust."""
        self.certificate = certificates.issue(folder, self.address)
        self.shared[AUTHORITY] = str(self.certificate.authority)

    def _app_options(self, configuration: Configuration) -> list[str]:
        """What tells serve which app a configuration is to serve."""
        return self.before_options if configuration.stack.endswith(BEFORE) else self.app_options

    @abstractmethod
    def start(
        self,
        configuration: Configuration,
        workers: int | None,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        """Start a server and wait until it answers as the right configuration.

        ``directory`` takes its metrics and logs; where there is a folder of the run, it lies below that.
        ``workers`` is ``None`` only for an external server.

        Raises:
            ServerError: it never did; says why with the server's last lines.
            UserError: the port asked for is in use, or what it is to run on is not there any more.
        """

    @abstractmethod
    def start_all(self, requests: Sequence[ServerRequest]) -> list[Server | ServerError]:
        """Start servers side by side and wait until each is ready or is known not to become so.

        Returns them, or why not, in the order of the requests: one that fails disturbs no other.

        Raises:
            UserError: as ``start``.
        """

    def set_sysctls(self, sysctls: Mapping[str, int]) -> None:
        """Have the network of the run these sysctls from now on, and otherwise those that it began with.

        Raises:
            ServerError: it cannot have them here; says why.
        """
        if sysctls:
            raise ServerError(
                f"{', '.join(sysctls)} is set in a network of the run's own, which local processes have "
                "where bench runs as root (LAUNCHER=processes)"
            )

    @abstractmethod
    def pids(self, server: Server) -> list[int]:
        """The processes that a server has now, by the numbers that the suite's programs know them by.

        All that the server consists of: managers, workers, helpers, not serve. Empty where nothing is known.
        """

    def read_clocks(self, servers: Mapping[str, Server], at: Sequence[float]) -> Readings:
        """Have the CPU clocks of servers, by some names, read at Unix times, where they run."""
        raise AssertionError(f"the generator itself reads the clocks of {list(servers)}, {len(at)} times")

    @abstractmethod
    def stop(self, server: Server) -> None:
        """Ask a server to end; does not wait."""

    @abstractmethod
    def settle(self) -> None:
        """Wait until every server that was asked to end is gone, so that nothing disturbs a cell."""

    @abstractmethod
    def start_program(
        self, arguments: Sequence[str], cpus: Sequence[int], **streams: Unpack[Streams]
    ) -> subprocess.Popen[bytes]:
        """Start ``python ARGUMENTS`` of the suite on some CPUs, where 127.0.0.1 is the servers'.

        Signals reach the program wherever it runs; it ends with the launcher at the latest, and with it all
        that it started.
        """

    def at_servers(self, path: Path) -> str:
        """A file or folder that servers read, as they know it."""
        return str(path.resolve())

    def start_at_servers(
        self, program: Path, arguments: Sequence[str], cpus: Sequence[int], **streams: Unpack[Streams]
    ) -> subprocess.Popen[bytes]:
        """Start ``python PROGRAM ARGUMENTS`` of the suite on CPUs of the servers, at their ``address``.

        Otherwise as ``start_program``.

        Raises:
            ServerError: it cannot run there.
        """
        return self.start_program([self.inside(program), *arguments], cpus, **streams)

    @abstractmethod
    def inside(self, path: Path) -> str:
        """A path of the checkout, the run's folder or the plan's files, as the suite's programs know it."""

    @abstractmethod
    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        """CPU seconds (user and system) that a program started by ``start_program`` has used so far.

        Raises:
            ProcessLookupError: it has ended.
        """

    @abstractmethod
    def once(
        self, stack: str, arguments: Sequence[str], timeout_s: float = ONCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run ``python ARGUMENTS`` of a stack to its end, where the servers run; its output is captured.

        Whatever it is and does, nothing that it started is left, and this process is not met by it.

        Raises:
            subprocess.TimeoutExpired: it takes longer than ``timeout_s``.
        """


class ServingLauncher(Launcher):
    """A launcher whose servers are run by ``targets.serve``; where that runs is in its subclasses."""

    def __init__(self, packages: Path | None = None) -> None:
        super().__init__(packages)
        self._running: dict[Serve, int] = {}  # and their ports
        self._stopping: list[Serve] = []
        self._longest_grace_s = 0.0  # of the servers that were asked to end

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._running:
            process.terminate()
        self._stopping += self._running
        self._running = {}
        self._settle(self._stop_timeout_s if kind is None else _INTERRUPTED_S)

    def start(
        self,
        configuration: Configuration,
        workers: int | None,
        directory: Path,
        cpus: Sequence[int],
        options: Options = ORDINARY,
    ) -> Server:
        assert workers is not None
        (outcome,) = self.start_all([ServerRequest(configuration, workers, directory, tuple(cpus), options)])
        if isinstance(outcome, ServerError):
            raise outcome
        return outcome

    def start_all(self, requests: Sequence[ServerRequest]) -> list[Server | ServerError]:
        attempts = [Attempt(request, self._startup_timeout_s + _STARTUP_SLACK_S) for request in requests]
        waiting, under_way = deque(attempts), list[Attempt]()
        while waiting or under_way:
            while waiting and len(under_way) < _STARTING_AT_ONCE:
                under_way.append(waiting.popleft())
                self._begin(under_way[-1])
            for attempt in under_way:
                if attempt.outcome is None:
                    self._look_at(attempt)
            under_way = [attempt for attempt in under_way if attempt.outcome is None]
            time.sleep(LOOK_EVERY_S)
        return [attempt.outcome for attempt in attempts if attempt.outcome is not None]

    def _begin(self, attempt: Attempt) -> None:
        """Start a server at the next port."""
        if attempt.request.configuration.tls and attempt.request.options.proxy is not None:
            name = attempt.request.configuration.name
            attempt.outcome = ServerError(f"{name} speaks TLS, and the proxy asks servers without it")
            return
        request, place, port = attempt.request, attempt.next_place(), self._port(self._running.values())
        arguments = serve_arguments(request.configuration.name, self.address, port, request.workers)
        arguments += [] if self._catalogue is None else ["--catalogue", self.at_servers(self._catalogue)]
        arguments += ["--metrics", str(place.resolve()), *request.options.arguments()]
        if request.options.swapped:
            arguments += ["--swap-port", str(self._port([port, *self._running.values()]))]
        arguments += self._app_options(request.configuration)
        if request.configuration.tls:
            assert self.certificate is not None  # the rig sees to it
            arguments += self._certificate_options(self.certificate)
        arguments += ["--startup-timeout", str(self._startup_timeout_s)]
        try:
            process = self._serve(request.configuration, arguments, place, request.cpus)
        except ServerError as error:
            attempt.outcome = error
        else:
            self._running[process] = port
            attempt.begun(process)

    def _certificate_options(self, certificate: Certificate) -> list[str]:
        """What tells serve of the certificate that it presents."""
        return certificate.serve_options()

    def _look_at(self, attempt: Attempt) -> None:
        """Note what has become of a server; one whose port was taken is begun anew."""
        if not attempt.is_decided() or attempt.outcome is not None:
            return
        port = self._running.pop(attempt.process)
        attempt.failed()
        if attempt.outcome is None:
            self._port_is_taken(port)
            self._begin(attempt)

    def stop(self, server: Server) -> None:
        assert isinstance(server, StartedServer)
        if self._running.pop(server.process, None) is not None:
            self._stopping.append(server.process)
            self._longest_grace_s = max(self._longest_grace_s, server.options.grace_period_s or 0)
            server.process.terminate()

    def settle(self) -> None:
        self._settle(self._stop_timeout_s + self._longest_grace_s)
        self._longest_grace_s = 0.0

    @property
    def _variables(self) -> dict[str, str]:
        """What the environment of servers has beside what surrounds them."""
        return {**self.variables, **self.shared}

    def _settle(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._stopping:
            self._stopping[-1].settle(max(0.0, deadline - time.monotonic()))
            self._stopping.pop()

    @abstractmethod
    def _port(self, used: Collection[int]) -> int:
        """A port for the next server, none of those ``used`` by others that run."""

    @abstractmethod
    def _port_is_taken(self, port: int) -> None:
        """Hear that a port was in use; raises ``UserError`` where no other may be tried."""

    @abstractmethod
    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> Serve:
        """Start serve with its arguments; what it says itself goes to ``own_log(place)`` until it has ended.

        Raises as ``start`` does.
        """
