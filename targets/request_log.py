"""Which requests reached a handler: the proof for a request whose answer was lost.

Off unless asked for: two middlewares and two writes per request would show in what is measured.
"""

from __future__ import annotations

import os
import time

from sanic import Request, Sanic
from sanic.response import HTTPResponse


def log_requests(app: Sanic, path: str) -> None:
    """Append `time,pid,id,event` to the file for each request that has an `x-request-id`.

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
