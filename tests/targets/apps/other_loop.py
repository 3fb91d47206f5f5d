"""An app that makes its server run on another event loop than every configuration declares."""

from sanic import Sanic

from targets.inside.identity import identify

app = Sanic("other_loop")
app.config.USE_UVLOOP = False
identify(app)
