"""An app that notes in `$IMPORTED_BY` which processes import it."""

import os

from sanic import Sanic

from targets.inside.identity import identify

with open(os.environ["IMPORTED_BY"], "a") as file:  # noqa: PTH123
    file.write(f"{os.getpid()}\n")

app = Sanic("noted_import")
identify(app)
