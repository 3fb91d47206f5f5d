"""A healthy app that never says which configuration it is."""

from sanic import Sanic
from sanic.response import empty

app = Sanic("silent")


@app.get("/whoami")
async def whoami(_):
    return empty()
