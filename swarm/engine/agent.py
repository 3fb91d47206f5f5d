"""A user as the engine drives it, and what it may ask of the engine."""

from __future__ import annotations

from collections.abc import Callable, Generator
from http.cookiejar import CookieJar
from typing import Any, Final, Protocol

from gevent.event import Event

from ..http.connection import Connection
from ..http.cookies import cookie_line
from ..http.exchange import Origin, Request
from .clock import NEVER
from .gates import Gate
from .openloop import Arrivals, OpenLoop


class Pause:
    """Yielded by a user to rest for `seconds`."""

    __slots__ = ("__weakref__", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Connect:
    """Yielded by a user to have a connection opened before its first request; it does not wait for it."""

    __slots__ = ("origin",)

    def __init__(self, origin: Origin) -> None:
        self.origin = origin


class Await:
    """Yielded by a user of an open loop that is free for the next arrival."""

    __slots__ = ()


ARRIVAL: Final = Await()

Command = Request | Pause | Connect | Await
Life = Generator[Command, Any, None]


class Driven(Protocol):
    """What the engine needs of a user."""

    arrivals: Arrivals | None
    cookies: CookieJar | None
    whichworker_target: str | None

    def life(self, agent: Agent) -> Life:
        """All that the user does, from its start to its end."""

    def tls_context(self) -> Any:
        """The context of the user's TLS connections."""

    def context(self) -> dict[Any, Any]:
        """What Locust's request event is given as its context."""


class Agent:
    """A user's life, its connections, and what it is doing now.

    `wake` counts what the agent has waited for, so that what comes too late is known to be stale;
    `timeout_due_ns` is when the one timer that watches its requests will look again. `plain` says that
    its requests are sent as they are prepared; `request_id` is that of the last one, None where nothing
    is traced.

    `killed` says that its life is to end at its next command, `diverted` that the command needs a look: it
    was killed, or its gate is closed. Only in a rotation is there a `gate`.

    In an open loop (`loop`; None in a closed one) `arrival_ns` is when the arrival was due at whose task
    it is, None where it is at none.
    Until that task's first request is answered, `waited_ns` is how long the arrival waited for the user;
    until it is sent, `late_ns` is how late the task was begun, None where that has been recorded.
    """

    __slots__ = (
        "active",
        "arrival_ns",
        "connections",
        "diverted",
        "finished",
        "gate",
        "killed",
        "late_ns",
        "life",
        "loop",
        "plain",
        "request_id",
        "requests",
        "resume",
        "timeout_due_ns",
        "user",
        "waited_ns",
        "wake",
    )

    def __init__(self, user: Driven) -> None:
        self.user = user
        self.plain = user.cookies is None
        self.requests = 0
        self.request_id: str | None = None
        self.life: Life = user.life(self)
        self.resume: Callable[[Any], Command] = self.life.send
        self.connections: dict[Origin, Connection[Agent]] = {}
        self.active: Connection[Agent] | None = None
        self.finished = Event()
        self.killed = False
        self.diverted = False
        self.gate: Gate[Agent] | None = None
        self.timeout_due_ns = NEVER
        self.wake = 0
        self.loop: OpenLoop[Agent] | None = None
        self.arrival_ns: int | None = None
        self.waited_ns = 0
        self.late_ns: int | None = None

    def own_lines(self, request: Request, now_ns: int) -> bytes:
        """The header lines that this user adds to a request at each sending, here at `now_ns`: cookies."""
        del now_ns
        return cookie_line(request, self.user.cookies) if self.user.cookies is not None else b""

    def leave_loop(self) -> None:
        """Be neither free for an arrival nor at the task of one."""
        self.waited_ns = 0
        self.late_ns = None
        if self.loop is None:
            return
        self.loop.free.pop(self, None)
        if self.arrival_ns is not None:
            self.arrival_ns = None
            self.loop.finished()
