"""Can somebody's own app be served? `python -m targets.check_app MODULE:NAME --folder DIR [--variable NAME]…`

It imports the app as a server would and prints a line of JSON: `app` (its name; that of a factory ends in
`()`), `title` (as Sanic knows it) and `routes` (how many). Where there is none it says why on stderr and ends
with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Sequence

from targets.loading import AppError, load_app
from targets.surroundings import OwnApp

_OURS = "targets"


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the app; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m targets.check_app", description=__doc__)
    parser.add_argument("name", metavar="MODULE:NAME")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR")
    parser.add_argument("--variable", action="append", default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    own = OwnApp(options.name, options.folder.resolve(), tuple(options.variable))
    try:
        found = check(own)
    except AppError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(found))  # noqa: T201
    return 0


def check(own: OwnApp) -> dict[str, object]:
    """Import the app where it lies, with the environment that it will get; raises `AppError`.

    This process is that app's from then on.
    """
    for shadow in (own.folder / _OURS, own.folder / f"{_OURS}.py"):
        if shadow.exists():
            raise AppError(f"{shadow} hides the suite's own package {_OURS}: it must have another name here")
    environment = own.environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(own.folder)
    sys.path.insert(0, str(own.folder))
    sys.dont_write_bytecode = True
    with redirect_stdout(sys.stderr):
        app, name = load_app(own.name)
    return {"app": name, "title": app.name, "routes": len(app.router.routes_all)}


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the app may have started threads that never end
