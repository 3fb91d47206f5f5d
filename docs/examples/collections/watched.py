"""An app that says on standard error what each full garbage collection of Python's took and found.

With the variable FREEZE what is there after the start is spared from all collections.
"""

import gc
import os
import sys
import time
from typing import Any

from sanic import HTTPResponse, Request, Sanic, text

app = Sanic("watched")
_OLDEST = 2


class _Watch:
    """Called by Python before and after each collection."""

    began = 0.0

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self.began = time.perf_counter()
        elif info["generation"] == _OLDEST:
            took_ms = (time.perf_counter() - self.began) * 1000
            sys.stderr.write(f"full collection: {took_ms:.0f} ms, {info['collected']:,} objects\n")


gc.callbacks.append(_Watch())


@app.before_server_start
async def spare(_app: Sanic) -> None:
    """Take the app's own objects out of every later collection."""
    if "FREEZE" in os.environ:
        gc.collect()
        gc.freeze()


@app.get("/index")
async def index(_request: Request) -> HTTPResponse:
    """What the suite's own app answers there."""
    return text("Hello, world!")
