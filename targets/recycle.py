"""Workers of Sanic's own server that are replaced after N requests, as `--max-requests` does elsewhere.

Copy this file into your project (it needs nothing but Sanic) and say, where the app is made:

    recycle_after(app, max_requests=10_000, jitter=1_000)

A worker that has answered so many requests asks Sanic's manager for a successor, and goes on serving
until the successor is ready. docs/recycling.md tells what to expect, and where the limits are.
"""

# Made for Sanic 25.12; with other versions, run tests/targets/test_recycle.py first.

from __future__ import annotations

import asyncio
import math
import multiprocessing
import random
import time
from typing import Any

from sanic import Request, Sanic
from sanic.log import logger
from sanic.response import HTTPResponse

HANDOVER_S = 1.0
"""Sanic tells a worker to stop up to 0.2 s after its successor is ready. Another restart of the same
worker before that would make Sanic forget the old process, which then lives on: a leaked worker."""

_STARTING = {"RESTARTING", "STARTING", "STARTED"}  # states of a worker that does not serve yet
_LOOK_EVERY_S = 0.2


def recycle_after(app: Sanic, max_requests: int, jitter: int = 0, minimum_age_s: float = 2.0) -> None:
    """Have each worker of the app replaced after `max_requests` responses.

    Call it once, in the module that makes the app. It does nothing where Sanic's manager does not run
    the workers: with `--single-process`, and under Uvicorn, Gunicorn and other ASGI servers.

    Args:
        app: The app, before it is served.
        max_requests: Responses after which a worker asks for its successor. It serves some more until
            that one has started.
        jitter: At most so many more, drawn anew for each worker, so that workers do not restart together.
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
    app.register_middleware(life.count, "response")
    app.register_listener(life.stop, "before_server_stop")
    app.register_listener(end_restarts, "main_process_stop")


class _Life:
    """One worker process, from its start to its stop."""

    def __init__(self, app: Sanic, max_requests: int, jitter: int, minimum_age_s: float) -> None:
        self._app = app
        self._max_requests = max_requests
        self._jitter = jitter
        self._minimum_age_s = minimum_age_s
        self._begun = math.nan
        self._stopping = False
        self._left: float = math.inf

    async def begin(self, *_: Any) -> None:
        """Start to count; the age counts from here as well, for by now the manager knows of the worker."""
        if hasattr(self._app, "multiplexer"):
            # Drawn here and not at import: with the start method "fork" all workers share the import.
            self._left = self._max_requests + random.randint(0, self._jitter)
            self._begun = time.monotonic()

    def count(self, request: Request, _: HTTPResponse) -> None:
        """Count a response; the last one sets off the restart, once."""
        self._left -= 1
        if self._left == 0:
            self._app.add_task(self._retire())
        if self._stopping and request.stream:
            request.stream.keep_alive = False

    async def _retire(self) -> None:
        too_young_s = self._begun + self._minimum_age_s - time.monotonic()
        if too_young_s > 0:
            # Its siblings, started together with it, wait as well: come out of the wait one by one.
            await asyncio.sleep(too_young_s + random.uniform(0, self._minimum_age_s / 4))
        while any(worker.get("state") in _STARTING for worker in self._app.m.workers.values()):
            await asyncio.sleep(random.uniform(0.5, 1.5) * _LOOK_EVERY_S)
        logger.info("This worker has served its requests: asking for a successor")
        self._app.m.restart(zero_downtime=True)

    async def stop(self, *_: Any) -> None:
        """Let every connection end with its current answer, or with its next if it is idle.

        Sanic would serve busy connections for another `GRACEFUL_SHUTDOWN_TIMEOUT` (15 s) and then cut
        them in the midst of their requests. Nor may a worker that is stopping ask for a successor: it
        has one already.
        """
        if hasattr(self._app, "multiplexer"):
            self._app.config.KEEP_ALIVE = False
            self._stopping = True
            self._left = math.inf


async def end_restarts(app: Sanic, *_: Any) -> None:
    """Let a server that is told to stop in the midst of a restart stop the old worker now, and gently.

    Sanic has ended the successor but still waits 30 s for it to become ready, before it stops the old
    worker; and then it would cut the requests that this one is serving.
    """
    from sanic.worker.constants import ProcessState

    for process in app.manager.processes:
        # The old worker will report here that it has stopped, or fail.
        app.manager.worker_state.setdefault(process.name, {})
        process.state = ProcessState.ACKED
    for child in multiprocessing.active_children():
        if child.name.startswith("Sanic-Server-"):
            child.join(app.config.GRACEFUL_SHUTDOWN_TIMEOUT + 1)
