"""What a request is refused with: a status, and a sentence that says why. Knows nothing of Sanic."""

from __future__ import annotations


class RefusedError(Exception):
    """What the client sent cannot be served; the message says why."""

    status = 400


class MissingError(RefusedError):
    """What was asked for does not exist; the message names it."""

    status = 404


class NoDatabaseError(RefusedError):
    """There is no database, or it does not do its part; the message says why."""

    status = 503
