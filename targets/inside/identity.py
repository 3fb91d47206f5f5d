"""What a worker says about itself: that it has started, and what really serves its requests.

`identify(app)` makes a Sanic app fit to be served by `targets.serve`, by a route; `attest(app, name)` does it
for a user's own app, by listeners alone. Neither costs anything per request.
"""

from __future__ import annotations

import asyncio
import json as plain_json
import os
import platform
import sys
import time
from collections import deque
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Iterator

from sanic import Request, Sanic
from sanic.response import HTTPResponse, json

PARSERS = {
    "httptools.parser.parser": "httptools",
    "h11._connection": "h11",
    "gunicorn.asgi.parser.PythonProtocol": "gunicorn-python",
    "gunicorn_h1c._protocol": "gunicorn_h1c",
    "granian._granian": "hyper",
}
"""Module of a live parser object (Granian: of the compiled protocol around it) to the parser's name.

The class is named as well where others of its module are no parsers."""

LOADED = {
    "uvicorn.protocols.http.httptools_impl": "httptools",
    "uvicorn.protocols.http.h11_impl": "h11",
    "gunicorn_h1c": "gunicorn_h1c",
    "gunicorn.asgi.protocol": "gunicorn-python",
    "granian._granian": "hyper",
    "hypercorn.protocol.h11": "h11",
}
"""Module that an ASGI server loads for its HTTP parser, and for no other, to the parser's name."""

PACKAGES = (
    "sanic",
    "uvicorn",
    "uvicorn-worker",
    "gunicorn",
    "gunicorn_h1c",
    "granian",
    "hypercorn",
    "uvloop",
    "httptools",
    "h11",
)


def _release() -> str:
    path = os.environ.get("WHICHWORKER_RELEASE")
    return Path(path).read_text(encoding="ascii") if path else ""


RELEASE = _release()
"""The release of the app (`targets.serving.deploys`) when it was imported; empty if there is none."""


def identify(app: Sanic) -> None:
    """Add `/whoami` to the app and let each worker announce in `$WHICHWORKER_READY` that it has started."""
    app.add_route(whoami, "/whoami")
    app.register_listener(announce, "after_server_start")


def attest(app: Sanic, name: str) -> None:
    """Let each worker of a user's app announce that it has started, and write down what serves it.

    What `/whoami` answers, and the app's `name`, goes into the file `$WHICHWORKER_IDENTITY`, whole.
    """

    async def write(*_: Any) -> None:
        path = Path(os.environ["WHICHWORKER_IDENTITY"])
        if not path.exists():  # one worker speaks for all, and for those that follow them
            own = path.with_name(f"{path.name}.{os.getpid()}")
            own.write_text(plain_json.dumps({**_described(loaded_parser(app)), "app": name}))
            own.replace(path)

    app.register_listener(write, "after_server_start")
    app.register_listener(announce, "after_server_start")


async def announce(*_: Any) -> None:
    """Append `time,pid,release` to the file named by `$WHICHWORKER_READY`, if there is one."""
    path = os.environ.get("WHICHWORKER_READY")
    if path:
        # A single small append is never interleaved with another worker's.
        with open(path, "a", encoding="ascii") as file:  # noqa: PTH123
            file.write("%.6f,%d,%s\n" % (time.time(), os.getpid(), RELEASE))


async def whoami(request: Request) -> HTTPResponse:
    """Answer which configuration this is, and which loop and parser carried this very request."""
    return json(_described(parser_of(request)))


def _described(parser: str | None) -> dict[str, Any]:
    return {
        "configuration": os.environ.get("WHICHWORKER_CONFIGURATION"),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": type(asyncio.get_running_loop()).__module__.split(".")[0],
        "parser": parser,
        "versions": _versions(),
    }


def loaded_parser(app: Sanic) -> str | None:
    """Name of the HTTP parser that this server has loaded, or None if it is not a known one.

    Without a request there is no parser to be found at work, but each server loads its own only.
    """
    if not app.asgi:
        return "sanic"
    return next((parser for module, parser in LOADED.items() if module in sys.modules), None)


def parser_of(request: Request) -> str | None:
    """Name of the HTTP parser that read this request, or None if it is not a known one.

    Sanic's own server parses in the request's stream. Under ASGI the server is behind the `receive`
    and `send` callables: from there the search follows bound objects and attributes, nearest first,
    until it meets a live parser.
    """
    if type(request.stream).__module__.startswith("sanic.http"):
        return "sanic"
    queue = deque([request.transport._receive, request.transport._send])
    seen: set[int] = set()
    while queue and len(seen) < 1000:
        found = queue.popleft()
        if id(found) in seen:
            continue
        seen.add(id(found))
        kind = type(found)
        parser = PARSERS.get(kind.__module__) or PARSERS.get(f"{kind.__module__}.{kind.__name__}")
        if parser:
            return parser
        queue.extend(_neighbours(found))
    return None


def _neighbours(found: object) -> Iterator[object]:
    yield getattr(found, "__self__", None)
    if not isinstance(found, type):
        yield from getattr(found, "__dict__", {}).values()
        for slot in getattr(found, "__slots__", ()):
            yield getattr(found, slot, None)


@lru_cache(maxsize=None)  # it takes milliseconds to look for them
def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
