"""What a generator of another machine and the master say to each other before Locust knows of either.

The generator says hello until it is welcomed or refused. A welcome names the scenarios, whose files the
generator has itself: by their place below the project, or below a folder of its own, and by their digest.
When it has loaded them it connects as any Locust worker does, and says as whom.
"""

from __future__ import annotations

import hashlib
import os
import platform
import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import locust

from ...http.connection import AUTHORITY
from ..process import PROJECT
from ..segments import Segments, ports, why_no_ports
from .clocks import Reading

PROTOCOL: Final = 3
"""Of this conversation, and of what messages hold; a generator of another one is refused."""

PORT: Final = 5557
"""Where a master listens, unless it is told otherwise: Locust's own choice."""

SPARE_FILES: Final = 128
"""What a process has open beside the connections of its users."""

HELLO: Final = "whichworker_hello"
WELCOME: Final = "whichworker_welcome"
REFUSED: Final = "whichworker_refused"
JOINED: Final = "whichworker_joined"
CLOCK_MESSAGE: Final = "whichworker_clock"
"""What a generator's clock shows is asked, and answered, with this one."""
KEEP_MESSAGE: Final = "whichworker_keep"
"""Tells a generator where the master's clocks stand beside its own."""
OVER_MESSAGE: Final = "whichworker_over"
"""Tells a generator that the run is over: it need not wait for another master."""


@dataclass(frozen=True)
class Hello:
    """Who wants to join: process number `process` of the `of` that a generator has.

    `token` is that of the generator, `name` what people call it. `clock` names the engine's clock: processes
    with the same one need no offset.
    """

    token: str
    name: str
    process: int
    of: int
    hostname: str
    system: str
    python: str
    cpus: list[int]
    clock: str
    open_files: int | None
    """The most that a process of it may have; None without a limit."""
    ports: int
    """So many connections may go from its machine to one server."""
    locust: str = locust.__version__
    protocol: int = PROTOCOL

    @classmethod
    def here(cls, token: str, name: str, process: int, of: int) -> Hello:
        """That of this process."""
        return cls(
            token=token,
            name=name,
            process=process,
            of=of,
            hostname=platform.node(),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            cpus=sorted(os.sched_getaffinity(0)),
            clock=clock_here(),
            open_files=_open_files(),
            ports=ports(),
        )


@dataclass
class Process:
    """A process of a generator, by the id that Locust knows it by."""

    client: str
    number: int
    silent_s: int = 0


class Showing(NamedTuple):
    """What a machine showed at one moment: its clocks, and what TCP had sent there."""

    clocks: Reading
    segments: Segments


@dataclass
class Generator:
    """A machine (or a container) whose processes make load: `hello` is what the first of them said."""

    name: str
    hello: Hello
    since: float
    processes: dict[int, Process] = field(default_factory=dict)
    before: Showing | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of its processes have joined."""
        return len(self.processes) == self.hello.of

    @property
    def clients(self) -> list[str]:
        return [self.processes[each].client for each in sorted(self.processes)]

    def record(self) -> dict[str, Any]:
        """What is known of it, as events and files have it; `processes` are numbers of generator.csv."""
        told = ("hostname", "system", "python", "cpus")
        numbers = sorted(each.number for each in self.processes.values())
        return {
            "name": self.name,
            **{key: getattr(self.hello, key) for key in told},
            "processes": numbers,
        }


def clock_here() -> str:
    """Which engine's clock this process reads: it begins with the machine, and may be another in a namespace.

    Unknown ones are all different.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        return f"unknown {platform.node()} {os.getpid()}"


def _open_files() -> int | None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def why_too_many(generators: Sequence[Generator], users: int, of_each: int) -> str | None:
    """Why generators cannot have so many users, `of_each` server; None: nothing speaks against it.

    Each user has a connection, and each process as many users as any other.
    """
    processes = sum(len(each.processes) for each in generators)
    for each in generators:
        share = -(-users // processes)
        most = each.hello.open_files
        if most is not None and share + SPARE_FILES > most:
            return (
                f"{each.name}: a process of the load generator has {share:,} of the {users:,} users there, "
                f"and may have {most:,} open files: raise its hard limit (ulimit -Hn), or have more processes"
            )
        connections = len(each.processes) * -(-of_each // processes)
        if (why := why_no_ports(connections, each.hello.ports)) is not None:
            return f"{each.name}: {why}"
    return None


@dataclass(frozen=True)
class SharedFile:
    """A scenario's file: the master's name for it, its place below the home of all, and its digest."""

    name: str
    place: str
    sha256: str


@dataclass(frozen=True)
class Welcome:
    """What a generator is to load. `own` says that the files are below a folder that it was given.

    `authority` is the certificate (PEM) that has signed those of the run's servers, if they speak TLS.
    """

    files: list[SharedFile]
    options: list[str]
    own: bool
    authority: str | None = None

    @classmethod
    def to(cls, files: Sequence[str], options: Sequence[str]) -> Welcome:
        """With the scenarios of the master, by their files there. Raises OSError."""
        paths = {file: Path(file).resolve() for file in files}
        own = not all(path.is_relative_to(PROJECT) for path in paths.values())
        home = PROJECT
        if own:
            home = Path(os.path.commonpath([path.parent for path in paths.values()]))
        shared = [
            SharedFile(file, path.relative_to(home).as_posix(), digest(path)) for file, path in paths.items()
        ]
        named = os.environ.get(AUTHORITY)
        authority = Path(named).read_text(encoding="utf-8") if named else None
        return cls(shared, list(options), own, authority)

    def packed(self) -> dict[str, Any]:
        """Plain values, as messages take them."""
        return asdict(self)

    @classmethod
    def unpacked(cls, data: Mapping[str, Any]) -> Welcome:
        """The welcome that `packed` made `data` of."""
        return cls(**{**data, "files": [SharedFile(**each) for each in data["files"]]})

    def trust(self) -> None:
        """Have users of this process trust the run's servers.

        The certificate is a file in memory, which goes with this process however that ends.
        """
        if self.authority is not None:
            file = os.memfd_create("authority")
            with open(file, "w", encoding="utf-8", closefd=False) as stream:
                stream.write(self.authority)
            os.environ[AUTHORITY] = f"/proc/{os.getpid()}/fd/{file}"

    def own_names(self, folder: Path | None) -> dict[str, str]:
        """The scenarios' files here, by the master's names; `folder` has those that are not the suite's.

        Raises CannotJoinError where one is missing, or another.
        """
        if self.own and folder is None:
            raise CannotJoinError(
                f"the run has locustfiles of its own ({', '.join(each.place for each in self.files)}): "
                "copy their folder here, and name it with --locustfiles"
            )
        home = folder if self.own and folder is not None else PROJECT
        found = {}
        for each in self.files:
            path = home / each.place
            if not path.is_file():
                raise CannotJoinError(f"the run needs {each.place}, and there is none in {home}")
            if digest(path) != each.sha256:
                raise CannotJoinError(f"{path} is not the same as the master's: take over the master's files")
            found[each.name] = str(path)
        return found


class CannotJoinError(Exception):
    """A generator cannot take part; the message is for people."""


def digest(path: Path) -> str:
    """What a file holds, as a hash. Raises OSError."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def why_unlike(hello: Mapping[str, Any]) -> str | None:
    """Why somebody who says hello cannot be understood; None: nothing speaks against it."""
    if hello.get("protocol") != PROTOCOL:
        return "its suite is of another version than the master's: take the same one on both machines"
    if hello["locust"] != locust.__version__:
        return f"it has Locust {hello['locust']}, and the master {locust.__version__}"
    return None


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`, or `[IPv6]:PORT`. Raises CannotJoinError."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    elif text.count(":") > 1:  # an IPv6 address alone
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if not host or (port and not port.isdigit()):
        raise CannotJoinError(f"--master {text}: not of the form HOST or HOST:PORT")
    return host, int(port) if port else PORT
