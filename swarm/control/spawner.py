"""Has the users of a load spawned, within a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner

from ..users.user_code import described
from .cell import CellFailed, rate_of

SPAWN_LIMIT_S: Final = 60.0


class Spawner:
    """Spawns users with a runner. `check` is called while that lasts, and raises where it must not go on.

    `count` is how many Locust said it has spawned in the end.
    """

    def __init__(
        self, environment: Environment, runner: LocalRunner | MasterRunner, check: Callable[[], None]
    ) -> None:
        self._runner = runner
        self._check = check
        self._spawned = Event()
        self.count = 0
        environment.events.spawning_complete.add_listener(self._note_spawned)

    def spawn(self, users: int) -> None:
        """Have so many users. Raises CellFailed where that cannot be, or takes too long."""
        late = CellFailed(f"{users} users were not spawned within {SPAWN_LIMIT_S:g} s", see_log=True)
        with gevent.Timeout(SPAWN_LIMIT_S, late):
            self._spawned.clear()
            try:
                self._runner.start(users, spawn_rate=rate_of(users))
            except Exception as error:  # a master spawns here, and listeners may have broken its runner
                raise error if error is late else _broken(error) from error
            while not self._spawned.wait(0.05):
                failure = getattr(self._runner.spawning_greenlet, "exception", None)
                if failure is not None:
                    raise _broken(failure)
                self._check()
            self._check()

    def _note_spawned(self, user_count: int, **_: object) -> None:
        self.count = user_count
        self._spawned.set()


def _broken(error: BaseException) -> CellFailed:
    return CellFailed(f"users could not be spawned: {described(error)}", see_log=True)
