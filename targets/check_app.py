"""Can a user's own app be served? `python -m targets.check_app MODULE:NAME --folder DIR [--variable NAME]…`

It imports the app as a server would and prints a line of JSON: `app` (its name; that of a factory ends in
`()`), `title` (as Sanic knows it) and `routes` (how many). Where there is none it prints why and ends
with 1, or with 4 where the app serves itself; after `--timeout` seconds it prints where the import is and
ends with 3. What the app itself prints goes to stderr: nothing else is on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Sequence

from targets.inside.loading import AppError, ServesItselfError, load_app, place_of
from targets.inside.own_app import LATE, SERVES_ITSELF, OwnApp

_OURS = "targets"


class Answer:
    """The original standard output; whatever the app writes there goes to standard error instead."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)

    def give(self, text: str, status: int) -> None:
        """Give the answer and end this process, whatever threads the app has started.

        A copy of this process that the app has made (os.fork) only ends.
        """
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # the app may have put anything in their place
                stream.flush()
        if os.getpid() == self._pid:
            with open(self._descriptor, "w", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                file.write(f"{text}\n")
        os._exit(status)


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the app and end with the status."""
    parser = argparse.ArgumentParser(prog="python -m targets.check_app", description=__doc__)
    parser.add_argument("name", metavar="MODULE:NAME")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR")
    parser.add_argument("--variable", action="append", default=[], metavar="NAME")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="(default %(default)s s)")
    options = parser.parse_args(arguments)
    own = OwnApp(options.name, options.folder.resolve(), tuple(options.variable))
    answer = Answer()
    _limit(options.timeout, own.folder, answer)
    try:
        found = check(own)
    except ServesItselfError as error:
        answer.give(str(error), SERVES_ITSELF)
    except AppError as error:
        answer.give(str(error), 1)
    else:
        answer.give(json.dumps(found), 0)


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
    app, name = load_app(own.name)
    return {"app": name, "title": app.name, "routes": len(app.router.routes_all)}


def _limit(timeout: float, folder: Path, answer: Answer) -> None:
    """Have this process end after so many seconds, and say where the import then is."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def end() -> None:
        place = place_of(sys._current_frames()[main_thread], folder, frames=1)
        answer.give(f"It was here:\n{place}", LATE)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
