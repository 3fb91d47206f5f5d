"""Locust made fit for fast servers: the epoll engine, its users, open loops, recorder and cell session."""

import os as _os
import sys as _sys

if "locust" not in _sys.modules:
    # A program of the suite's own: its Locust is as the suite needs it, whatever these say.
    for _name in ("LOCUST_SKIP_MONKEY_PATCH", "LOCUST_SKIP_URLLIB3_PATCH", "LOCUST_PLAYWRIGHT"):
        _os.environ.pop(_name, None)

import locust as _locust  # noqa: F401  # first: it has gevent patch ssl before anything else imports it

from .control import plugin  # noqa: F401  # its listeners give Locust --record and --arrival-rate
from .engine.openloop import Arrivals
from .http.exchange import FailureKind, Request, Response
from .users.tasks import Steps
from .users.user import SwarmUser

__all__ = ["Arrivals", "FailureKind", "Request", "Response", "Steps", "SwarmUser"]
