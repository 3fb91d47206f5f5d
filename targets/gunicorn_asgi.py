"""Gunicorn configuration file for `-k asgi` (`-c python:targets.gunicorn_asgi`), as an app may need it.

Sanic hands its response headers over as a one-shot generator. ASGI allows any iterable, but gunicorn 27
iterates over it twice, so every header of the answer is lost. Only this configuration uses the wrapper.
"""

from __future__ import annotations

from typing import Any, Awaitable, Callable


class ListedHeaders:
    """ASGI middleware that turns the headers of each response into a list."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass the call on, with a `send` that lists the headers."""

        async def send_listed(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = list(message["headers"])
            await send(message)

        await self.app(scope, receive, send_listed)


def post_worker_init(worker: Any) -> None:
    """Gunicorn's hook between loading the app and serving it."""
    worker.asgi = ListedHeaders(worker.asgi)
