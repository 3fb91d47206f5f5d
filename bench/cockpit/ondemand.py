"""The database of a sitting: started for the first load that needs one, ended with the sitting."""

import contextlib
from collections.abc import Collection
from types import TracebackType
from typing import Any, Self

from bench.database import URL, Database
from bench.launch import NO_DATABASE, Launcher


class OnDemand:
    """Has servers of one launcher know of a database if their load needs it, and else of none."""

    def __init__(self, launcher: Launcher, database: Database | None, needing: Collection[str]) -> None:
        """``needing`` are the scenarios that need it; without a ``database`` they are not offered."""
        self._variables = launcher.variables
        self._database = database
        self._needing = frozenset(needing)
        self._open = contextlib.ExitStack()
        self._url: str | None = None

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def needed_by(self, scenarios: Collection[str]) -> Database | None:
        """The database that a load of these scenarios needs, if it does."""
        return self._database if self._needing.intersection(scenarios) else None

    def set_up(self, scenarios: Collection[str], stack: str) -> dict[str, Any] | None:
        """Prepare for a server of a stack that is started next, for a load of these scenarios.

        Returns the ``database`` of ``run.json`` if the load needs one.

        Raises:
            UserError: it does not start, or does not make its tables.
        """
        database = self.needed_by(scenarios)
        self._variables.update(NO_DATABASE)
        if database is None:
            return None
        if self._url is not None and database.failure() is not None:
            self._open.close()
            self._url = None
        if self._url is None:
            self._open.enter_context(database)
            self._url = self._variables[URL]
        else:
            self._variables[URL] = self._url
            database.make_tables(stack)
        return database.facts
