"""The suite as a plugin of Locust: command-line options, and a recording per test.

Importing `swarm` in a locustfile is enough. `locust -f locustfiles/index.py --record DIR` then writes
the suite's own files beside whatever Locust writes; with several processes or machines, into the
master's DIR.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, time
from typing import Any, Final

import gevent
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from ..engine.agent import Agent
from ..engine.clock import unix
from ..engine.engine import Listener, engine_of
from ..engine.recorder import recorder_of
from ..engine.trace import Trace
from ..environments import per_environment
from ..http.connection import Connection
from ..http.exchange import Response
from ..recording.apart import Apart
from ..recording.batch import Batch
from ..recording.files import Recording
from ..recording.histogram import show_submilliseconds
from ..users.unsent import watchlist_of
from ..users.user_code import UserCode, described, user_code_of
from .pacemaker import add_options, check, pacemaker_of

logger = logging.getLogger(__name__)

RECORD: Final = "whichworker_record"
TRACE: Final = "whichworker_trace"
"""Where `parsed_options` has what is recorded: a locustfile may have options of these names, too."""
REPORT_KEY: Final = "whichworker"
STOP_MESSAGE: Final = "whichworker_stop"
LAST_MESSAGE: Final = "whichworker_last"
LAST_WAIT_S: Final = 15.0


class RequestFailed(Exception):
    """What listeners of Locust's `request` event get as the exception of a failed swarm request."""


class Coordinator:
    """Begins a recording when a test starts and ends it when it stops, in every kind of process.

    Locust swallows what its listeners raise. So an error is kept in `error` (None while all is well), logged,
    and made Locust's exit status.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._recorder = recorder_of(environment)
        self._recording: Recording | None = None
        self._ticker: gevent.Greenlet | None = None
        self._last_from: set[str] = set()
        self.error: str | None = None
        self.listeners: list[Callable[[Batch], None]] = []  # hear what is recorded, second by second
        self.apart: Apart | None = None  # keeps what each worker has recorded, if that is asked for
        hooks = environment.events
        hooks.test_start.add_listener(self._started)
        hooks.test_stop.add_listener(self._stopped)
        hooks.report_to_master.add_listener(self._report)
        hooks.worker_report.add_listener(self._reported)
        self.code = user_code_of(environment)
        if isinstance(environment.runner, MasterRunner):
            environment.runner.register_message(LAST_MESSAGE, self._last_report)
        elif isinstance(environment.runner, WorkerRunner):
            environment.runner.register_message(STOP_MESSAGE, self._stop_worker, concurrent=True)

    @property
    def requests(self) -> int:
        """Successful requests of this process since the recording began."""
        return self._recorder.requests

    @property
    def failures(self) -> int:
        """Failed requests of this process since the recording began."""
        return self._recorder.failures

    def successes_since(self, second: int) -> int | None:
        """Successful requests of all processes from this Unix second on, whole and reported seconds only.

        None where nothing is recorded.
        """
        return None if self._recording is None else self._recording.successes_since(second)

    def _started(self, environment: Environment, **_: object) -> None:
        self.error = None
        engine = engine_of(self._environment)
        watchlist_of(self._environment).clear()
        directory = getattr(environment.parsed_options, RECORD, None)
        trace = bool(directory) and getattr(environment.parsed_options, TRACE, False)
        engine.trace = Trace(self._process_number(), self._recorder.traced) if trace else None
        self._watch_listeners()
        if not directory:
            return
        self._last_from.clear()
        if self.apart is not None:
            self.apart.clear()
        try:
            if not isinstance(environment.runner, WorkerRunner):
                self._recording = Recording(Path(directory), trace=trace)
        except OSError as error:
            self._fail(f"cannot record into {directory}: {error}")
            return
        self._recorder.begin()
        self._ticker = gevent.spawn(self._tick)

    def _process_number(self) -> int:
        runner = self._environment.runner
        return runner.worker_index + 1 if isinstance(runner, WorkerRunner) else 0

    def _tick(self) -> None:
        """Once a second: close the second, note how this process does, pass on what was collected."""
        runner = self._environment.runner
        assert runner is not None
        number = self._process_number()
        while self._recorder.recording:
            due = perf_counter() + 1 - unix() % 1
            gevent.sleep(max(0.0, due - perf_counter()))
            lag_ms = max(0.0, perf_counter() - due) * 1e3
            self._recorder.roll(int(unix()))
            self._recorder.sample_generator(number, len(runner.user_greenlets), lag_ms)
            if self._recording is not None:
                self._add(self._recorder.take())
            self._watch_listeners()

    def _stopped(self, environment: Environment, **_: object) -> None:
        self._recorder.close_second()  # Locust's statistics want the last second's requests, recorded or not
        if not self._recorder.recording:
            return
        if self._ticker is not None:
            self._ticker.kill()
        rest = self._recorder.end()
        runner = environment.runner
        if isinstance(runner, WorkerRunner):
            runner._send_stats()  # the master writes its statistics when it has our last message
            runner.send_message(LAST_MESSAGE, rest.packed())
            return
        self._add(rest)
        if isinstance(runner, MasterRunner):
            self._await_workers(runner)
        if self._recording is None:
            return
        try:
            self._recording.finish()
        except (OSError, MemoryError) as error:
            self._cannot_write(error)
        self._recording = None

    def _await_workers(self, runner: MasterRunner) -> None:
        """Have the workers stop, which Locust does before this event or (when it quits) after it."""
        runner.send_message(STOP_MESSAGE)
        waits_until = perf_counter() + LAST_WAIT_S + (self._environment.stop_timeout or 0)
        while missing := {client.id for client in runner.clients.all} - self._last_from:
            if perf_counter() > waits_until:
                self._fail(f"{len(missing)} worker(s) sent no last report: the recording is incomplete")
                return
            gevent.sleep(0.02)

    def _report(self, client_id: str, data: dict[str, Any]) -> None:
        del client_id
        self.code.report(data)
        if self._recorder.recording:
            data[REPORT_KEY] = self._recorder.take().packed()

    def _reported(self, client_id: str, data: dict[str, Any]) -> None:
        self.code.reported(client_id, data)
        if REPORT_KEY in data:
            self._add_from(client_id, Batch.unpacked(data[REPORT_KEY]))

    def _stop_worker(self, environment: Environment, msg: Any) -> None:
        del msg
        assert environment.runner is not None
        environment.runner.stop()  # does nothing where Locust has stopped it already

    def _last_report(self, environment: Environment, msg: Any) -> None:
        del environment
        self._add_from(msg.node_id, Batch.unpacked(msg.data))
        self._last_from.add(msg.node_id)

    def _add_from(self, client_id: str, batch: Batch) -> None:
        """Take in what a worker has recorded."""
        if self.apart is not None:
            self.apart.add(client_id, batch)
        self._add(batch)

    def _add(self, batch: Batch) -> None:
        for listener in self.listeners:
            listener(batch)
        if self._recording is None:
            return
        try:
            self._recording.add(batch)
        except (OSError, MemoryError) as error:
            self._recording.discard()
            self._recording = None
            self._cannot_write(error)

    def _cannot_write(self, error: Exception) -> None:
        self._fail(f"cannot write the recording: {str(error) or 'no memory is left'}")

    def _fail(self, reason: str) -> None:
        logger.error("%s", reason)
        self.error = reason
        self._environment.process_exit_code = 1

    def _watch_listeners(self) -> None:
        """Have the engine tell the trace, and listeners of the `request` event but Locust's and ours."""
        ours = self._recorder.heard
        foreign = [
            handler
            for handler in self._environment.events.request._handlers
            if handler != ours and getattr(handler, "__module__", "") != "locust.runners"
        ]
        engine = engine_of(self._environment)
        heard: list[Listener] = [engine.trace] if engine.trace is not None else []
        engine.listeners = (*heard, _Fire(foreign, self.code)) if foreign else tuple(heard)


class _Fire:
    """Calls request listeners with the arguments that Locust documents for them."""

    def __init__(self, handlers: list[Any], code: UserCode) -> None:
        self._handlers = handlers
        self._code = code

    def __call__(self, agent: Agent, response: Response, connection: Connection[Any] | None) -> None:
        del connection
        request = response.request
        arguments = {
            "request_type": request.method,
            "name": request.name,
            "response_time": response.latency_ns / 1e6,
            "response_length": response.size,
            "response": response,
            "context": agent.user.context(),
            "exception": None if response.ok else RequestFailed(response.reason),
            "start_time": time() - response.elapsed,
            "url": request.origin.url + request.path,
        }
        for handler in self._handlers:
            try:
                handler(**arguments)
            except Exception as error:  # a listener of a locustfile may raise anything
                name = getattr(handler, "__qualname__", repr(handler))
                told = f"listener {name} of request: {described(error)}"
                if self._code.raised(told, error.__traceback__):
                    logger.error("%s", told, exc_info=error)


@per_environment
def coordinator_of(environment: Environment) -> Coordinator:
    """The coordinator of an environment, which has its runner by now."""
    return Coordinator(environment)


def _add_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--record",
        dest=RECORD,
        metavar="DIR",
        default="",
        include_in_web_ui=False,
        help="Record latency.csv, failures.csv and generator.csv (docs/contracts.md) into this directory.",
    )
    parser.add_argument(
        "--trace",
        dest=TRACE,
        action="store_true",
        include_in_web_ui=False,
        help="With --record: send each request of swarm users with an X-Request-Id, and write a row for each "
        "into trace.csv. It costs time.",
    )
    add_options(parser)


def withdraw_options() -> None:
    """Leave the suite's options out of every parser that is made from now on.

    A session sets them itself, and its locustfiles may have options of the same names.
    """
    events.init_command_line_parser._handlers = [
        each for each in events.init_command_line_parser._handlers if each is not _add_option
    ]


def _attach(environment: Environment, **_: object) -> None:
    check(environment)
    options = environment.parsed_options
    if getattr(options, TRACE, False) and not getattr(options, RECORD, ""):
        raise SystemExit("--trace needs --record DIR: that is where trace.csv is written")
    show_submilliseconds()
    pacemaker_of(environment)
    coordinator_of(environment)
    # Timers count from when gevent's loop last looked at the clock. It has not run yet, and what was imported
    # meanwhile takes seconds on a busy machine: Locust's --run-time would end so much too early.
    gevent.get_hub().loop.update_now()


events.init_command_line_parser.add_listener(_add_option)
events.init.add_listener(_attach)
