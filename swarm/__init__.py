"""Locust made fit for fast servers: the epoll engine, its users, open loops, recorder and cell session."""

import locust as _locust  # noqa: F401  # first: it has gevent patch ssl before anything else imports it

from . import plugin  # noqa: F401  # its listeners give Locust --record and --arrival-rate
from .exchange import FailureKind, Request, Response
from .life import Steps
from .pacing import Arrivals
from .user import SwarmUser

__all__ = ["Arrivals", "FailureKind", "Request", "Response", "Steps", "SwarmUser"]
