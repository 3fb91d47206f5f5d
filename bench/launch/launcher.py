"""Launchers: where servers and load generator run, and how a configuration becomes a server that answers.

A launcher first makes what servers and generator run in (``environment``, ``suite_versions``). ``open`` says
where it writes, ``with`` enters it, and from then on it owns all that it starts. ``start`` returns a server
that is ready, ``start_all`` several, which start side by side; ``stop`` only asks one to end, so that the
next may start meanwhile; ``settle`` waits until those are gone; leaving the context ends everything. It may
be opened again after that.
"""

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, Unpack

from bench.launch import certificates
from bench.launch.certificates import AUTHORITY, Certificate
from bench.launch.network import Joined, Wanted
from bench.launch.proxy import Found
from bench.launch.server import (
    HOST,
    ORDINARY,
    Options,
    Server,
    ServerError,
)
from bench.launch.stacks import Environment, Say
from bench.launch.starting import ServerRequest
from bench.machine import cpus, memory
from bench.machine.cpus import CpuSplit
from bench.machine.processes import Streams
from bench.model.plans.own_app import BEFORE, OwnApp
from bench.model.plans.plan import STARTUP_S
from targets.catalogue.configurations import Configuration
from targets.catalogue.stack import Stack

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
    proxy_address: str = HOST
    """Where proxies before them do."""

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
        """Have servers and proxies that speak TLS present a certificate, which all clients trust.

        It is made in ``folder``.
        """
        self.certificate = certificates.issue(folder, self.address, self.proxy_address)
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

    def remove_left(self, say: Say) -> None:  # noqa: B027
        """Remove what killed runs have left, where that did not end with them; ``open`` does so, too."""

    def has_proxy(self, kind: str) -> bool:  # noqa: ARG002
        """Whether a proxy of that kind is at hand, to be put before its servers."""
        return False

    def find_proxy(self, kind: str) -> Found:
        """A proxy to be put before its servers, fetched if need be.

        Raises:
            UserError: there is none, or it does not run.
        """
        raise AssertionError(f"no plan has {kind} before servers here")

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

    def read_clock(self) -> dict[str, Any] | None:
        """The clock of the servers' machine, as in ``run.json`` around a load; ``None``: it does not tell."""
        raise AssertionError("the servers go by the clock of this machine")

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
