"""The engine: one greenlet, one epoll set, every swarm user of a Locust process.

Locust gives each user a greenlet; what makes that slow is not Python but gevent's hub, which is
entered and left at each send and each receive. Here users are generators. They yield what they
want (a `Request`, a `Pause`), and one loop over an epoll set gives it to them. Each user keeps a
parked greenlet, so that Locust counts, stops and kills users as it always does.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from time import perf_counter_ns as clock
from time import time
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import WeakKeyDictionary

import gevent
from gevent.event import Event
from locust.env import Environment

from .addresses import Addresses
from .connection import (
    EPOLLIN,
    EPOLLOUT,
    EPOLLRDHUP,
    RECEIVE_BYTES,
    Broken,
    ClosedBeforeSending,
    Connection,
    Tls,
    select_epoll,
)
from .cookies import keep_cookies, with_cookies
from .messages import FailureKind, Message, Origin, Request, Response
from .recorder import Recorder, recorder_of
from .timerfd import Timer

if TYPE_CHECKING:
    from .user import SwarmUser

logger = logging.getLogger(__name__)

SLICE_NS: Final = 5_000_000
"""How long the engine works before it lets Locust's other greenlets run."""
SPIN_S: Final = 0.001
"""How long it waits for its sockets alone, other greenlets held up, before it waits as gevent does."""
BATCH: Final = 512
"""Events taken from epoll at once."""
READY_BATCH: Final = 256
"""Users started, woken or told of a failed connect between two looks at the sockets."""
NO_TIMER: Final = 1 << 63
"""`timer_due_ns` of a connection that no timer watches: later than any time."""


class Pause:
    """Yielded by a user to rest for `seconds`."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Command = Request | Pause
Events = list[tuple[int, int]]
"""Descriptors and their epoll masks."""
Life = Generator[Command, Any, None]


class Listener(Protocol):
    """Called with every response that a user got, once the user has judged it."""

    def __call__(self, user: SwarmUser, response: Response) -> None:
        """Be told."""


class Agent:
    """A user as the engine drives it: its life, its connections, and what it is doing now."""

    __slots__ = (
        "active",
        "connections",
        "finished",
        "killed",
        "life",
        "plain",
        "requests",
        "resume",
        "user",
        "wake",
    )

    def __init__(self, user: SwarmUser) -> None:
        self.user = user
        self.plain = user.cookies is None
        self.requests = 0
        self.life: Life = user.life(self)
        self.resume: Callable[[Any], Command] = self.life.send
        self.connections: dict[Origin, Connection] = {}
        self.active: Connection | None = None
        self.finished = Event()
        self.killed = False
        self.wake = 0


@dataclass
class Counters:
    """What the engine did since `begin`; `longest_blind_ns` since it was last taken."""

    connections_open: int = 0
    connections_opened: int = 0
    idle_closes: int = 0
    longest_blind_ns: int = 0

    def begin(self) -> None:
        """Count from nothing; what is open stays counted."""
        self.connections_opened = self.idle_closes = self.longest_blind_ns = 0

    def take_longest_blind_ms(self) -> float:
        """The longest the engine did not look at its sockets since the last call, in milliseconds."""
        longest, self.longest_blind_ns = self.longest_blind_ns, 0
        return longest / 1e6


class Engine:
    """Drives the agents of one Locust process. Made by `engine_of`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.counters = Counters()
        self.prepared: defaultdict[tuple[type, Origin], dict[tuple[str, str], Request]] = defaultdict(dict)
        self.listener: Listener | None = None
        self._agents: set[Agent] = set()
        self._connections: dict[int, Connection] = {}
        self._ready: deque[tuple[Agent, int, Response | None, Connection | None]] = deque()
        self._timers: list[tuple[int, int, Agent | None, Connection | None, int]] = []
        self._order = itertools.count()
        self._greenlet: gevent.Greenlet | None = None
        self._addresses = Addresses()
        self._in_flight = 0
        self._stepping: Agent | None = None

    # -- What users and Locust call

    def run(self, agent: Agent) -> None:
        """Live the agent's life to its end. Called in the user's own greenlet, which is parked here."""
        self._agents.add(agent)
        self._ready.append((agent, agent.wake, None, None))
        if self._greenlet is None or self._greenlet.dead:
            self._open()
            self._greenlet = gevent.spawn(self._work)
        self._wake()
        try:
            agent.finished.wait()
        except gevent.GreenletExit as reason:
            self._kill(agent, reason)
            agent.finished.wait()
        finally:
            self._finish(agent)

    def _kill(self, agent: Agent, reason: BaseException) -> None:
        """End a life now: what is in flight is dropped; `on_stop` still runs, its requests too."""
        agent.wake += 1
        if agent is self._stepping:
            # The task itself stopped the test, and waits for this greenlet to end.
            agent.killed = True
            agent.finished.set()
            return
        self._drop_active(agent)
        self._step(agent, agent.life.throw, reason)
        if self._stepping is not None and not agent.finished.is_set():
            # The engine is held up inside a task that stops the test: nothing can be sent any more.
            logger.warning("on_stop of %s was cut short: a task is stopping the test", agent.user)
            agent.life.close()
            self._finish(agent)
        self._wake()

    def _open(self) -> None:
        self._epoll = select_epoll()
        self._timer = Timer()
        self._armed_ns: int | None = None
        self._epoll.register(self._timer.fileno(), EPOLLIN)
        self._watcher = gevent.get_hub().loop.io(self._epoll.fileno(), 1)
        self._roll_ns = 0

    def _close(self) -> None:
        for agent in list(self._agents):
            self._finish(agent)
        for connection in list(self._connections.values()):
            self._discard(connection)
        self._timers.clear()
        self._ready.clear()
        self._watcher.close()
        self._epoll.close()
        self._timer.close()

    def _wake(self) -> None:
        """Make a sleeping engine look again (its timer is in the epoll set that it sleeps on)."""
        if self._greenlet is not None and not self._greenlet.dead:
            self._armed_ns = None
            self._timer.arm(1)

    # -- The loop

    def _work(self) -> None:
        try:
            slice_ends = clock() + SLICE_NS
            looked = clock()
            while self._agents:
                self._run_timers()
                self._run_ready()
                now = clock()
                if now >= self._roll_ns:
                    self._roll(now)
                blind = now - looked
                if blind > self.counters.longest_blind_ns:
                    self.counters.longest_blind_ns = blind
                events = self._wait()
                looked = clock()
                if events:
                    self._serve(events)
                if clock() >= slice_ends:
                    self.recorder.flush_full()
                    gevent.sleep(0)
                    slice_ends = clock() + SLICE_NS
        except Exception:
            logger.exception("The swarm engine failed; its users end here. This is a defect of the suite.")
            raise
        finally:
            self._close()

    def _roll(self, now: int) -> None:
        """A new Unix second has begun: what was recorded so far belongs to the one before."""
        wall = time()
        self.recorder.roll(int(wall))
        self._roll_ns = now + int((1 - wall % 1) * 1e9)

    def _wait(self) -> Events:
        """Events of the sockets: at once where users wait for answers, else as gevent's hub has time."""
        if self._ready:
            return self._poll(0)
        self._arm()
        if self._in_flight:
            events = self._poll(SPIN_S)
            if events:
                return events
        gevent.get_hub().wait(self._watcher)
        return self._poll(0)

    def _poll(self, seconds: float) -> Events:
        events: Events = self._epoll.poll(seconds, BATCH)
        return events

    def _arm(self) -> None:
        due = min(self._timers[0][0] if self._timers else self._roll_ns, self._roll_ns)
        if due != self._armed_ns:
            self._armed_ns = due
            self._timer.arm(due - clock())

    def _run_ready(self) -> None:
        for _ in range(min(len(self._ready), READY_BATCH)):
            agent, token, response, connection = self._ready.popleft()
            if agent.wake != token or agent.finished.is_set():
                continue  # killed meanwhile
            if response is None:
                self._step(agent, agent.resume, None)
            else:
                self._deliver(agent, response, connection)

    def _run_timers(self) -> None:
        timers = self._timers
        now = clock()
        while timers and timers[0][0] <= now:
            _, _, agent, connection, token = heapq.heappop(timers)
            if agent is not None:
                if agent.wake == token and not agent.finished.is_set():
                    self._ready.append((agent, agent.wake, None, None))
            elif connection is not None:
                self._check_timeout(connection, token, now)

    def _serve(self, events: Events) -> None:
        """Take the answers in and send what their users want next. The hot path of the suite.

        Here is only the common case: a whole good answer in one piece, on a plain connection that
        stays open, to a user without cookies whose next request goes the same way. All else is
        handed on. What one request costs here bounds what the suite can measure.
        """
        connections = self._connections
        observed = self.listener is not None
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                self._timer_fired()
                continue
            if mask != EPOLLIN or not connection.awaiting:
                self._on_event(connection, mask)
                continue
            try:
                data = connection.recv(RECEIVE_BYTES)
            except OSError:
                self._on_event(connection, mask)  # meets the same error, and knows what it means
                continue
            now = clock()
            agent = connection.agent
            request = connection.request
            assert request is not None
            samples = request.samples
            if data == samples.seen:
                message = samples.message
            else:
                message = self._absorb(connection, data)
                if message is not None and message.keep_alive and connection.received == len(data):
                    samples.seen, samples.message = data, message
            if message is None:
                continue
            if observed or not (message.ok and message.keep_alive and agent.plain):
                self._answered(connection, message, now, closed=False)
                continue

            response = Response(request, message, now - connection.started_ns)
            self._stepping = agent
            try:
                command = agent.resume(response)
            except BaseException as error:  # noqa: BLE001  # GreenletExit is none of Exception's
                self._stepping = None
                self._release(agent, connection)
                self._record(agent, response, connection)
                self._ended(agent, error)
                continue
            self._stepping = None
            if response.failure_kind is None:
                samples.add(response.latency_ns)
                samples.content_bytes += message.size
            else:
                self._record(agent, response, connection)
            connection.served += 1
            if command.__class__ is not Request or command.origin is not connection.origin or agent.killed:
                self._release(agent, connection)
                self._obey(agent, command)
                continue
            agent.requests += 1
            payload = command.payload
            connection.request = command
            connection.received = 0
            connection.started_ns = started = clock()
            if started + command.timeout_ns < connection.timer_due_ns:
                self._watch_timeout(connection, command)
            try:
                sent = connection.send(payload)
            except OSError:
                sent = 0
            if sent == len(payload):
                connection.awaiting = True
            else:
                connection.awaiting = False
                connection.unsent = payload[sent:]
                self._transmit(connection)

    def _timer_fired(self) -> None:
        self._timer.drain()
        self._armed_ns = None

    # -- Lives

    def _step(self, agent: Agent, resume: Callable[[Any], Command], value: object) -> None:
        """Resume a life with what it waited for, and do what it asks next."""
        before, self._stepping = self._stepping, agent
        try:
            command = resume(value)
        except BaseException as error:  # noqa: BLE001  # as in _serve
            self._stepping = before
            self._ended(agent, error)
            return
        self._stepping = before
        self._obey(agent, command)

    def _ended(self, agent: Agent, error: BaseException) -> None:
        """A life has returned or raised. Lives handle what tasks raise, so raising is a defect or an exit."""
        if not isinstance(error, StopIteration | gevent.GreenletExit):
            logger.error("%s ended: %s\n%s", agent.user, error, "".join(traceback.format_exception(error)))
        self._finish(agent)

    def _finish(self, agent: Agent) -> None:
        self._drop_active(agent)
        for connection in list(agent.connections.values()):
            self._discard(connection)
        self._agents.discard(agent)
        agent.finished.set()

    def _obey(self, agent: Agent, command: Command) -> None:
        if agent.killed:
            agent.life.close()
            self._finish(agent)
        elif isinstance(command, Request):
            agent.requests += 1
            self._begin(agent, command)
        elif isinstance(command, Pause):
            if command.seconds <= 0:
                self._ready.append((agent, agent.wake, None, None))
            else:
                agent.wake += 1
                due = clock() + int(command.seconds * 1e9)
                heapq.heappush(self._timers, (due, next(self._order), agent, None, agent.wake))
        else:
            mistake = TypeError(f"a task yielded {command!r}; yield self.get(...) or self.pause(...)")
            self._step(agent, agent.life.throw, mistake)

    def _deliver(self, agent: Agent, response: Response, connection: Connection | None) -> None:
        """Give a user the response it waits for; count it once the user has judged it."""
        self._stepping = agent
        try:
            command = agent.resume(response)
        except BaseException as error:  # noqa: BLE001  # as in _serve
            self._stepping = None
            self._record(agent, response, connection)
            self._ended(agent, error)
            return
        self._stepping = None
        self._record(agent, response, connection)
        self._obey(agent, command)

    def _record(self, agent: Agent, response: Response, connection: Connection | None) -> None:
        if response.failure_kind is None:
            samples = response.request.samples
            samples.add(response.latency_ns)
            samples.content_bytes += len(response.content)
        else:
            self.recorder.failed(response, connection)
        if self.listener is not None:
            self.listener(agent.user, response)

    # -- Requests and connections

    def _begin(self, agent: Agent, request: Request) -> None:
        """Send a request on the user's connection to its origin, opening one where there is none."""
        now = clock()
        self._in_flight += 1
        connection = agent.connections.get(request.origin)
        if connection is None:
            try:
                connection = self._connect(agent, request.origin, now)
            except OSError as error:
                self._in_flight -= 1
                refused = isinstance(error, ConnectionRefusedError)
                kind = FailureKind.REFUSED if refused else FailureKind.CONNECT_FAILED
                failed = Response(request, None, clock() - now, kind, error.strerror or str(error))
                self._ready.append((agent, agent.wake, failed, None))
                return
        payload = request.payload
        if not agent.plain and agent.user.cookies is not None:
            payload = with_cookies(request, agent.user.cookies)
        agent.active = connection
        connection.assign(request, payload, now)
        if now + request.timeout_ns < connection.timer_due_ns:
            self._watch_timeout(connection, request)
        if not connection.connecting:
            self._transmit(connection)

    def _connect(self, agent: Agent, origin: Origin, now: int) -> Connection:
        connection = Connection(agent, origin, self._addresses.of(origin), now)
        if origin.tls:
            connection.tls = Tls(agent.user.tls_context(), origin.host)
        self._connections[connection.fd] = connection
        agent.connections[origin] = connection
        self._epoll.register(connection.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP)
        self.counters.connections_opened += 1
        self.counters.connections_open += 1
        return connection

    def _transmit(self, connection: Connection) -> None:
        try:
            connection.transmit()
        except ClosedBeforeSending:
            self._reconnect(connection)
            return
        except Broken as broken:
            self._lost(connection, broken)
            return
        wants_write = connection.has_unsent
        if wants_write != connection.wants_write:
            connection.wants_write = wants_write
            self._epoll.modify(connection.fd, EPOLLIN | EPOLLRDHUP | (EPOLLOUT if wants_write else 0))

    def _reconnect(self, connection: Connection) -> None:
        """The server closed an idle connection before a byte was sent: open another. Not a resend."""
        agent, request = connection.agent, connection.request
        assert request is not None
        self.counters.idle_closes += 1
        self._discard(connection)
        agent.active = None
        self._in_flight -= 1
        self._begin(agent, request)

    def _on_event(self, connection: Connection, mask: int) -> None:
        """An event off the hot path: connected, writable, part of an answer, closed."""
        try:
            if connection.connecting:
                connection.finish_connect()
                self._transmit(connection)
            elif mask & EPOLLOUT:
                self._transmit(connection)
            if connection.fd not in self._connections or not mask & ~EPOLLOUT:
                return
            message = connection.receive()
        except Broken as broken:
            self._lost(connection, broken)
        except EOFError:
            self.counters.idle_closes += 1
            self._discard(connection)
        else:
            if message is not None:
                self._answered(connection, message, clock(), closed=bool(mask & EPOLLRDHUP))

    def _absorb(self, connection: Connection, data: bytes) -> Message | None:
        try:
            return connection.absorb(data)
        except Broken as broken:
            self._lost(connection, broken)
            return None

    def _answered(self, connection: Connection, message: Message, now: int, *, closed: bool) -> None:
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
        self._release(agent, connection)
        if closed and message.keep_alive:
            self.counters.idle_closes += 1
        if closed or not message.keep_alive:
            self._discard(connection)
        self._deliver(agent, response, connection)

    def _lost(self, connection: Connection, broken: Broken) -> None:
        agent, request = connection.agent, connection.request
        self._discard(connection)
        if request is None:
            self.counters.idle_closes += 1
            return
        response = Response(request, None, clock() - connection.started_ns, broken.kind, broken.detail)
        self._release(agent, connection)
        # Not at once: a task that tries again and again must not recurse, nor keep others waiting.
        self._ready.append((agent, agent.wake, response, connection))

    def _release(self, agent: Agent, connection: Connection) -> None:
        """The connection is idle again, or gone."""
        connection.request = None
        connection.awaiting = False
        agent.active = None
        self._in_flight -= 1

    def _drop_active(self, agent: Agent) -> None:
        connection = agent.active
        if connection is not None:
            self._release(agent, connection)
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        if self._connections.get(connection.fd) is not connection:
            return
        del self._connections[connection.fd]
        agent = connection.agent
        if agent.connections.get(connection.origin) is connection:
            del agent.connections[connection.origin]
        connection.close()
        self.counters.connections_open -= 1

    # -- Time-outs: at most one timer per connection, looked at again when it is due, so that a
    # request that is answered in time costs no timer of its own.

    def _watch_timeout(self, connection: Connection, request: Request) -> None:
        connection.timer_due_ns = due = connection.started_ns + request.timeout_ns
        heapq.heappush(self._timers, (due, next(self._order), None, connection, due))

    def _check_timeout(self, connection: Connection, token: int, now: int) -> None:
        if connection.timer_due_ns != token or self._connections.get(connection.fd) is not connection:
            return
        connection.timer_due_ns = NO_TIMER
        request = connection.request
        if request is None:
            return
        if now < connection.started_ns + request.timeout_ns:
            self._watch_timeout(connection, request)
            return
        kind = FailureKind.CONNECT_TIMEOUT if connection.connecting else FailureKind.TIMEOUT
        self._lost(connection, Broken(kind, f"no whole response within {request.timeout_ns / 1e9:g} s"))


_engines: WeakKeyDictionary[Environment, Engine] = WeakKeyDictionary()


def engine_of(environment: Environment) -> Engine:
    """The one engine of a Locust environment, made when its first swarm user asks for it."""
    engine = _engines.get(environment)
    if engine is None:
        engine = _engines[environment] = Engine(recorder_of(environment))
        engine.recorder.counters = engine.counters
    return engine
