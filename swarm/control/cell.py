"""One cell of a session: its command, how its users are spawned, and how its time passes."""

from __future__ import annotations

import gc
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from time import time
from typing import Any, Final

from gevent.event import Event
from locust import User
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import Runner

from ..engine.openloop import Arrivals
from ..users.leftovers import GoesOnError
from .pacemaker import ARRIVALS, NONE, RATE, SEED
from .plugin import RECORD, TRACE, Coordinator
from .process import emit
from .scenarios import Scenarios
from .workers import Workers

RAMP_USERS: Final = 64
RAMP_STEPS: Final = 20
RAMP_PAUSE_S: Final = 0.03
"""Users are spawned 64 at a time, or in 20 steps where there are more, 30 ms apart."""


def step_of(users: int) -> int:
    """How many of so many users are spawned at a time."""
    return max(RAMP_USERS, users // RAMP_STEPS)


def rate_of(users: int) -> float:
    """At which rate so many users are spawned, per second."""
    return step_of(users) / RAMP_PAUSE_S


class Ramp(UsersDispatcher):
    """Locust's dispatcher in small steps, where Locust's own spawns all users of a second at once.

    Some servers queue no more than 100 connections. Users that connect all at once overflow the
    queue, and the kernel tries again a second later (SYN retransmission), which is in the window.
    """

    def __init__(
        self, worker_nodes: list[Any], user_classes: list[type[User]], environment: Environment | None = None
    ) -> None:
        """See Locust's; where an `environment` is given, it has the classes when users are spawned."""
        super().__init__(worker_nodes, user_classes)
        self._environment = environment

    def new_dispatch(
        self, target_user_count: int, spawn_rate: float, user_classes: list[type[User]] | None = None
    ) -> None:
        """See Locust's; the rate is that of the ramp."""
        chosen = self._user_classes if self._environment is None else self._environment.user_classes
        # A master has made this before `test_start`, whose listeners may choose who runs.
        if set(chosen) != set(self._user_classes) and not self.get_current_user_count():
            super().__init__(self._worker_nodes, chosen)
        super().new_dispatch(target_user_count, spawn_rate, user_classes)
        self._user_count_per_dispatch_iteration = step_of(target_user_count)
        self._wait_between_dispatch = RAMP_PAUSE_S

    def _user_gen(self) -> Iterator[str | None]:
        """Which class the next user is of; None where there is no other.

        In a rotation one target follows the other. Locust's own way takes classes in turn, as it does
        workers: of two targets and two workers each would have all of one.
        """
        if not any(getattr(each, "whichworker_target", None) for each in self._user_classes):
            yield from super()._user_gen()
            return
        for each in self._user_classes:
            yield from repeat(each.__name__, each.fixed_count)
        yield from repeat(None)


def allow_fast_spawning() -> None:
    """Have Locust not warn of the rate: users that are generators are spawned in microseconds."""
    logging.getLogger("locust.runners").addFilter(
        lambda record: "selected spawn rate is very high" not in str(record.msg)
    )


class CellFailed(Exception):
    """The cell has no result, for this reason.

    `see_log` says that the log has more of it; `over` that the session can run no further cell.
    """

    def __init__(self, reason: str, *, see_log: bool = False, over: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.see_log = see_log
        self.over = over


@dataclass(frozen=True)
class LoadOptions:
    """The options of one load. Times are seconds; `run_time_s` None: no end, `arrivals` None: a closed loop.

    Nothing is recorded where `directory` is None. `host` is None where each class of users has its own.
    """

    host: str | None
    users: int
    spawn_rate: float
    run_time_s: int | None
    stop_timeout_s: float
    directory: Path | None
    trace: bool = False
    arrivals: Arrivals | None = None

    def of_locust(self) -> dict[str, Any]:
        """Locust's own options, as `locust -u USERS -H HOST -t SECONDS` would have them."""
        return {
            "host": self.host,
            "num_users": self.users,
            "spawn_rate": self.spawn_rate,
            "run_time": self.run_time_s,
            "stop_timeout": self.stop_timeout_s,
        }

    def of_suite(self) -> dict[str, Any]:
        """The suite's own options; Locust passes them on to its workers."""
        arrivals = self.arrivals
        return {
            RECORD: "" if self.directory is None else str(self.directory),
            TRACE: self.trace,
            ARRIVALS: NONE if arrivals is None else arrivals.kind,
            RATE: None if arrivals is None else arrivals.rate_per_s,
            SEED: None if arrivals is None else arrivals.seed,
        }


def prepare_load(
    environment: Environment,
    scenarios: Scenarios,
    files: Sequence[str],
    options: LoadOptions,
    workers: Workers | None,
    rotation: Mapping[str, Any] | None = None,
) -> None:
    """Put the scenarios of some files in place with their options, here and in the workers of a master.

    Of a rotation the workers are told who its targets are. Raises CellFailed.
    """
    try:
        scenarios.put_some(files, environment)
    except GoesOnError as error:
        raise CellFailed(str(error), see_log=True, over=True) from error
    environment.host = options.host
    environment.stop_timeout = options.stop_timeout_s
    vars(environment.parsed_options).update(options.of_locust(), **options.of_suite())
    if workers is not None:
        workers.put(files, options.of_locust(), rotation)
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # what is loaded by now need not be looked at again while users are waiting


@dataclass(frozen=True)
class Cell:
    """A `cell` command, checked. Times are seconds; `arrivals` is None in a closed loop.

    `id` is what its events are to carry.
    """

    id: str | None
    host: str
    scenario: str
    users: int
    arrivals: Arrivals | None
    warmup_s: float
    measured_s: int
    directory: Path
    stop_timeout_s: float
    record: bool
    trace: bool

    @classmethod
    def of(cls, command: Mapping[str, Any]) -> Cell:
        """Read a command. Raises CellFailed where fields are missing or cannot be what they should."""
        required = ("host", "scenario", "users", "warmup_s", "measured_s", "directory")
        if missing := [name for name in required if name not in command]:
            raise CellFailed(f"not a complete cell command: it lacks {', '.join(missing)}")
        try:
            cell = cls(
                id=command.get("cell"),
                host=command["host"],
                scenario=command["scenario"],
                users=int(command["users"]),
                arrivals=_arrivals(command.get("arrivals")),
                warmup_s=float(command["warmup_s"]),
                measured_s=int(command["measured_s"]),
                directory=Path(command["directory"]),
                stop_timeout_s=float(command.get("stop_timeout_s", 1.0)),
                record=bool(command.get("record", True)),
                trace=bool(command.get("trace", False)),
            )
        except (TypeError, ValueError) as error:
            raise CellFailed(f"not a cell command: {error}") from error
        if cell.trace and not cell.record:
            raise CellFailed("not a cell command: trace needs record, which is false")
        return cell

    def load_options(self) -> LoadOptions:
        """What its load is to be; Locust's run time counts whole seconds."""
        return LoadOptions(
            host=self.host,
            users=self.users,
            spawn_rate=rate_of(self.users),
            run_time_s=math.ceil(self.warmup_s) + self.measured_s,
            stop_timeout_s=self.stop_timeout_s,
            directory=self.directory if self.record else None,
            trace=self.trace,
            arrivals=self.arrivals,
        )


def _arrivals(given: Any) -> Arrivals | None:
    """Raises ValueError or TypeError where it is neither null nor a schedule."""
    if given is None:
        return None
    if not isinstance(given, Mapping) or not {"kind", "rate_per_s"} <= set(given):
        raise ValueError(f"arrivals is null or has kind, rate_per_s and perhaps seed, not {given!r}")
    if unknown := set(given) - {"kind", "rate_per_s", "seed"}:
        raise ValueError(f"arrivals has kind, rate_per_s and seed, and nothing called {', '.join(unknown)}")
    return Arrivals(given["rate_per_s"], given["kind"], given.get("seed"))


class Progress:
    """Lets a cell's time pass. `check` is called at each step, and raises where the cell must not go on.

    `cell` is the id that its events carry.
    """

    def __init__(self, runner: Runner, coordinator: Coordinator, check: Callable[[], None]) -> None:
        self._runner = runner
        self._coordinator = coordinator
        self._check = check
        self.cell: str | None = None
        self._window_start: int | None = None
        self._end = 0
        self._shortened = Event()

    def warm_up(self, end: int) -> None:
        """Wait until this Unix second."""
        self._window_start = None
        self._pass(end)

    def measure(self, start: int, seconds: int) -> int:
        """Wait until the window, which begins now, is over; returns its end (Unix seconds)."""
        self._window_start = start
        self._pass(start + seconds)
        return self._end

    def enough(self) -> None:
        """End the window with the second that is running; do nothing in a warm-up, nor between cells."""
        if self._window_start is not None:
            self._end = min(self._end, math.floor(time()) + 1)
            self._shortened.set()

    def _pass(self, end: int) -> None:
        self._end = end
        self._shortened.clear()
        stats = self._runner.stats
        requests, failures, since = stats.num_requests, stats.num_failures, time()
        while (left := self._end - time()) > 0:
            if self._shortened.wait(min(left, 1.0)):
                self._shortened.clear()  # look at the end again
                continue
            self._check()
            now = time()
            start = self._window_start
            emit(
                event="progress",
                cell=self.cell,
                time=now,
                users=self._runner.user_count,
                requests_per_s=(stats.num_requests - requests) / (now - since),
                failures_per_s=(stats.num_failures - failures) / (now - since),
                window_start=start,
                requests=None if start is None else self._coordinator.successes_since(start),
            )
            requests, failures, since = stats.num_requests, stats.num_failures, now
        self._check()
