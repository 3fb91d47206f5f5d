"""The app that most kinds are about: towns, a login, uploads, packed answers, and what goes wrong."""

SHOP = r"""
import gzip
from urllib.parse import unquote

from sanic import Sanic
from sanic.response import json, raw, text

PACKED = {"gzip": gzip.compress(b"hello"), "br": b"\x0b\x02\x80hello\x03"}


def create_app():
    app = Sanic("shop")

    @app.get("/")
    async def index(request):
        return text("welcome")

    @app.get("/towns/<name:str>")
    async def town(request, name):
        return text(unquote(name) + request.args.get("q", ""))

    @app.post("/login")
    async def login(request):
        return json({"token": "letmein"})

    @app.get("/orders")
    async def orders(request):
        return text("yours", status=200 if request.headers.get("x-token") == "letmein" else 401)

    @app.post("/got")
    async def got(request):
        (file,) = request.files["note"]
        sent = request.headers
        return json([file.name, file.body.decode(), sent["authorization"], sent["x-kind"]])

    @app.get("/packed/<kind:str>")
    async def packed(request, kind):
        return raw(PACKED[kind], headers={"content-encoding": kind})

    @app.get("/broken")
    async def broken(request):
        return text("no", status=500)

    return app
"""

_LATE = """

import asyncio

fast = create_app


def create_app():
    app = fast()

    @app.before_server_start
    async def load_model(*_):
        await asyncio.sleep({seconds})

    return app
"""


def late(seconds: float) -> str:
    """The same app, which takes so many seconds to start."""
    return SHOP + _LATE.format(seconds=seconds)
