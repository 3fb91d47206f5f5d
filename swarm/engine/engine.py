"""The engine: one greenlet, one epoll set, every swarm user of a Locust process.

Locust gives each user a greenlet; what makes that slow is not Python but gevent's hub, which is
entered and left at each send and each receive. Here users are generators. They yield what they
want (a `Request`, a `Pause`), and one loop over an epoll set gives it to them. Each user keeps a
parked greenlet, so that Locust counts, stops and kills users as it always does.
"""

from __future__ import annotations

import logging
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from time import perf_counter_ns as clock
from typing import Any, Final, Protocol

import gevent
from locust.env import Environment

from ..environments import per_environment
from ..http.connection import EPOLLIN, RECEIVE_BYTES
from ..http.exchange import Origin, Request, Response, Samples
from .agent import Agent, Await, Command, Connect, Pause
from .clock import NEVER, unix
from .counters import Counters
from .dispatch import Dispatcher
from .gates import Gate
from .openloop import OpenLoops, Share
from .polling import Poller
from .recorder import Recorder, recorder_of
from .stage import Stage
from .timers import Timers
from .trace import Trace
from .traffic import AgentConnection, Events, Traffic

logger = logging.getLogger(__name__)

READY_BATCH: Final = 256
"""Users started, woken or told of a failed connect between two looks at the sockets."""


class Listener(Protocol):
    """Called with every response that a user got, once the user has judged it."""

    def __call__(self, agent: Agent, response: Response, connection: AgentConnection | None) -> None:
        """Be told; `connection` is the one it came on, or was lost on, if there was one."""


class Engine:
    """Drives the agents of one Locust process. Made by `engine_of`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.counters = Counters()
        self.loops: OpenLoops[Agent] = OpenLoops()
        self.prepared: defaultdict[tuple[type, Origin], dict[tuple[str, str], Request]] = defaultdict(dict)
        self.listeners: tuple[Listener, ...] = ()
        self.trace: Trace | None = None  # of the users that start from now on
        self.gates: dict[str, Gate[Agent]] = {}  # of targets, likewise
        self._agents: set[Agent] = set()
        self._ready: deque[tuple[Agent, int, Response | None, AgentConnection | None]] = deque()
        self._greenlet: gevent.Greenlet | None = None
        self._stepping: Agent | None = None

    # -- What users and Locust call

    def run(self, agent: Agent) -> None:
        """Live the agent's life to its end. Called in the user's own greenlet, which is parked here."""
        agent.loop = self.loops.of(agent.user, clock())
        agent.gate = self.gates.get(agent.user.whichworker_target or "")
        if agent.gate is not None:
            agent.gate.admit(agent)
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

    def begin_arrivals(self, share: Share, start_ns: int) -> None:
        """Start this process's share of the open loops' schedules, unless they are running already."""
        self.loops.begin(share, start_ns)
        self._wake()

    def samples(self, target: str | None, method: str, name: str) -> Samples:
        """Where the latencies of a target's users go, by method and name."""
        return self.gates.get(target or "", self.recorder).samples(method, name)

    def follow(self, steps: Callable[[Stage], Iterator[int]]) -> None:
        """Go through the steps of a rotation, in place of those that are left of others.

        They yield when the next is due. Nothing happens where no user is alive.
        """
        if self._greenlet is not None and not self._greenlet.dead:
            self._steps: Iterator[int] = steps(self._stage)
            self._steps_ns = self._turn_ns = 0
            self._wake()

    def _kill(self, agent: Agent, reason: BaseException) -> None:
        """End a life now: what is in flight is dropped; `on_stop` still runs, its requests too."""
        agent.wake += 1
        agent.leave_loop()
        if agent is self._stepping:
            # The task itself stopped the test, and waits for this greenlet to end.
            agent.killed = agent.diverted = True
            agent.finished.set()
            return
        agent.diverted = False
        self._traffic.drop_active(agent)
        self._step(agent, agent.life.throw, reason)
        if self._stepping is not None and not agent.finished.is_set():
            # The engine is held up inside a task that stops the test: nothing can be sent any more.
            logger.warning("on_stop of %s was cut short: a task is stopping the test", agent.user)
            agent.life.close()
            self._finish(agent)
        self._wake()

    def _open(self) -> None:
        self._timers = Timers()
        self._traffic = Traffic(self._timers, self.counters, self._deliver, self._deliver_later)
        self._dispatcher = Dispatcher(self.loops, self._traffic, self._advance, self._go_on)
        self._poller = Poller(self._traffic, self._timers, self.counters, self.loops)
        self._stage = Stage(self._traffic, self._poller, self.counters, self._obey)
        self._steps = iter(())
        self._steps_ns = self._second_ns = self._turn_ns = 0

    def _close(self) -> None:
        for agent in list(self._agents):
            self._finish(agent)
        self._ready.clear()
        self._poller.close()
        self._traffic.close()
        self._timers.close()

    def _wake(self) -> None:
        """Make a sleeping engine look again."""
        if self._greenlet is not None and not self._greenlet.dead:
            self._timers.fire()

    # -- The loop

    def _work(self) -> None:
        try:
            waiting = self._poller
            looked = clock()
            while self._agents:
                self._run_timers()
                self._run_ready()
                self._dispatcher.start_due()
                now = clock()
                if now >= self._turn_ns:
                    self._turn(now)
                self.counters.was_blind(now - looked)
                events = self._traffic.poll(0) if self._ready else waiting.wait(self._turn_ns)
                looked = clock()
                if events:
                    self._serve(events)
                if waiting.others_are_due():
                    self.recorder.flush_full()
                    waiting.let_others_run()
        except Exception:
            logger.exception("The swarm engine failed; its users end here. This is a defect of the suite.")
            raise
        finally:
            self._close()

    def _turn(self, now: int) -> None:
        """A new Unix second has begun, before which all that was recorded belongs, or a step is due."""
        if now >= self._second_ns:
            wall = unix()
            self.recorder.roll(int(wall))
            self._second_ns = now + int((1 - wall % 1) * 1e9)
        if now >= self._steps_ns:
            self._steps_ns = next(self._steps, NEVER)
        self._turn_ns = min(self._second_ns, self._steps_ns)

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
        now = clock()
        for agent, wake in self._timers.expired(now):
            if wake is None:
                self._traffic.check_timeout(agent, now)
            elif agent.wake == wake:
                self._ready.append((agent, wake, None, None))

    def _serve(self, events: Events) -> None:
        """Take the answers in and send what their users want next. The hot path of the suite.

        Here is only the common case: a whole good answer in one piece, on a plain connection that
        stays open, to a user without cookies whose next request goes the same way. All else is
        handed on. What one request costs here bounds what the suite can measure.
        """
        traffic = self._traffic
        connections = traffic.connections
        unobserved = not self.listeners
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                self._timers.drain()
                continue
            if mask != EPOLLIN or not connection.awaiting:
                traffic.on_event(connection, mask)
                continue
            try:
                data = connection.recv(RECEIVE_BYTES)
            except OSError:
                traffic.on_event(connection, mask)  # meets the same error, and knows what it means
                continue
            now = clock()
            agent = connection.agent
            request = connection.request
            assert request is not None
            samples = request.samples
            if data == samples.seen:
                message = samples.message
            else:
                message = traffic.absorb(connection, data)
                if message is not None and message.keep_alive and connection.received == len(data):
                    samples.seen, samples.message = data, message
            if message is None:
                continue
            if not (unobserved and message.ok and message.keep_alive and agent.plain):
                connection.received = len(data)
                traffic.answered(connection, message, now, closed=False)
                continue

            response = Response(request, message, now - connection.started_ns)
            connection.served += 1
            self._stepping = agent
            try:
                command = agent.resume(response)
            except BaseException as error:  # noqa: BLE001  # GreenletExit is none of Exception's
                self._stepping = None
                connection.received = len(data)
                traffic.release(agent, connection)
                self._record(agent, response, connection)
                self._ended(agent, error)
                continue
            self._stepping = None
            if response.failure_kind is None:
                samples.add(response.latency_ns)
                samples.content_bytes += message.size
                if agent.waited_ns:
                    samples.waited(response.latency_ns, agent.waited_ns)
                    agent.waited_ns = 0
            else:
                connection.received = len(data)
                self._record(agent, response, connection)
            if command.__class__ is not Request or command.origin is not connection.origin or agent.diverted:
                traffic.release(agent, connection)
                self._obey(agent, command)
                continue
            agent.requests += 1
            payload = command.payload
            connection.request = command
            connection.received = 0
            connection.started_ns = started = clock()
            if started + command.timeout_ns < agent.timeout_due_ns:
                traffic.watch_timeout(agent, connection, command)
            try:
                sent = connection.send(payload)
            except OSError:
                sent = 0
            if sent == len(payload):
                connection.awaiting = True
            else:
                connection.awaiting = False
                connection.unsent = payload[sent:]
                traffic.transmit(connection)

    # -- Lives

    def _step(self, agent: Agent, resume: Callable[[Any], Command], value: object) -> None:
        """Resume a life with what it waited for, and do what it asks next."""
        self._go_on(agent, self._advance(agent, resume, value))

    def _advance(
        self, agent: Agent, resume: Callable[[Any], Command], value: object
    ) -> Command | BaseException:
        """What a life asks for next, or how it ended."""
        before, self._stepping = self._stepping, agent
        try:
            return resume(value)
        except BaseException as error:  # noqa: BLE001  # as in _serve
            return error
        finally:
            self._stepping = before

    def _go_on(self, agent: Agent, outcome: Command | BaseException) -> None:
        if isinstance(outcome, BaseException):
            self._ended(agent, outcome)
        else:
            self._obey(agent, outcome)

    def _ended(self, agent: Agent, error: BaseException) -> None:
        """A life has returned or raised. Lives handle what tasks raise, so raising is a defect or an exit."""
        if not isinstance(error, StopIteration | gevent.GreenletExit):
            logger.error("%s ended: %s\n%s", agent.user, error, "".join(traceback.format_exception(error)))
        self._finish(agent)

    def _finish(self, agent: Agent) -> None:
        agent.leave_loop()
        self._traffic.drop_active(agent)
        for connection in list(agent.connections.values()):
            self._traffic.discard(connection)
        self._agents.discard(agent)
        if agent.gate is not None:
            agent.gate.agents.discard(agent)
        agent.finished.set()

    def _obey(self, agent: Agent, command: Command) -> None:
        if agent.killed:
            agent.life.close()
            self._finish(agent)
        elif isinstance(command, Request):
            if agent.diverted and agent.gate is not None:
                agent.gate.park(agent, command)
                return
            agent.requests += 1
            if agent.late_ns is not None:
                command.samples.late.append(agent.late_ns)
                agent.late_ns = None
            self._traffic.begin(agent, command, clock())
        elif isinstance(command, Await) and agent.loop is not None:
            self._dispatcher.free(agent, agent.loop)
        elif isinstance(command, Connect):
            self._traffic.connect_early(agent, command.origin, clock())
            self._ready.append((agent, agent.wake, None, None))
        elif isinstance(command, Pause):
            self._pause(agent, command)
        else:
            mistake = TypeError(f"a task yielded {command!r}; yield self.get(...) or self.pause(...)")
            self._step(agent, agent.life.throw, mistake)

    def _pause(self, agent: Agent, pause: Pause) -> None:
        try:
            rest_ns = int(pause.seconds * 1e9)
        except (TypeError, ValueError, OverflowError):
            mistake = TypeError(f"a pause lasts a number of seconds, not {pause.seconds!r}")
            self._step(agent, agent.life.throw, mistake)
            return
        if rest_ns <= 0:
            self._ready.append((agent, agent.wake, None, None))
        else:
            agent.wake += 1
            self._timers.at(clock() + rest_ns, agent, agent.wake)

    def _deliver(self, agent: Agent, response: Response, connection: AgentConnection | None) -> None:
        """Give a user the response it waits for; count it once the user has judged it."""
        outcome = self._advance(agent, agent.resume, response)
        self._record(agent, response, connection)
        self._go_on(agent, outcome)

    def _deliver_later(self, agent: Agent, response: Response, connection: AgentConnection | None) -> None:
        self._ready.append((agent, agent.wake, response, connection))

    def _record(self, agent: Agent, response: Response, connection: AgentConnection | None) -> None:
        if agent.gate is not None:
            agent.gate.record(response, connection, agent.request_id)
        elif response.failure_kind is None:
            samples = response.request.samples
            samples.add(response.latency_ns)
            samples.content_bytes += response.size
            if agent.waited_ns:
                samples.waited(response.latency_ns, agent.waited_ns)
        else:
            self.recorder.failed(response, connection, agent.request_id)
        agent.waited_ns = 0
        for listener in self.listeners:
            listener(agent, response, connection)


@per_environment
def engine_of(environment: Environment) -> Engine:
    """The one engine of a Locust environment."""
    engine = Engine(recorder_of(environment))
    engine.recorder.counters = engine.counters
    engine.recorder.loops = engine.loops
    return engine
