"""The launcher of servers on another machine; the suite's own programs and proxies are local processes."""

import base64
import ipaddress
import itertools
import secrets
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from bench.launch.certificates import Certificate
from bench.launch.launcher import ONCE_S, Readings
from bench.launch.local import LocalProxies
from bench.launch.network import Joined, facts
from bench.launch.remote import reach
from bench.launch.remote.link import Link
from bench.launch.remote.machine import Machine
from bench.launch.remote.program import RemoteProgram
from bench.launch.remote.reach import Listening
from bench.launch.remote.serve import RemoteServe
from bench.launch.remote.sharing import split_apart
from bench.launch.remote.ssh import FAILED, RemoteError
from bench.launch.server import Server, ServerError, StartedServer, own_log
from bench.launch.stacks import Environment, Say
from bench.machine import host
from bench.machine.cpus import CpuSplit
from bench.machine.processes import Streams, outcome, uninterrupted
from bench.model.errors import UserError
from targets.catalogue.configurations import Configuration, load
from targets.catalogue.stack import Stack

# What a firewall is to let through: servers listen on these ports, one after the other.
_FIRST_PORT, _PORTS = 20000, 1000
# What the null server needs beside the standard library.
_PARSER = "httptools"
_NOT_STEERED = "servers are on another machine"


class Remote(LocalProxies):
    """Servers run on a machine that ssh reaches, in environments made there; clients come over a network.

    A proxy before them runs here, as one does that has a machine of its own.
    """

    name = "ssh"
    servers_here = False

    def __init__(self, machine: Machine, packages: Path | None = None, port: int | None = None) -> None:
        """``port`` is the first that servers listen on, others have the next ones; raises ``RemoteError``."""
        super().__init__(packages)
        self.machine = machine
        self.address = _address(machine)
        self._first_port = port or _FIRST_PORT
        self._numbers = itertools.count(1)
        self._ports = self._every_port()
        self._own_cpus: tuple[int, ...] = tuple(machine.facts["usable"])

    def _every_port(self) -> Iterator[int]:
        return itertools.cycle(range(self._first_port, min(self._first_port + _PORTS, 1 << 16)))

    # -- The machine of the servers

    @property
    def server_host(self) -> dict[str, Any]:
        found: dict[str, Any] = self.machine.facts["host"]
        return found

    @property
    def server_cpus(self) -> int:
        return len(self.machine.facts["usable"])

    @property
    def available_bytes(self) -> int | None:
        left: int | None = self.machine.facts["available_bytes"]
        return left

    def split(self, workers: int, say: Say) -> CpuSplit:
        found, self._own_cpus = split_apart(self.machine.facts, workers, str(self.machine.host))
        if found.note:
            say(f"note: {found.note}")
        return found

    def environment(self, stack: Stack, say: Say) -> Environment:  # noqa: ARG002  (the machine tells)
        return self.machine.environment(stack)

    def at_servers(self, path: Path) -> str:
        if path == self._catalogue:
            return self.machine.put_together(path, load(path).files)
        return self.machine.put(path)

    def __enter__(self) -> Self:
        """See that clients reach what listens there, and how far away it is."""
        self._ports = self._every_port()
        self._prepare()
        with self.reachable() as listening:
            wire = reach.measure(listening)
        sysctls = self.machine.facts["sysctls"]
        self._joined = Joined(None, facts((), _NOT_STEERED, sysctls, namespace=False) | {"wire": wire})
        return self

    def reachable(self) -> AbstractContextManager[Listening]:
        """Have a port listened at there, where servers will be; raises ``RemoteError``."""
        return reach.there(self.machine.link, self.address, self._ports)

    def _prepare(self) -> None:
        """Have the agent keep to its CPUs, and servers as many open files as they would have here."""
        wanted, allowed = host.open_file_limits()[0], self.machine.facts["open_files"]
        if allowed is not None and allowed < wanted:
            raise RemoteError(
                f"{self.machine.host}: a server may have {allowed} files open there, {wanted} are needed; "
                "raise its hard limit (ulimit -Hn, LimitNOFILE of sshd), or ask for fewer users"
            )
        self.machine.link.ask("prepare", cpus=list(self._own_cpus), open_files=wanted)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._joined = Joined()

    @property
    def network(self) -> dict[str, Any] | None:
        """As it is now: the clock there is watched all the time."""
        found = super().network
        if found is None or self.machine.lost is not None:
            return found
        return found | {"wire": found["wire"] | {"clock": self.machine.link.clock.facts()}}

    # -- Servers

    def _port(self, used: Collection[int]) -> int:
        return next(port for port in self._ports if port not in used)

    def _port_is_taken(self, port: int) -> None:
        """Nothing: the next one is tried."""

    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> RemoteServe:
        key, link = str(next(self._numbers)), self._connected()
        metrics = f"{link.hello['scratch']}/{key}"
        words = [metrics if word == str(place.resolve()) else word for word in arguments]
        command = [str(self._environments[configuration.stack].python), "-m", "targets.serve", *words]
        return RemoteServe(link, key, place, own_log(place), command, self._variables, cpus)

    def _connected(self) -> Link:
        """The agent there; after the connection was lost another one, if there is a way.

        Raises:
            UserError: there is none; what is measured is kept.
        """
        if (why := self.machine.lost) is not None:
            self._say(f"{why}; connecting again")
            try:
                self._prepare()
            except RemoteError as error:
                raise UserError(
                    f"{error}\nFinished cells are kept: give the same command again, and the run goes on"
                ) from error
        return self.machine.link

    def _certificate_options(self, certificate: Certificate) -> list[str]:
        """Copies are made for each start, as the folder that they are in goes with the connection."""
        link = self._connected()
        copies = {"certificate": certificate.certificate, "key": certificate.key}
        for name, path in copies.items():
            link.ask("write", name=f"{name}.pem", data=base64.b64encode(path.read_bytes()).decode())
        return [word for name in copies for word in (f"--{name}", f"{link.hello['scratch']}/{name}.pem")]

    def pids(self, server: Server) -> list[int]:  # noqa: ARG002
        """None that can be looked at here; ``read_clocks`` has them looked at there."""
        return []

    def read_clock(self) -> dict[str, Any] | None:
        return self.machine.link.read_clock() if self.machine.lost is None else None

    def read_clocks(self, servers: Mapping[str, Server], at: Sequence[float]) -> Readings:
        link, rotation = self.machine.link, secrets.token_hex(4)
        names = {}
        for name, server in servers.items():
            assert isinstance(server, StartedServer) and isinstance(server.process, RemoteServe)
            names[name] = server.process.key
        ahead_s = link.clock.ahead_s
        link.send("read", rotation=rotation, names=names, at=[moment + ahead_s for moment in at])

        def found() -> list[Any] | None:
            readings = link.readings(rotation)
            return readings and [(moment - ahead_s, cpu_ns) for moment, cpu_ns in readings]

        return found

    def once(
        self, stack: str, arguments: Sequence[str], timeout_s: float = ONCE_S
    ) -> subprocess.CompletedProcess[str]:
        with uninterrupted():
            process = self.machine.relay(
                [str(self._environments[stack].python), *arguments],
                environment=self._variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        done = outcome(process, timeout_s)
        if done.returncode == FAILED:
            raise self.machine.host.lost(done.stderr.encode())
        return done

    def start_at_servers(
        self, program: Path, arguments: Sequence[str], cpus: Sequence[int], **streams: Unpack[Streams]
    ) -> subprocess.Popen[bytes]:
        having = (made.python for made in self._environments.values() if _PARSER in made.packages)
        if (python := next(having, None)) is None:
            raise ServerError(f"no stack on {self.machine.host} has {_PARSER}, which {program.name} needs")
        pid_file = f"{self._connected().hello['scratch']}/{secrets.token_hex(4)}.pid"
        return self.machine.relay(
            [str(python), self.at_servers(program), *arguments],
            cpus=cpus,
            pid=pid_file,
            kind=partial(RemoteProgram, pid_file),
            **streams,
        )

    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        if not isinstance(process, RemoteProgram):
            return super().cpu_s(process)
        try:
            seconds: float | None = self.machine.link.ask("cpu", file=process.pid_file)["seconds"]
        except RemoteError as error:
            raise ProcessLookupError(str(error)) from error
        if seconds is None:
            raise ProcessLookupError(f"it is not there any more, on {self.machine.host}")
        return seconds


def _address(machine: Machine) -> str:
    """Where servers listen there: at the address that ssh has reached, and at no other."""
    found: str | None = machine.facts["address"]
    if found is None:
        raise RemoteError(f"{machine.host}: sshd does not say at which address it was reached")
    if ipaddress.ip_address(found).is_loopback and machine.facts["boot"] != host.boot():
        raise RemoteError(
            f"{machine.host} is reached by a tunnel (at its own {found}), which clients cannot use: "
            "name it by an address that connections from here reach"
        )
    return found
