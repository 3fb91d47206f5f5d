"""A user's own app as servers serve it: `targets.own:app` is the app that `WHICHWORKER_APP` names.

It gets two listeners and nothing else: its routes, middleware and settings stay as they are. (Recycling by
the app and a log of requests are registered as with the reference app, if they are wanted.)
"""

from __future__ import annotations

import os

from targets.inside.identity import attest
from targets.inside.loading import load_app
from targets.inside.settings import apply_settings

app, _name = load_app(os.environ["WHICHWORKER_APP"])
attest(app, _name)
apply_settings(app)
