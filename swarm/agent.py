"""A user as the engine drives it, and what it may ask of the engine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from http.cookiejar import CookieJar
from typing import Any, Final, Protocol

from gevent.event import Event

from .connection import Connection
from .exchange import Origin, Request

NEVER: Final = 1 << 63
"""A time on the nanosecond clock later than any other."""


class Pause:
    """Yielded by a user to rest for `seconds`."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Command = Request | Pause
Life = Generator[Command, Any, None]


class Driven(Protocol):
    """What the engine needs of a user."""

    cookies: CookieJar | None

    def life(self, agent: Agent) -> Life:
        """All that the user does, from its start to its end."""

    def tls_context(self) -> Any:
        """The context of the user's TLS connections."""

    def context(self) -> dict[Any, Any]:
        """What Locust's request event is given as its context."""


class Agent:
    """A user's life, its connections, and what it is doing now.

    `wake` counts what the agent has waited for, so that what comes too late is known to be stale;
    `timeout_due_ns` is when the one timer that watches its requests will look again.
    """

    __slots__ = (
        "active",
        "connections",
        "finished",
        "killed",
        "life",
        "plain",
        "requests",
        "resume",
        "timeout_due_ns",
        "user",
        "wake",
    )

    def __init__(self, user: Driven) -> None:
        self.user = user
        self.plain = user.cookies is None
        self.requests = 0
        self.life: Life = user.life(self)
        self.resume: Callable[[Any], Command] = self.life.send
        self.connections: dict[Origin, Connection[Agent]] = {}
        self.active: Connection[Agent] | None = None
        self.finished = Event()
        self.killed = False
        self.timeout_due_ns = NEVER
        self.wake = 0
