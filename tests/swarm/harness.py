"""Runs swarm users in this process, under Locust's own local runner, as `locust` would."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import gevent
from locust import User, constant, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import LocalRunner

from swarm import Response, SwarmUser
from swarm.control.pacemaker import pacemaker_of
from swarm.control.plugin import RECORD, Coordinator, coordinator_of
from swarm.engine.engine import Engine, engine_of
from tests.patience import LONG_S


def until(condition: Callable[[], object], what: str) -> None:
    """Let the others run until the condition holds."""
    with gevent.Timeout(LONG_S, AssertionError(f"never happened: {what}")):
        while not condition():
            gevent.sleep(0.005)


class Swarm:
    """A Locust environment with a local runner and the suite's plugin, and what its users got."""

    def __init__(
        self,
        *classes: type[User],
        host: str | None = None,
        record: str = "",
        locust_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.environment = Environment(
            user_classes=list(classes),
            host=host,
            parsed_options=Namespace(**{RECORD: record}, **(locust_options or {})),
            **options,
        )
        self.runner: LocalRunner = self.environment.create_local_runner()
        self.coordinator: Coordinator = coordinator_of(self.environment)
        pacemaker_of(self.environment)
        self.stats = self.environment.stats

    @property
    def engine(self) -> Engine:
        return engine_of(self.environment)

    def start(self, users: int = 1, spawn_rate: float | None = None) -> Swarm:
        self.runner.start(users, spawn_rate=spawn_rate or users)
        return self

    def join(self) -> Swarm:
        """Wait until all users have ended by themselves, then end the test."""
        self.runner.spawning_greenlet.join()
        until(lambda: not self.runner.user_greenlets, "all users have ended")
        return self.stop()

    def stop(self) -> Swarm:
        self.runner.stop()
        return self

    def close(self) -> None:
        self.environment.stop_timeout = 0
        self.runner.quit()


@dataclass
class Answers:
    """What one user experienced that asked for a few things and stopped."""

    swarm: Swarm
    responses: list[Response] = field(default_factory=list)

    @property
    def only(self) -> Response:
        [response] = self.responses
        return response


Steps = Callable[[SwarmUser], Generator[Any, Any, None]]


def user_class(steps: Callable[..., Any], **attributes: Any) -> type[SwarmUser]:
    """A swarm user whose one task is `steps`."""
    return type("Tester", (SwarmUser,), {"wait_time": constant(0), **attributes, "steps": task(steps)})


def live_once(swarms: list[Swarm], host: str, steps: Steps, **attributes: Any) -> Answers:
    """Let one user go through `steps` once; the values of its yields are its responses."""
    responses: list[Response] = []

    def whole(user: SwarmUser):
        inner = steps(user)
        value = None
        try:
            while True:
                value = yield inner.send(value)
                if isinstance(value, Response):
                    responses.append(value)
        except StopIteration:
            raise StopUser from None

    swarm = Swarm(user_class(whole, **attributes), host=host)
    swarms.append(swarm)
    swarm.start().join()
    return Answers(swarm, responses)
