"""One load after the other: from Start, by way of bench, which serves what is to be loaded, to Stop."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from math import ceil, floor
from pathlib import Path
from time import time
from typing import Any, Final

import gevent
from locust import User
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING

from ..control.cell import CellFailed, LoadOptions, prepare_load
from ..control.pacemaker import LEAD_S, not_swarm
from ..control.plugin import coordinator_of
from ..control.process import emit
from ..control.rotating import spread
from ..control.scenarios import Scenarios, engine_of_users
from ..control.workers import NotReadyError, Workers
from ..engine.openloop import Arrivals
from ..recording.files import locust_csv
from ..recording.summary import read_window
from .form import LoadRequest, Refused
from .link import Link
from .live import Live
from .offer import Offer, lacking, named

logger = logging.getLogger(__name__)

LEAST_WINDOW_S: Final = 1
STOP_TIMEOUT_S: Final = 2.0
"""What users get to finish their requests, as in the cells of `bench run`."""
STOP_AGAIN_S: Final = 0.1
NOTICES: Final = 20


@dataclass
class Load:
    """A load that runs: what was asked for, where it goes and is recorded; times are Unix seconds.

    `spawned` is how many users there were when the last were spawned, and `settled` when that was, None
    while they are being spawned or stopped; `stopping` is when they were told to stop; `reason` says why the
    load is no measurement.
    """

    requested: LoadRequest
    url: str
    directory: Path
    ceilings: list[dict[str, Any]]
    began: float
    spawned: int = 0
    settled: float | None = None
    stopping: float | None = None
    reason: str | None = None
    files: ExitStack = field(default_factory=ExitStack)

    def window(self, warmup_s: float) -> tuple[int, int]:
        """The whole seconds that were measured: from a warm-up after the last change of users to Stop.

        Raises Refused with the reason where there are none.
        """
        if self.settled is None or self.stopping is None:
            raise Refused("the load was stopped while users were still being spawned")
        start, end = ceil(self.settled + warmup_s), floor(self.stopping)
        if end - start < LEAST_WINDOW_S:
            raise Refused(
                f"the load was stopped too soon: it is measured from {warmup_s:g} s after the last change of "
                f"users, for at least {LEAST_WINDOW_S} whole second"
            )
        return start, end


class Loads:
    """The loads of one web UI. `state` is "idle", "starting", "running" or "stopping"."""

    def __init__(
        self,
        environment: Environment,
        link: Link,
        live: Live,
        offer: Offer,
        scenarios: Scenarios,
        workers: Workers | None,
    ) -> None:
        """The environment has its runner, and the suite's listeners, which are called before these.

        `workers` are those of a master.
        """
        self._scenarios = scenarios
        self._classes_offered = offer.classes_offered(
            {file: each.names for file, each in scenarios.all.items()}
        )
        self._workers = workers
        self._environment = environment
        self._link = link
        self._live = live
        self._offer = offer
        self._coordinator = coordinator_of(environment)
        self._coordinator.listeners.append(live.add)
        self.state = "idle"
        self._cancelled: str | None = None
        self.load: Load | None = None
        """The load that runs, or ran last."""
        self.urls: set[str] = set()
        """What was served here."""
        self.notices: deque[dict[str, Any]] = deque(maxlen=NOTICES)
        hooks = environment.events
        hooks.spawning_complete.add_listener(self._spawned)
        hooks.test_stopping.add_listener(self._stopping)
        hooks.test_stop.add_listener(self._stopped)

    def note(self, kind: str, text: str) -> None:
        """Show a line on the page: `kind` is "note" or "error"."""
        self.notices.append({"time": time(), "kind": kind, "text": text})

    @property
    def labels(self) -> list[str]:
        """The entries of the class picker, available ones first."""
        return sorted(self._classes_offered, key=lambda label: label in self.lacking)

    @property
    def lacking(self) -> dict[str, str]:
        """A sentence for each entry of the class picker that is unavailable."""
        return lacking(self._classes_offered)

    # -- Start, change, stop

    def begin(self, requested: LoadRequest) -> Load:
        """Have bench start the server, and get ready to record. Raises Refused with the reason."""
        if self.state != "idle":
            raise Refused("another load is being started or stopped: wait a moment")
        classes = self._classes(requested)
        names = [each.__name__ for each in classes]
        if twice := [
            label for label, name in zip(requested.classes, names, strict=True) if names.count(name) > 1
        ]:
            raise Refused(
                f"{' and '.join(twice)} cannot run at once, as Locust knows classes by name: pick one"
            )
        if requested.rate_per_s is not None and (reason := not_swarm(classes)):
            raise Refused(reason)
        self._check_users(requested)
        self.state = "starting"
        self._cancelled = None
        try:
            picked = named(self._classes_offered, requested.classes)
            what = {"scenario": "+".join(picked.values()), "scenarios": list(picked)}
            answer = self._link.ask("start", **what, **_asked(requested))
            if answer["command"] != "served":
                raise Refused(answer["reason"])
            self.load = Load(requested, answer["url"], Path(answer["directory"]), answer["ceilings"], time())
            self.urls.add(answer["url"])
            self._await_workers()
            self._prepare(self.load)
            if self._cancelled is not None:
                self.abandon(self._cancelled)
                raise Refused(self._cancelled)
        except BaseException as error:
            self.state = "idle"
            if isinstance(error, Refused):
                self.note("error", str(error))
            raise
        self.state = "running"
        return self.load

    def _check_users(self, requested: LoadRequest) -> None:
        """Raise Refused where Locust would never spawn so many."""
        most = sum(spread(self._classes(requested), requested.users).values())
        if most < requested.users:
            raise Refused(f"there can be at most {most} users, as each class has a fixed_count")

    def _prepare(self, load: Load) -> None:
        requested = load.requested
        files = dict.fromkeys(self._classes_offered[label].scenario.file for label in requested.classes)
        options = LoadOptions(
            host=load.url,
            users=requested.users,
            spawn_rate=requested.spawn_rate,
            run_time_s=requested.run_time_s,
            stop_timeout_s=STOP_TIMEOUT_S,
            directory=load.directory,
            arrivals=None if requested.rate_per_s is None else Arrivals(requested.rate_per_s),
        )
        try:
            prepare_load(self._environment, self._scenarios, list(files), options, self._workers)
        except CellFailed as failure:
            self.abandon(failure.reason)
            raise Refused(failure.reason) from failure
        self._live.clear()
        try:
            load.files.enter_context(locust_csv(self._environment, load.directory))
        except OSError as error:
            self.abandon(f"cannot write to {load.directory}: {error.strerror}")
            raise Refused(f"cannot write to {load.directory}: {error.strerror}") from error

    def _await_workers(self) -> None:
        """Locust workers want a moment after each load."""
        if self._workers is None:
            return
        try:
            self._workers.await_ready()
        except NotReadyError as error:
            self.abandon(f"{error}: see {self._offer.log}")
            raise Refused(f"{error}: end the web UI, and start it again") from error

    def abandon(self, reason: str) -> None:
        """Give up the load that was to begin."""
        assert self.load is not None
        self.state = "idle"
        self._end_files(self.load)
        emit(event="finished", **_nothing(self.load, reason))

    def edit(self, requested: LoadRequest) -> None:
        """The running load gets other users: what is measured begins anew. Raises Refused."""
        assert self.load is not None
        self._check_users(requested)
        self.load.requested = requested
        self.load.settled = None

    def fail(self, reason: str) -> None:
        """End the running load, which is no measurement."""
        self.note("error", reason)
        if self.load is not None and self.state == "running":
            self.load.reason = reason
        self.stop(reason)

    def stop(self, reason: str = "stopped before it began") -> None:
        """End the load that runs, as the button does; does not wait. `reason` is of one yet to begin."""
        if self.state == "starting":
            self._cancelled = reason
        if self.state == "running":
            gevent.spawn(self._stop)

    def _stop(self) -> None:
        runner, web_ui = self._environment.runner, self._environment.web_ui
        assert runner is not None and web_ui is not None
        load = self.load
        while self.load is load and self.state == "running":  # another may be started meanwhile
            starting = web_ui._swarm_greenlet
            if starting is not None and runner.state in (STATE_SPAWNING, STATE_RUNNING):
                starting.kill()  # as Locust's button does: a master would go on spawning users
            runner.stop()  # does nothing as long as Locust has not begun to spawn users
            gevent.sleep(STOP_AGAIN_S)

    # -- What Locust tells

    def _spawned(self, user_count: int, **_: object) -> None:
        if self.load is not None and self.state == "running":
            self.load.spawned = user_count
            lead_s = 0.0 if self.load.requested.rate_per_s is None else LEAD_S
            self.load.settled = time() + lead_s

    def _stopping(self, **_: object) -> None:
        load = self.load
        if load is None or self.state != "running":
            return
        self.state = "stopping"
        load.stopping = time()
        runner = self._environment.runner
        assert runner is not None
        if load.settled is not None and runner.user_count < load.requested.users and load.reason is None:
            why = self._coordinator.code.why_fewer(load.requested.users, runner.user_count, load.spawned)
            load.reason = f"{why}; see the tab Exceptions, and {self._offer.log}"

    def _stopped(self, **_: object) -> None:
        """The recording is whole: the suite's own listener has been called before."""
        load = self.load
        if load is None or self.state != "stopping":
            return
        event = _nothing(load, f"the load could not be summed up: see {self._offer.log}")
        try:
            event = self._finished(load)
        except Refused as refusal:
            event = _nothing(load, str(refusal))
        except OSError as error:
            event = _nothing(load, f"the recording cannot be read: {error.strerror}: {error.filename}")
        finally:  # bench waits for it, whatever happens
            self.state = "idle"
            self._live.ended()
            if raised := self._coordinator.code.all_raised():
                self.note("error", f"{raised}; see the tab Exceptions, and {self._offer.log}")
            emit(event="finished", **event)

    def _finished(self, load: Load) -> dict[str, Any]:
        self._end_files(load)
        if load.reason is not None:
            raise Refused(load.reason)
        if self._coordinator.error is not None:
            raise Refused(self._coordinator.error)
        start, end = load.window(self._offer.warmup_s)
        figures = read_window(load.directory, start, end)
        if not figures.requests and not figures.failures:
            raise Refused("no request was completed in the measured window")
        measured = {"reason": None, "window": {"start": start, "end": end}, **asdict(figures)}
        return _nothing(load, "") | {"engine": engine_of_users(self._classes(load.requested))} | measured

    def _end_files(self, load: Load) -> None:
        try:
            load.files.close()
        except OSError as error:
            load.reason = load.reason or f"Locust's own files cannot be written: {error.strerror}"

    # -- Names

    def _classes(self, requested: LoadRequest) -> list[type[User]]:
        picked = (self._classes_offered[label] for label in requested.classes)
        return [self._scenarios[offered.scenario.file].user_class(offered.user_class) for offered in picked]


def _asked(requested: LoadRequest) -> dict[str, Any]:
    """What bench has to know."""
    names = ("configuration", "workers", "max_requests", "users", "rate_per_s", "host", "proxy")
    return {name: getattr(requested, name) for name in names}


def _nothing(load: Load, reason: str) -> dict[str, Any]:
    """A `finished` event without a measurement."""
    figures = ("window", "engine", "requests", "failures", "latency_us", "arrivals", "completions")
    return {"users": load.requested.users, "reason": reason, **dict.fromkeys(figures)}
