"""The one Sanic app that is measured: a route per kind of work.

It runs on every stack (Sanic 21.12 on Python 3.8 to the current one), natively and over ASGI.
Handlers are what gets measured, so they do their work and nothing else. A parameter that is missing,
no integer or out of range is answered with 400 and `{"error": ...}`, what does not exist with 404.

| route                      | answer                                                               |
|----------------------------|----------------------------------------------------------------------|
| `GET /index`               | `Hello, world!` as text                                              |
| `GET /json`                | a small JSON document (`DOCUMENT`)                                   |
| `GET /sleep?ms=`, `POST`   | after awaiting so many milliseconds (0 to 60000): `{"slept_ms"}`     |
| `GET /cpu?units=`          | after so many units (1 to 100000) of CPU work: `{"units", "result"}` |
| `POST /upload`             | what was received: `{"user", "items", "quantity", "bytes"}`          |
| `GET /download?bytes=`     | so many bytes (0 to 16 MiB)                                          |
| `GET /stream?chunks=&bytes=` | so many chunks (1 to 10000) of so many bytes (1 to 1 MiB)          |
| `GET /leak?bytes=`         | keeps so many bytes (1 to 16 MiB) for ever: `{"leaked_bytes", "pid"}` |
| `GET /db?ids=1,2,3`        | the items with these keys (1 to 100), in their order: `{"items"}`    |
| `POST /db/write`           | inserts an order, `{"item", "quantity"}`: that and its number `order` |
| `GET /whoami`              | who serves this, see `targets.inside.identity`                              |

`targets.serve` sets `WHICHWORKER_MAX_REQUESTS` and `WHICHWORKER_MAX_REQUESTS_JITTER` to have workers
recycled by the app, and `WHICHWORKER_REQUEST_LOG` to have requests logged. Without them nothing is
registered that would run in a request.

`DATABASE_URL` names the database of `/db` and `/db/write`. They answer 503 without one, and where it does not
answer.
"""

# mypy: disable-error-code="untyped-decorator"
# Sanic lives in the stacks' environments, not where mypy runs.

from __future__ import annotations

import asyncio
import os
from functools import lru_cache
from typing import Any

from sanic import Request, Sanic
from sanic.exceptions import InvalidUsage
from sanic.response import HTTPResponse, json, raw, text

from targets.inside.identity import identify
from targets.inside.refusals import NoDatabaseError, RefusedError
from targets.inside.settings import apply_settings

INDEX = "Hello, world!"
DOCUMENT = {
    "id": 1,
    "name": "Whichworker",
    "tags": ["sanic", "asgi", "worker"],
    "price": 12.5,
    "available": True,
    "owner": {"id": 7, "name": "Ada"},
}
MIB = 1024 * 1024
CPU_UNIT_ROUNDS = 100
MOST_KEYS = 100
LARGEST = 2**31 - 1  # of an integer column

app = Sanic("whichworker")
identify(app)
apply_settings(app)
app.ctx.database = None
if os.environ.get("DATABASE_URL"):
    # Only here: the memory and the start-up time of a driver are no part of the other scenarios.
    from targets.database import Database

    app.ctx.database = Database(os.environ["DATABASE_URL"])
    app.register_listener(app.ctx.database.open, "before_server_start")
    app.register_listener(app.ctx.database.close, "after_server_stop")
app.ctx.leaked_bytes = 0
leaked: list[bytes] = []


@app.exception(RefusedError)
async def refuse(_: Request, refused: RefusedError) -> HTTPResponse:
    """Answer with the status of the refusal and its reason."""
    return json({"error": str(refused)}, status=refused.status)


def integer(request: Request, name: str, low: int, high: int) -> int:
    """The query parameter `name` as an integer from `low` to `high`; raises `RefusedError`."""
    value = request.args.get(name)
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or not low <= number <= high:
        raise RefusedError(f"{name} must be an integer from {low} to {high}, not {value!r}")
    return number


@app.get("/index")
async def index(_: Request) -> HTTPResponse:
    """The smallest useful answer: what the server costs by itself."""
    return text(INDEX)


@app.get("/json")
async def document(_: Request) -> HTTPResponse:
    """A small document, serialised anew for each request."""
    return json(DOCUMENT)


@app.route("/sleep", methods=["GET", "POST"])
async def sleep(request: Request) -> HTTPResponse:
    """Awaited I/O: the worker is free while the request waits."""
    milliseconds = integer(request, "ms", 0, 60_000)
    await asyncio.sleep(milliseconds / 1000)
    return json({"slept_ms": milliseconds})


@app.get("/cpu")
async def cpu(request: Request) -> HTTPResponse:
    """Work in Python itself: the worker is blocked for the whole of it."""
    units = integer(request, "units", 1, 100_000)
    return json({"units": units, "result": work(units)})


def work(units: int) -> int:
    """Step a linear congruential generator (Numerical Recipes' constants) 100 times per unit."""
    state = 1
    for _ in range(units * CPU_UNIT_ROUNDS):
        state = (1664525 * state + 1013904223) & 0xFFFFFFFF
    return state


@app.post("/upload")
async def upload(request: Request) -> HTTPResponse:
    """An order as JSON, `{"user": text, "items": [{"id": int, "quantity": int > 0}, ...]}`, checked whole."""
    user, items = _checked(_body(request))
    quantity = sum(item["quantity"] for item in items)
    return json({"user": user, "items": len(items), "quantity": quantity, "bytes": len(request.body)})


def _body(request: Request) -> dict[str, Any]:
    """The body, which must be a JSON object; raises `RefusedError`."""
    try:
        body = request.json
    except InvalidUsage as error:
        raise RefusedError("the body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusedError("the body must be a JSON object")
    return body


def _checked(order: dict[str, Any]) -> tuple[str, list[dict[str, int]]]:
    user, items = order.get("user"), order.get("items")
    if not isinstance(user, str) or not user:
        raise RefusedError("user must be a non-empty text")
    if not isinstance(items, list):
        raise RefusedError("items must be a list")
    for place, item in enumerate(items):
        # type() and not isinstance(): True is an int, but no quantity.
        if not isinstance(item, dict) or type(item.get("id")) is not int:
            raise RefusedError(f"items[{place}] must be an object with an integer id")
        if type(item.get("quantity")) is not int or item["quantity"] < 1:
            raise RefusedError(f"items[{place}].quantity must be a positive integer")
    return user, items


@app.get("/download")
async def download(request: Request) -> HTTPResponse:
    """A body of a given size, sent at once."""
    return raw(_payload(integer(request, "bytes", 0, 16 * MIB)))


@app.get("/stream")
async def stream(request: Request) -> None:
    """A body sent piece by piece."""
    chunks = integer(request, "chunks", 1, 10_000)
    chunk = _payload(integer(request, "bytes", 1, MIB))
    response = await request.respond(content_type="application/octet-stream")
    for _ in range(chunks):
        await response.send(chunk)
    await response.eof()


@lru_cache(maxsize=4)
def _payload(size: int) -> bytes:
    return b"x" * size


@app.get("/leak")
async def leak(request: Request) -> HTTPResponse:
    """Lose memory on purpose, as the app does that needs its workers recycled."""
    # Zeros could be untouched pages, which cost nothing: write to every one.
    leaked.append(b"x" * integer(request, "bytes", 1, 16 * MIB))
    app.ctx.leaked_bytes += len(leaked[-1])
    return json({"leaked_bytes": app.ctx.leaked_bytes, "pid": os.getpid()})


@app.get("/db")
async def items(request: Request) -> HTTPResponse:
    """A few rows by their keys: the worker is free while it waits for the database."""
    return json({"items": await _database().items(_keys(request))})


def _keys(request: Request) -> list[int]:
    """The query parameter `ids`; raises `RefusedError`."""
    given = request.args.get("ids", "")
    try:
        keys = [int(key) for key in given.split(",")]
    except ValueError:
        keys = []
    if not 1 <= len(keys) <= MOST_KEYS or not all(1 <= key <= LARGEST for key in keys):
        wanted = f"1 to {MOST_KEYS} integers from 1 to {LARGEST} with commas between"
        raise RefusedError(f"ids must be {wanted}, not {given!r}")
    return keys


@app.post("/db/write")
async def write(request: Request) -> HTTPResponse:
    """One row inserted and committed."""
    body = _body(request)
    for name in ("item", "quantity"):
        if type(body.get(name)) is not int or not 1 <= body[name] <= LARGEST:
            raise RefusedError(f"{name} must be an integer from 1 to {LARGEST}")
    item, quantity = body["item"], body["quantity"]
    return json({"order": await _database().order(item, quantity), "item": item, "quantity": quantity})


def _database() -> Any:
    """The database of the app; raises `NoDatabaseError`."""
    if app.ctx.database is None:
        raise NoDatabaseError("there is no database: DATABASE_URL is not set")
    return app.ctx.database
