"""The suite's app with a planted cost: `targets.planted:app` shows what a comparison can see.

Each request goes `WHICHWORKER_PLANTED_TURNS` times round an empty loop before the app gets it: CPU work in
the server's own process, which a slow moment of the machine makes as much slower as the rest. A wait for a
clock would not be that, and would count what others take of the CPU. No configuration of the suite is served
so.
"""

from __future__ import annotations

import os
from typing import Any, Awaitable, Callable

from targets.app import app as unburdened

App = Callable[..., Awaitable[None]]
VARIABLE = "WHICHWORKER_PLANTED_TURNS"


class Planted:
    """ASGI middleware that works before each request; the lifespan of an app passes."""

    def __init__(self, inner: App, turns: int) -> None:
        self.inner = inner
        self.turns = turns

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Go round the loop, then pass the call on."""
        if scope["type"] == "http":
            for _ in range(self.turns):
                pass
        await self.inner(scope, receive, send)


app = Planted(unburdened, int(os.environ[VARIABLE]))
