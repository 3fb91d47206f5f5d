"""The app, made by a factory: `sanic notes.app:create_app`."""

import asyncio
import json
import os
import time
from pathlib import Path

import mistune
from sanic import BadRequest, Blueprint, HTTPResponse, NotFound, Request, Sanic, Unauthorized, html
from sanic import json as as_json

STORE = Path("notes.json")  # beside the package, where the app is started
STORE_S = 0.002  # what the real store takes

notes = Blueprint("notes", url_prefix="/notes")


def create_app() -> Sanic:
    """The app with its settings; a note can be written by whoever knows `NOTES_TOKEN`."""
    app = Sanic("notes")
    app.config.TOKEN = os.environ["NOTES_TOKEN"]
    app.blueprint(notes)
    app.register_listener(read_store, "before_server_start")
    app.register_middleware(start_clock, "request")
    app.register_middleware(show_clock, "response")
    return app


async def read_store(app: Sanic) -> None:
    """Have the notes in memory before the first request."""
    app.ctx.notes = json.loads(STORE.read_text(encoding="utf-8"))


async def start_clock(request: Request) -> None:
    """Note when a request began."""
    request.ctx.began = time.perf_counter()


async def show_clock(request: Request, response: HTTPResponse) -> None:
    """Tell the client how long its request took."""
    response.headers["server-timing"] = f"app;dur={(time.perf_counter() - request.ctx.began) * 1e3:.3f}"


@notes.get("/<name:str>")
async def show(request: Request, name: str) -> HTTPResponse:
    """A note as HTML."""
    await asyncio.sleep(STORE_S)
    if name not in request.app.ctx.notes:
        raise NotFound(f"there is no note {name}")
    return html(str(mistune.html(request.app.ctx.notes[name])))


@notes.post("/")
async def write(request: Request) -> HTTPResponse:
    """Keep a note."""
    if request.token != request.app.config.TOKEN:
        raise Unauthorized("the token is wrong", scheme="Bearer")
    note = request.json
    if not isinstance(note, dict) or not all(isinstance(note.get(key), str) for key in ("name", "text")):
        raise BadRequest("a note has a name and a text")
    await asyncio.sleep(STORE_S)
    request.app.ctx.notes[note["name"]] = note["text"]
    return as_json({"name": note["name"]}, status=201)
