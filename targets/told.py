"""What `targets.serve` tells an app by its environment: to recycle its workers, and to log its requests."""

from __future__ import annotations

import os

from sanic import Sanic

from targets.recycle import recycle_after
from targets.request_log import log_requests


def do_as_told(app: Sanic) -> None:
    """Have the app recycle and log as it is told; without that nothing is registered."""
    if "WHICHWORKER_MAX_REQUESTS" in os.environ:
        recycle_after(
            app,
            max_requests=int(os.environ["WHICHWORKER_MAX_REQUESTS"]),
            jitter=int(os.environ["WHICHWORKER_MAX_REQUESTS_JITTER"]),
        )
    if "WHICHWORKER_REQUEST_LOG" in os.environ:
        log_requests(app, os.environ["WHICHWORKER_REQUEST_LOG"])
