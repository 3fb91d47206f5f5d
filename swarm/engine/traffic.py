"""The connections of all users: what is sent, what comes back, what is lost and when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter_ns as clock

from ..http.addresses import Addresses
from ..http.connection import (
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    Broken,
    ClosedBeforeSending,
    Connection,
    Tls,
    select_epoll,
)
from ..http.cookies import keep_cookies
from ..http.exchange import FailureKind, Origin, Request, Response
from ..http.message import Message
from .agent import Agent
from .clock import NEVER
from .counters import Counters
from .timers import Timers

Events = list[tuple[int, int]]
"""Descriptors and their epoll masks."""
AgentConnection = Connection[Agent]
Deliver = Callable[[Agent, Response, AgentConnection | None], None]
"""Told what a request came back as, and on which connection, if on any."""

BATCH = 512
"""Events taken from epoll at once."""
MANY = 2048
"""From so many connections of this process on, those of the whole machine may be half of its local ports."""


class Traffic:
    """One epoll set with the connections of every agent, and the requests on them.

    `deliver` is called when a response is whole; `deliver_later` for what was lost, which must not be
    told at once: a task that tries again and again would recurse, and keep the others waiting.
    """

    def __init__(self, timers: Timers, counters: Counters, deliver: Deliver, deliver_later: Deliver) -> None:
        self._timers = timers
        self._counters = counters
        self._deliver = deliver
        self._deliver_later = deliver_later
        self._epoll = select_epoll()
        self._epoll.register(timers.descriptor, EPOLLIN)
        self._addresses = Addresses()
        self.connections: dict[int, AgentConnection] = {}
        self.in_flight = 0

    def fileno(self) -> int:
        """The epoll set's own descriptor: readable when anything in it is."""
        descriptor: int = self._epoll.fileno()
        return descriptor

    def poll(self, seconds: float) -> Events:
        """What is ready, waiting for it for so long (in whole milliseconds)."""
        events: Events = self._epoll.poll(seconds, BATCH)
        return events

    def close(self) -> None:
        for connection in list(self.connections.values()):
            self.discard(connection)
        self._epoll.close()

    def begin(self, agent: Agent, request: Request, now: int) -> None:
        """Send a request on the user's connection to its origin, opening one where there is none.

        The request's time runs from `now`.
        """
        payload = request.payload if agent.plain else request.payload_with(agent.own_lines(request, now))
        connection = agent.connections.get(request.origin)
        if connection is None:
            try:
                connection = self._connect(agent, request.origin, now)
                if connection is None:
                    return
            except OSError as error:
                refused = isinstance(error, ConnectionRefusedError)
                kind = FailureKind.REFUSED if refused else FailureKind.CONNECT_FAILED
                failed = Response(request, None, clock() - now, kind, error.strerror or str(error))
                self._deliver_later(agent, failed, None)
                return
        agent.active = connection
        self.in_flight += 1
        connection.assign(request, payload, now)
        if now + request.timeout_ns < agent.timeout_due_ns:
            self.watch_timeout(agent, connection, request)
        if not connection.connecting:
            self.transmit(connection)

    def connect_early(self, agent: Agent, origin: Origin, now: int) -> None:
        """Open the user's connection to an origin before a request needs it.

        No request fails where this does: the first one will try again, and meet the same.
        """
        if origin not in agent.connections:
            with suppress(OSError):
                self._connect(agent, origin, now)

    def _connect(self, agent: Agent, origin: Origin, now: int) -> AgentConnection | None:
        """Begin to connect; None where the user was killed meanwhile. Raises OSError where it cannot be."""
        alive = agent.wake
        address = self._addresses.of(origin)
        if agent.wake != alive:  # the look-up lets other greenlets run
            return None
        tls = Tls(agent.user.tls_context(), origin.host) if origin.tls else None
        connection = Connection(agent, origin, address, now, len(self.connections) >= MANY)
        connection.tls = tls
        self.connections[connection.fd] = connection
        agent.connections[origin] = connection
        self._epoll.register(connection.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP)
        self._counters.connections_opened += 1
        connection.serial = self._counters.connections_opened
        self._counters.connections_open += 1
        return connection

    def transmit(self, connection: AgentConnection) -> None:
        """Send what is unsent, and ask to be told when the rest can go."""
        try:
            connection.transmit()
        except ClosedBeforeSending:
            self._reconnect(connection)
        except Broken as broken:
            self._lost(connection, broken)
        else:
            self._watch_writable(connection)

    def _watch_writable(self, connection: AgentConnection) -> None:
        wants_write = connection.has_unsent
        if wants_write != connection.wants_write:
            connection.wants_write = wants_write
            self._epoll.modify(connection.fd, EPOLLIN | EPOLLRDHUP | (EPOLLOUT if wants_write else 0))

    def _reconnect(self, connection: AgentConnection) -> None:
        """The server closed an idle connection before a byte was sent: open another. Not a resend.

        The request stays the same one: its time runs on.
        """
        agent, request = connection.agent, connection.request
        assert request is not None
        self._counters.idle_closes += 1
        self.discard(connection)
        self.release(agent, connection)
        self.begin(agent, request, connection.started_ns)

    def on_event(self, connection: AgentConnection, mask: int) -> None:
        """An event off the hot path: connected, writable, part of an answer, closed."""
        try:
            if connection.connecting:
                connection.finish_connect()
                self.transmit(connection)
            elif mask & EPOLLOUT:
                self.transmit(connection)
            if self.connections.get(connection.fd) is not connection or not mask & ~EPOLLOUT:
                return
            message = connection.receive()
        except Broken as broken:
            self._lost(connection, broken)
        except EOFError:
            self._counters.idle_closes += 1
            self.discard(connection)
        else:
            self._watch_writable(connection)  # TLS may have become ready to send by what it received
            if message is not None:
                self.answered(connection, message, clock(), closed=bool(mask & EPOLLRDHUP))

    def absorb(self, connection: AgentConnection, data: bytes) -> Message | None:
        """Take received bytes in: the whole response, or None while it is not whole, or was lost."""
        try:
            return connection.absorb(data)
        except Broken as broken:
            self._lost(connection, broken)
            return None

    def answered(self, connection: AgentConnection, message: Message, now: int, *, closed: bool) -> None:
        """A whole response, judged by its status; `closed` says that a FIN was seen behind it."""
        agent, request = connection.agent, connection.request
        assert request is not None
        if agent.user.cookies is not None:
            keep_cookies(request, message, agent.user.cookies)
        response = Response(request, message, now - connection.started_ns)
        if not message.ok:
            response.failure_kind = (
                FailureKind.HTTP_5XX if message.status_code >= 500 else FailureKind.HTTP_4XX
            )
            response.detail = f"status {message.status_code}"
        connection.served += 1
        self.release(agent, connection)
        if closed and message.keep_alive and not request.closes:
            self._counters.idle_closes += 1
        if closed or request.closes or not message.keep_alive:
            self.discard(connection)
        self._deliver(agent, response, connection)

    def _lost(self, connection: AgentConnection, broken: Broken) -> None:
        agent, request = connection.agent, connection.request
        self.discard(connection)
        if request is None:
            # One that was opened early and never stood was not closed; its first request will say why.
            self._counters.idle_closes += connection.established
            return
        response = Response(request, None, clock() - connection.started_ns, broken.kind, broken.detail)
        self.release(agent, connection)
        self._deliver_later(agent, response, connection)

    def release(self, agent: Agent, connection: AgentConnection) -> None:
        """The connection is idle again, or gone."""
        connection.request = None
        connection.awaiting = False
        agent.active = None
        self.in_flight -= 1

    def drop_active(self, agent: Agent) -> None:
        """Give up the request in flight, if there is one, and its connection."""
        connection = agent.active
        if connection is not None:
            self.release(agent, connection)
            self.discard(connection)

    def discard(self, connection: AgentConnection) -> None:
        """Close a connection and forget it; one that is closed already stays so."""
        if self.connections.get(connection.fd) is not connection:
            return
        del self.connections[connection.fd]
        agent = connection.agent
        if agent.connections.get(connection.origin) is connection:
            del agent.connections[connection.origin]
        connection.close()
        self._counters.connections_open -= 1

    # -- Time-outs: at most one timer per agent, looked at again when it is due, so that a request that
    # is answered in time costs no timer of its own.

    def watch_timeout(self, agent: Agent, connection: AgentConnection, request: Request) -> None:
        """Look at the agent when this request will have taken too long."""
        agent.timeout_due_ns = connection.started_ns + request.timeout_ns
        self._timers.at(agent.timeout_due_ns, agent)

    def check_timeout(self, agent: Agent, now: int) -> None:
        """The agent's timer is due: give its request up, or look again when that one is due."""
        if now < agent.timeout_due_ns:
            return  # a later request was in more of a hurry and had its own look
        agent.timeout_due_ns = NEVER
        connection = agent.active
        if connection is None or connection.request is None:
            return
        request = connection.request
        if now < connection.started_ns + request.timeout_ns:
            self.watch_timeout(agent, connection, request)
            return
        kind = FailureKind.TIMEOUT if connection.established else FailureKind.CONNECT_TIMEOUT
        self._lost(connection, Broken(kind, f"no whole response within {request.timeout_ns / 1e9:g} s"))
