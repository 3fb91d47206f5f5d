"""The database of a run, for scenarios that need one: where it comes from, and that its tables are ready."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from bench import postgres
from bench.cells import Block
from bench.errors import UserError
from bench.launch import Launcher
from bench.scenarios import DATABASE, Scenario
from bench.stacks import Say, UnavailableError

URL = "DATABASE_URL"

_AGAIN = "Then give the same command again: the run goes on where it stopped."
_REMEDIES = {
    "given": f"Start it, mend {URL}, or unset that and the suite brings its own.",
    "private": f"Mend that, or set {URL} to a database that runs.",
    "compose": "Look at the service bench-postgres of docker-compose.yml.",
}


@dataclass(frozen=True)
class Running:
    """A database that takes connections at ``url``.

    ``cpus`` are those it is pinned to, ``None`` where it is not ours; ``failure`` says why it is not there
    any more, if that can be known.
    """

    url: str
    cpus: tuple[int, ...] | None = None
    failure: Callable[[], str | None] = lambda: None


class Source(Protocol):
    """Where a database comes from, in words by ``str``; ``where`` as in ``run.json``."""

    @property
    def where(self) -> str: ...  # noqa: D102

    def open(
        self, run: Path, cpus: Sequence[int], launcher: Launcher, /
    ) -> contextlib.AbstractContextManager[Running]:
        """Have it run while the context lasts, on these CPUs; what is written goes to the run's folder.

        Raises:
            UserError: it does not start.
        """
        ...


@dataclass(frozen=True)
class Given:
    """A database that runs already: the caller's ``DATABASE_URL``."""

    url: str
    where: str = "given"

    def __str__(self) -> str:
        return f"that of {URL}"

    @contextlib.contextmanager
    def open(self, _run: Path, _cpus: Sequence[int], _launcher: Launcher, /) -> Iterator[Running]:
        """See ``Source``; nothing is started."""
        yield Running(self.url)


@dataclass(frozen=True)
class Private:
    """A server of the run's own, from the binaries that are installed."""

    binaries: Path
    where: str = "private"

    def __str__(self) -> str:
        return f"a private PostgreSQL of this run, made with {self.binaries}"

    @contextlib.contextmanager
    def open(self, run: Path, cpus: Sequence[int], _launcher: Launcher, /) -> Iterator[Running]:
        """See ``Source``."""
        with postgres.private(self.binaries, run, cpus) as server:
            yield Running(server.url, tuple(cpus), server.failure)


@runtime_checkable
class HasService(Protocol):
    """A launcher that can start the service ``bench-postgres`` of docker-compose.yml."""

    def database(self) -> str:
        """Start it where the servers are; returns its URL when it takes connections."""
        ...


@dataclass(frozen=True)
class Service:
    """The service ``bench-postgres`` of docker-compose.yml, which ends with its launcher."""

    where: str = "compose"

    def __str__(self) -> str:
        return "the service bench-postgres"

    @contextlib.contextmanager
    def open(self, _run: Path, cpus: Sequence[int], launcher: Launcher, /) -> Iterator[Running]:
        """See ``Source``."""
        assert isinstance(launcher, HasService)
        yield Running(launcher.database(), tuple(cpus))


def find(launcher: str, say: Say, environment: Mapping[str, str] = os.environ) -> Source:
    """Where a database can be had under a launcher.

    Raises:
        UnavailableError: nowhere.
    """
    given = environment.get(URL)
    if launcher == "compose":
        if given:
            say(f"note: {URL} is not used: containers have no network, and a PostgreSQL of their own")
        return Service()
    if given:
        return Given(given)
    binaries = postgres.find_binaries()
    if binaries is None:
        raise UnavailableError(
            "there is no database, and no PostgreSQL is installed here",
            f"install one (Debian: apt install postgresql), or set {URL} to one that runs",
        )
    return Private(binaries)


def needing(scenarios: Mapping[str, Scenario], names: Collection[str]) -> frozenset[str]:
    """Those of the named scenarios that need a database."""
    return frozenset(name for name in names if DATABASE in scenarios[name].needs)


class Database:
    """The database of a run, as a context within that of its launcher, to which it tells the URL.

    ``scenarios`` are those that need it, ``stack`` one whose environment is ready, ``again`` what people are
    told to do after they have mended it.
    """

    def __init__(
        self,
        source: Source,
        launcher: Launcher,
        scenarios: Collection[str],
        stack: str,
        run: Path,
        cpus: Sequence[int],
        again: str = _AGAIN,
    ) -> None:
        self._source = source
        self._launcher = launcher
        self._scenarios = scenarios
        self._stack = stack
        self._run = run
        self._cpus = cpus
        self._again = again
        self._open = contextlib.ExitStack()
        self._running: Running | None = None
        self._version = ""

    def __enter__(self) -> Self:
        """Start it and make its tables; raises ``UserError`` where that fails."""
        with contextlib.ExitStack() as stack:
            running = stack.enter_context(self._source.open(self._run, self._cpus, self._launcher))
            self._launcher.variables[URL] = running.url
            self._running = running
            self._version = self.make_tables(self._stack)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def facts(self) -> dict[str, Any]:
        """The ``database`` of ``run.json``."""
        assert self._running is not None
        cpus = self._running.cpus
        return {
            "where": self._source.where,
            "version": self._version,
            "cpus": None if cpus is None else list(cpus),
            "scenarios": sorted(self._scenarios),
        }

    def failure(self) -> str | None:
        """Why it is not there any more; ``None`` while it runs, or if that cannot be known."""
        assert self._running is not None
        return self._running.failure()

    def prepare(self, block: Block, stack: str) -> None:
        """Have the tables as they are to be when a block begins, if it needs them.

        Raises:
            UserError: the database does not do it, nor would it for any later block.
        """
        searched = (scenario for scenario, _ in block.searches)
        if any(name in self._scenarios for name in (*(cell.scenario for cell in block.cells), *searched)):
            self.make_tables(stack)

    def make_tables(self, stack: str) -> str:
        """Have the tables as they are to be, by the environment of a stack; returns the server's version.

        Raises:
            UserError: the database does not do it.
        """
        try:
            done = self._launcher.once(stack, ["-m", "targets.database", "prepare"])
        except subprocess.TimeoutExpired as late:
            raise self._error(f"it was not prepared within {late.timeout:.0f} s") from late
        if done.returncode != 0:
            raise self._error((done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1])
        return done.stdout.strip().splitlines()[-1]

    def _error(self, why: str) -> UserError:
        return UserError(f"{self.failure() or why}\n{_REMEDIES[self._source.where]} {self._again}")
