"""An app that is recycled. `RECYCLED` holds the arguments, as JSON; the other variables: see below."""

import asyncio
import json
import os
import time

from sanic import Sanic
from sanic.response import text

from targets import recycle
from targets.inside.identity import identify


def note(what):
    """Append to the log of what the workers do, if there is one."""
    if "RECYCLED_LOG" in os.environ:
        with open(os.environ["RECYCLED_LOG"], "a") as file:  # noqa: PTH123
            file.write(f"{os.getpid()} {what}\n")


if "SANIC_WORKER_NAME" in os.environ:
    note("imports")
    time.sleep(float(os.environ.get("RECYCLED_IMPORT_S", "0")))
    if os.path.exists(os.environ.get("RECYCLED_BROKEN", "")):  # noqa: PTH110
        raise RuntimeError("the successor cannot start")

app = Sanic("recycled")
identify(app)
recycle.IDLE_S = float(os.environ.get("RECYCLED_IDLE_S", recycle.IDLE_S))
recycle._LOOK_EVERY_S = float(os.environ.get("RECYCLED_LOOK_S", recycle._LOOK_EVERY_S))


@app.on_response
async def first(_, response):
    return response  # which ends the row of middlewares


@app.after_server_start
async def late(_):
    """A listener that takes its time, where the file exists that is named."""
    while os.path.exists(os.environ.get("RECYCLED_LATE", "")):  # noqa: PTH110
        await asyncio.sleep(0.02)


recycle.recycle_after(app, **json.loads(os.environ["RECYCLED"]))


@app.on_response
async def last(_, response):
    return response


@app.before_server_start
async def ready(_):
    note("is ready")


@app.get("/pid")
async def pid(_):
    return text(str(os.getpid()))


@app.get("/block")
async def block(request):
    """Keep the whole worker from doing anything until the file exists that is named."""
    note("blocks")
    while not os.path.exists(request.args["file"][0]):  # noqa: PTH110
        time.sleep(0.02)
    return text("unblocked")


@app.get("/wait")
async def wait(request):
    """Answer when the file exists that is named."""
    note("waits")
    while not os.path.exists(request.args["file"][0]):  # noqa: PTH110
        await asyncio.sleep(0.02)
    return text(str(os.getpid()))
