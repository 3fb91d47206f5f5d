"""Workers of Sanic's own server that are replaced after N requests, as `--max-requests` does elsewhere.

Copy this file into your project (it needs nothing but Sanic) and say, where the app is made:

    recycle_after(app, max_requests=10_000, jitter=1_000)

A worker that has answered so many requests asks Sanic's manager for a successor, and goes on serving
until the successor is ready. docs/recycling.md tells what to expect, and where the limits are.
"""

# Made for Sanic 25.12, and close to its insides: tests/targets/test_recycle.py tells whether it fits another.

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import random
import sys
import time
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import SanicException
from sanic.log import logger
from sanic.response import HTTPResponse
from sanic.server.protocols.http_protocol import HttpProtocol

HANDOVER_S = 1.0
"""Sanic tells a worker to stop up to 0.2 s after its successor is ready. Another restart of the same
worker before that would make Sanic forget the old process, which then lives on: a leaked worker."""

IDLE_S = 2.0
"""How long a stopping worker leaves idle connections open. Those in use get a request meanwhile, whose
answer closes them: only what is hardly used is closed with the risk that a request is under way."""

_LOOK_EVERY_S = 0.1
_STARTING = ("RESTARTING", "STARTING", "STARTED")  # Sanic's names for a worker that does not serve yet
_SERVING = "ACKED"
_DUE = "recycle_due"  # our key in the state that Sanic shares between the processes


def recycle_after(app: Sanic, max_requests: int, jitter: int = 0, minimum_age_s: float = 2.0) -> None:
    """Have each worker of the app replaced after `max_requests` responses.

    Call it once, in the module that makes the app. It does nothing where Sanic's manager does not run
    the workers: with `--single-process`, and under Uvicorn, Gunicorn and other ASGI servers.

    Args:
        app: The app, before it is served.
        max_requests: Responses after which a worker asks for its successor. It serves some more until
            that one has started.
        jitter: At most so many more, drawn anew for each worker, so that they do not come due together.
            Those that do are replaced one after the other.
        minimum_age_s: Seconds that a worker serves at least, whatever it has answered: `HANDOVER_S` or
            more. It bounds how often processes are started when N is small for the load.

    Raises:
        ValueError: An argument is out of range.
    """
    if max_requests < 1 or jitter < 0:
        raise ValueError("max_requests must be at least 1, and jitter not negative")
    if minimum_age_s < HANDOVER_S:
        raise ValueError(f"minimum_age_s must be at least {HANDOVER_S:g}: Sanic leaks workers otherwise")
    life = _Life(app, max_requests, jitter, minimum_age_s)
    app.register_listener(life.begin, "after_server_start")
    # First of all: a middleware that returns a response is the last that Sanic runs.
    app.register_middleware(life.count, "response", priority=-sys.maxsize)
    app.register_listener(life.stop, "before_server_stop")
    app.register_listener(end_restarts, "main_process_stop")


class _Life:
    """One worker process, from its start to its stop."""

    def __init__(self, app: Sanic, max_requests: int, jitter: int, minimum_age_s: float) -> None:
        self._app = app
        self._max_requests = max_requests
        self._jitter = jitter
        self._minimum_age_s = minimum_age_s
        self._born = math.nan
        self._left: float = math.inf  # responses until the successor is asked for
        self._stopping = False

    async def begin(self, *_: Any) -> None:
        """Start to count. The age counts from here as well: the manager has just been told it is ready."""
        if not hasattr(self._app, "multiplexer"):
            return
        self._born = time.monotonic()
        # Drawn here and not at import, which all workers share if they are forked.
        requests = self._max_requests + random.randint(0, self._jitter)
        self._left = requests
        logger.info("This worker is to be replaced after %d requests", requests)

    def count(self, request: Request, _: HTTPResponse) -> None:
        """Count a response; the last one asks for the successor, once.

        If the worker is stopping, the response is also the last of its connection. (To set the app's
        `KEEP_ALIVE` would do that for the requests still to come, not for those in progress.)
        """
        self._left -= 1
        if self._left == 0:
            self._app.add_task(self._retire())
        if self._stopping and request.stream:
            request.stream.keep_alive = False

    async def _retire(self) -> None:
        await asyncio.sleep(max(0.0, self._born + self._minimum_age_s - time.monotonic()))
        due = (time.time(), os.getpid())
        self._app.m.state[_DUE] = due
        # To look only after a while lets each of those that come due at the same time see the others.
        await asyncio.sleep(_LOOK_EVERY_S)
        while not self._is_next():
            # The manager reads this state, changes it and writes it back, and may have done so meanwhile.
            if self._app.m.state.get(_DUE) != due:
                self._app.m.state[_DUE] = due
            await asyncio.sleep(_LOOK_EVERY_S)
        logger.info("This worker has served its requests: asking for its successor")
        self._app.m.restart(zero_downtime=True)

    def _is_next(self) -> bool:
        workers = self._app.m.workers
        if any(worker.get("state") in _STARTING for worker in workers.values()):
            return False
        # A successor inherits the state of the worker it replaces: what that one has noted is not its own.
        # One whose successor failed does not ask again, and is not waited for.
        due = [
            worker[_DUE]
            for worker in workers.values()
            if worker.get(_DUE) and worker[_DUE][1] == worker.get("pid") and worker.get("state") == _SERVING
        ]
        return not due or min(due)[1] == os.getpid()

    async def stop(self, *_: Any) -> None:
        """Let each connection end with its next answer, and the idle ones a little later.

        Sanic would close idle connections at once, with requests that have arrived but were not read
        yet, serve the busy ones for another `GRACEFUL_SHUTDOWN_TIMEOUT` (15 s) and then cut them in
        the midst of a request. Nor may a stopping worker ask for a successor, for it has one already.
        """
        if not hasattr(self._app, "multiplexer"):
            return
        self._left = math.inf
        self._stopping = True
        close_if_idle = HttpProtocol.close_if_idle

        def close_if_unused(connection: HttpProtocol) -> None:
            # A request that was read, and not begun yet, will close it with its answer.
            if not connection.recv_buffer:
                close_if_idle(connection)

        def close_if_idle_later(connection: HttpProtocol) -> None:
            connection.loop.call_later(IDLE_S, close_if_unused, connection)

        HttpProtocol.close_if_idle = close_if_idle_later


async def end_restarts(app: Sanic, *_: Any) -> None:
    """Let a server that is told to stop in the midst of a restart stop the old worker now, and gently.

    Sanic stops only the successors. Where one is not ready yet, it would wait 30 s for it, and in the
    end cut the requests that the old worker is serving.
    """
    from sanic.worker.constants import ProcessState  # older versions, without a manager, have none

    try:
        processes = list(app.manager.processes)
    except SanicException:  # it ends before it has made any, as where it could not bind its port
        return
    for process in processes:
        # The old worker will report there that it has stopped, or fail.
        app.manager.worker_state.setdefault(process.name, {})
        old = getattr(process, "_old_process", None)  # gone once it has been told to stop
        if old is not None:
            old.terminate()
    current = {process.pid for process in processes}
    for child in multiprocessing.active_children():
        if child.name.startswith("Sanic-Server-") and child.pid not in current:
            child.join(app.config.GRACEFUL_SHUTDOWN_TIMEOUT + 1)
    for process in processes:
        process.state = ProcessState.ACKED  # which Sanic is waiting for
