"""What `targets.serve` has an app do by its environment: recycle, log, collect garbage, wait, leak."""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from sanic import Request, Sanic
from sanic.response import HTTPResponse

from targets import leaks
from targets.inside.in_app import BACKLOG, GC_FREEZE, GC_THRESHOLD, MINIMUM_AGE_S
from targets.recycle import recycle_after


def apply_settings(app: Sanic) -> None:
    """Have the app recycle and log as the environment says; without settings nothing is registered.

    Where servers may take longer than usual to start, Sanic's manager is kept from giving its workers up.
    """
    if "WHICHWORKER_PATIENCE_S" in os.environ:
        _wait_for_workers(float(os.environ["WHICHWORKER_PATIENCE_S"]))
    if "WHICHWORKER_MAX_REQUESTS" in os.environ:
        age = os.environ.get(MINIMUM_AGE_S)
        recycle_after(
            app,
            max_requests=int(os.environ["WHICHWORKER_MAX_REQUESTS"]),
            jitter=int(os.environ["WHICHWORKER_MAX_REQUESTS_JITTER"]),
            **({} if age is None else {"minimum_age_s": float(age)}),
        )
    if BACKLOG in os.environ:
        app.register_listener(lengthen_backlog, "main_process_start")
    if GC_FREEZE in os.environ or GC_THRESHOLD in os.environ:
        app.register_listener(tune_collections, "before_server_start")
    if "WHICHWORKER_REQUEST_LOG" in os.environ:
        log_requests(app, os.environ["WHICHWORKER_REQUEST_LOG"])
    if leaks.VARIABLE in os.environ:
        leaks.leak(app, os.environ[leaks.VARIABLE])


async def lengthen_backlog(app: Sanic, *_: Any) -> None:
    """Have Sanic's own server ask for the backlog of `in_app.BACKLOG`, for which its command has no flag.

    Its manager binds the socket after this, and tells the workers how long their backlog is.
    """
    app.state.server_info[0].settings["backlog"] = int(os.environ[BACKLOG])


async def tune_collections(*_: Any) -> None:
    """Have Python collect garbage in this worker as two variables say, which the variants of a setting set.

    With `in_app.GC_FREEZE` what is there after the start is spared from every collection;
    `in_app.GC_THRESHOLD` is how many more objects must have been made than freed before there is one.
    """
    if GC_THRESHOLD in os.environ:
        gc.set_threshold(int(os.environ[GC_THRESHOLD]), *gc.get_threshold()[1:])
    if GC_FREEZE in os.environ:
        gc.collect()
        gc.freeze()


def _wait_for_workers(seconds: float) -> None:
    """Have the manager wait so long for a worker, if it would not; there is none in Sanic 21.12."""
    try:
        from sanic.worker.manager import WorkerManager
        from sanic.worker.process import WorkerProcess
    except ImportError:
        return
    for waiting in (WorkerManager, WorkerProcess):  # each counts tenths of a second
        waiting.THRESHOLD = max(waiting.THRESHOLD, round(10 * seconds))


def log_requests(app: Sanic, path: str) -> None:
    """Append `time,pid,id,event` to the file for each request that has an `x-request-id`.

    It proves that a request reached a handler even if the answer was lost. It is off by default, because it
    would show in what is measured.

    `event` is `started` before the handler runs, and `finished` when its response (of a stream: the
    first part) is about to be sent. The id is written as it is: a client that uses the log sends none
    with commas, quotes or line breaks. Requests without an id leave no trace.
    """
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def log(request: Request, event: str) -> None:
        name = request.headers.get("x-request-id")
        if name:
            # A single small append is never interleaved with another worker's.
            os.write(file, b"%.6f,%d,%s,%s\n" % (time.time(), os.getpid(), name.encode(), event.encode()))

    def started(request: Request) -> None:
        log(request, "started")

    def finished(request: Request, _: HTTPResponse) -> None:
        log(request, "finished")

    app.register_middleware(started, "request")
    app.register_middleware(finished, "response")
