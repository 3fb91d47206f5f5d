"""Locust made fit for fast servers: the epoll engine, its users, open loops, recorder and cell session."""

from . import patched  # noqa: F401  # first: it has gevent patch ssl before anything else imports it
from .control import plugin  # noqa: F401  # its listeners give Locust --record and --arrival-rate
from .engine.openloop import Arrivals
from .http.exchange import FailureKind, Request, Response
from .users.tasks import Steps
from .users.user import SwarmUser

__all__ = ["Arrivals", "FailureKind", "Request", "Response", "Steps", "SwarmUser"]
