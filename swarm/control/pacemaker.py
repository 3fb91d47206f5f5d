"""Open loops under Locust: their options, and when the schedules start and stop, in every process.

`locust -f ... --arrival-rate 3000 --arrivals poisson` makes an open loop of any locustfile with swarm
users. The schedules start when all users have been spawned, in each process of the test at the same
moment, and stop when the users are told to.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from time import perf_counter_ns as clock
from time import time
from typing import Any, Final

from locust import User
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from ..engine.clock import from_unix
from ..engine.engine import engine_of
from ..engine.openloop import KINDS, Arrivals, Share
from ..environments import per_environment
from ..users.user import SwarmUser

logger = logging.getLogger(__name__)

ARRIVALS: Final = "whichworker_arrivals"
RATE: Final = "whichworker_arrival_rate"
SEED: Final = "whichworker_arrival_seed"
"""Where `parsed_options` has the schedule: a locustfile may have options of these names, too."""
NONE: Final = "none"
"""The option that makes closed loops of user classes with arrivals of their own."""
BEGIN_MESSAGE: Final = "whichworker_begin"
LEAD_S: Final = 0.1
"""The schedules start this much after the users have been spawned: all processes know of it by then."""


class Pacemaker:
    """Starts and stops the schedules of one environment.

    `automatic` says that they start as soon as Locust has spawned its users. A caller that spawns users in
    several steps sets it to False and calls `begin`. `lead_s` is how long after that the schedules start.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._workers: set[str] = set()
        self.automatic = True
        self.lead_s = LEAD_S
        hooks = environment.events
        hooks.test_start.add_listener(self._started)
        hooks.spawning_complete.add_listener(self._spawned)
        hooks.test_stopping.add_listener(self._stopping)
        if isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(BEGIN_MESSAGE, self._begin_worker)

    def _started(self, **_: object) -> None:
        options = self._environment.parsed_options
        arrivals = arrivals_of(options)
        engine_of(self._environment).loops.configure(
            of_all=None if isinstance(self._environment.runner, MasterRunner) else arrivals,
            by_class=getattr(options, ARRIVALS, None) is None and arrivals is None,
        )
        self._workers.clear()

    def _spawned(self, **_: object) -> None:
        if self.automatic and not isinstance(self._environment.runner, WorkerRunner):
            self.begin()

    def begin(self) -> float:
        """Start the schedules, unless they are running. Not to be called in a worker.

        Returns the Unix time at which they start.
        """
        start = time() + self.lead_s
        if isinstance(self._environment.runner, MasterRunner):
            self._begin_workers(self._environment.runner, start)
        else:
            engine_of(self._environment).begin_arrivals(Share(), from_unix(start))
        return start

    def _begin_workers(self, runner: MasterRunner, start: float) -> None:
        workers = [client.id for client in runner.clients.spawning + runner.clients.running]
        if self._workers:
            self._check_workers(set(workers))
            return
        self._workers = set(workers)
        for number, worker in enumerate(workers):
            runner.send_message(BEGIN_MESSAGE, {"number": number, "of": len(workers), "start": start}, worker)

    def _check_workers(self, workers: set[str]) -> None:
        # Known here is only what the options say: classes may have arrivals of their own.
        if workers != self._workers and arrivals_of(self._environment.parsed_options) is not None:
            logger.warning(
                "The Locust workers changed during the test: the arrivals of those that left are missing, "
                "and users of those that came get none. Start the test again."
            )

    def _begin_worker(self, environment: Environment, msg: Any) -> None:
        share = Share(msg.data["number"], msg.data["of"])
        engine_of(environment).begin_arrivals(share, from_unix(msg.data["start"]))

    def _stopping(self, **_: object) -> None:
        engine_of(self._environment).loops.end(clock())


def arrivals_of(options: Namespace | None) -> Arrivals | None:
    """The schedule that Locust's options ask for, if they do. Raises ValueError where they conflict."""
    rate = getattr(options, RATE, None)
    kind = getattr(options, ARRIVALS, None)
    if rate is None:
        if kind not in (None, NONE):
            raise ValueError(f"--arrivals {kind} needs --arrival-rate, the arrivals per second")
        return None
    if kind == NONE:
        raise ValueError("--arrivals none makes closed loops, which have no --arrival-rate")
    return Arrivals(rate, kind or KINDS[0], getattr(options, SEED, None))


def not_swarm(classes: Iterable[type[User]]) -> str | None:
    """Why these users cannot run in an open loop, if so."""
    plain = [user_class.__name__ for user_class in classes if not issubclass(user_class, SwarmUser)]
    if not plain:
        return None
    return f"an open loop needs swarm users, which Locust's own are not: {', '.join(plain)}"


def check(environment: Environment) -> None:
    """Raise SystemExit with a message where the options ask for an open loop that cannot be."""
    try:
        arrivals = arrivals_of(environment.parsed_options)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    reason = not_swarm(environment.user_classes) if arrivals is not None else None
    if reason is not None:
        raise SystemExit(f"--arrival-rate: {reason}")


def add_options(parser: ArgumentParser) -> None:
    """Add --arrival-rate, --arrivals and --arrival-seed to Locust's options."""
    parser.add_argument(
        "--arrival-rate",
        dest=RATE,
        metavar="R",
        type=_checked(float, Arrivals),
        include_in_web_ui=False,
        help="Open loop: begin R tasks per second, in all processes together, however slow the answers are. "
        "All user classes share one schedule; -u is the most that may be in flight.",
    )
    parser.add_argument(
        "--arrivals",
        dest=ARRIVALS,
        choices=(*KINDS, NONE),
        include_in_web_ui=False,
        help="Evenly spaced or random (Poisson) arrivals; none: closed loops, whatever the locustfile says. "
        "Default: constant.",
    )
    parser.add_argument(
        "--arrival-seed",
        dest=SEED,
        metavar="N",
        type=_checked(int, lambda seed: Arrivals(1.0, seed=seed)),
        include_in_web_ui=False,
        help="Make the random arrivals the same ones again.",
    )


def _checked(kind: type, judge: Callable[[Any], object]) -> Callable[[str], Any]:
    def converted(text: str) -> Any:
        try:
            value = kind(text)
            judge(value)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error
        return value

    return converted


@per_environment
def pacemaker_of(environment: Environment) -> Pacemaker:
    """The pacemaker of an environment, which has its runner by now."""
    return Pacemaker(environment)
