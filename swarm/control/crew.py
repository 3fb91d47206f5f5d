"""The processes that take part in a rotation, asked all at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner

from ..environments import per_environment
from .rotor import ANSWER_MESSAGE, ASK_MESSAGE, rotor_of


class Pending:
    """Answers that are awaited."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.answers: list[Mapping[str, Any]] = []
        self.whose: list[str] = []  # the ids of the workers that gave them
        self.done = Event()

    def add(self, answer: Mapping[str, Any], client_id: str = "") -> None:
        self.answers.append(answer)
        self.whose.append(client_id)
        if len(self.answers) == self._count:
            self.done.set()


_numbers = count()


class Crew:
    """The processes that have users: this one, or the workers of a master.

    One for all rotations of an environment: a runner takes one listener for a kind of message.
    """

    def __init__(self, environment: Environment) -> None:
        self._rotor = rotor_of(environment)
        self._runner = environment.runner
        self._asked: dict[int, Pending] = {}
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(ANSWER_MESSAGE, self._answered)

    def ask(self, kind: str, data: Mapping[str, Any], first: Mapping[str, Any] | None = None) -> Pending:
        """Ask all; the first one something else, if need be."""
        if not isinstance(self._runner, MasterRunner):
            pending = Pending(1)
            self._rotor.ask(kind, data if first is None else first, pending.add)
            return pending
        ids = sorted(client.id for client in self._runner.clients.spawning + self._runner.clients.running)
        pending = Pending(len(ids))
        number = next(_numbers)
        self._asked[number] = pending
        for place, client in enumerate(ids):
            told = first if first is not None and place == 0 else data
            self._runner.send_message(
                ASK_MESSAGE, {"number": number, "kind": kind, "data": dict(told)}, client
            )
        return pending

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        """Ask all, and wait for no answer."""
        self.ask(kind, data)

    def _answered(self, environment: Environment, msg: Any) -> None:
        del environment
        pending = self._asked.get(msg.data["number"])
        if pending is not None:
            pending.add(msg.data["data"], msg.node_id)


@per_environment
def crew_of(environment: Environment) -> Crew:
    """The crew of an environment, which has its runner by now."""
    return Crew(environment)
