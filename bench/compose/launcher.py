"""The launcher of containers: servers and generator share a network namespace that nothing else is in."""

import itertools
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import psutil

from bench.compose import images, removal
from bench.compose.attached import Attached
from bench.compose.containers import Containers, own_cpus
from bench.compose.engine import ClientError, Engine
from bench.compose.serve import ContainerServe
from bench.errors import UserError
from bench.launch import ONCE_S, Launcher, ServerError, own_log
from bench.processes import ROOT
from bench.stacks import Environment, Say
from targets.configurations import Configuration

# What the suite's image has of the checkout for the programs that it starts, and where.
_IN_IMAGE = (ROOT / "swarm", ROOT / "locustfiles")
_INSIDE = Path("/whichworker")
# Nobody else listens in the namespace, and none of these is given to clients by the kernel.
_FIRST_PORT, _PORTS = 8000, 1000
# Its image may have to be pulled first.
_DATABASE_START_S, _DATABASE_READY_S = 600.0, 60.0
_DATABASE_POLL_S = 0.2
# As docker-compose.yml has them.
_DATABASE_URL = "postgresql://whichworker:whichworker@127.0.0.1/whichworker"
_DATABASE_READY = ("pg_isready", "--host=127.0.0.1", "--username=whichworker", "--dbname=whichworker")


class Compose(Launcher):
    """See ``Launcher``."""

    name = "compose"
    own_network = True

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        say: Say,
        *,
        environments: Mapping[str, Environment] | None = None,
        catalogue: Path | None = None,
        files: Iterable[Path] = (),
        startup_timeout_s: float = 30.0,
        stop_timeout_s: float = 20.0,
    ) -> None:
        """``folder`` takes all that is written; it is mounted. ``environments`` say which images stacks have,
        if not those that everybody uses.

        ``catalogue`` is the file that declares the configurations, if it is not the suite's own. ``files``
        are the plan's own that programs read: their folders are mounted to be read. ``say`` hears what was
        left by others and is removed.
        """
        super().__init__(
            catalogue=catalogue and catalogue.resolve(),
            startup_timeout_s=startup_timeout_s,
            stop_timeout_s=stop_timeout_s,
        )
        read = {_folder_of(path.resolve()): False for path in files if not _is_in_image(path)}
        own = {images.service(name): each.image for name, each in (environments or {}).items() if each.image}
        self._containers = Containers(engine, read | {folder.resolve(): True}, own)
        self._engine = engine
        self._say = say
        self._ports = itertools.cycle(range(_FIRST_PORT, _FIRST_PORT + _PORTS))
        self._measured: dict[str, list[psutil.Process]] = {}

    def __enter__(self) -> Self:
        """Remove what killed runs have left, and make the namespace."""
        left = removal.remove_leftovers(self._engine)
        if left:
            self._say(f"removed {left} container{'s' if left > 1 else ''} of a run that was killed")
        try:
            self._containers.network = self._containers.start("loopback", [], own_cpus())
        except BaseException:
            removal.remove_own(self._engine)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the servers, and remove whatever is left of all that was started."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            removal.remove_own(self._engine)

    def _port(self) -> int:
        return next(self._ports)

    def _port_is_taken(self, port: int) -> None:
        """Nothing: the next one is tried."""

    def _serve(
        self, configuration: Configuration, arguments: Sequence[str], place: Path, cpus: Sequence[int]
    ) -> ContainerServe:
        service = images.service(configuration.stack)
        try:
            name = self._containers.start(service, arguments, cpus, variables=self._environment)
        except ClientError as error:
            raise ServerError(
                f"{configuration.name} did not start, Docker says:\n{_indented(error)}"
            ) from error
        return ContainerServe(self._containers, name, own_log(place))

    def suite(
        self,
        arguments: Sequence[str],
        cpus: Sequence[int],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.DEVNULL,
        stderr: int | IO[Any] = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """See ``Launcher``."""
        return self._containers.attach(
            images.SUITE, arguments, cpus, variables=self.shared, stdin=stdin, stdout=stdout, stderr=stderr
        )

    def inside(self, path: Path) -> str:
        """See ``Launcher``."""
        whole = path.resolve()
        if _is_in_image(whole):
            return str(_INSIDE / whole.relative_to(ROOT))
        if not any(whole.is_relative_to(folder) for folder in self._containers.mounts):
            raise ValueError(f"{whole} is neither in the suite's image nor mounted")
        return str(whole)

    def cpu_s(self, process: subprocess.Popen[bytes]) -> float:
        """See ``Launcher``; counts the processes that the program had when it was first asked for."""
        assert isinstance(process, Attached)
        name = process.container
        try:
            if name not in self._measured:
                main = psutil.Process(self._containers.main_pid(name))
                self._measured[name] = [main, *main.children(recursive=True)]
            times = [each.cpu_times() for each in self._measured[name]]
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(f"no process of the container {name} can be seen from here") from error
        return float(sum(each.user + each.system for each in times))

    def once(self, stack: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """See ``Launcher``."""
        return self._containers.once(images.service(stack), arguments, ONCE_S, self._environment)

    @property
    def _environment(self) -> dict[str, str]:
        return {**self.variables, **self.shared}

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


def _is_in_image(path: Path) -> bool:
    return any(path.resolve().is_relative_to(folder) for folder in _IN_IMAGE)


def _folder_of(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _indented(error: ClientError) -> str:
    return "\n".join(f"  {line}" for line in str(error).splitlines()[-8:])
