"""Somebody's own Sanic app as servers are told to serve it: `targets.own:app`; `WHICHWORKER_APP` names it.

It gets two listeners and nothing else: its routes, middleware and settings stay as they are. (Where workers
are to be recycled by the app, or requests to be logged, that is registered as it is with the reference app.)
"""

from __future__ import annotations

import os

from targets.identity import attest
from targets.loading import load_app
from targets.told import do_as_told

app, _name = load_app(os.environ["WHICHWORKER_APP"])
attest(app, _name)
do_as_told(app)
