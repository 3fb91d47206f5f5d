"""What a locustfile defines, without running it: `python -m swarm.describe [--folder DIR] FILE`.

Prints a line of JSON: `users` (the names of its user classes), `engine` (as in the session's `ready`),
`waits` (whether some of them wait between tasks) and `shapes` (the names of its LoadTestShapes). A file that
cannot be loaded, or defines no user, ends it with status 1 and the reason on standard error.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from locust import LoadTestShape, User

from .home import enter
from .scenarios import engine_name, load


def describe(file: str) -> dict[str, Any]:
    """What a locustfile defines. Raises SystemExit with a message where it cannot be used."""
    classes = load([file])[file]
    if not classes:
        raise SystemExit("it defines no user class: write one that is a subclass of HttpUser, for example")
    module = sys.modules[classes[0].__module__]
    shapes = [name for name, each in vars(module).items() if _is_shape(each)]
    return {
        "users": [each.__name__ for each in classes],
        "engine": engine_name(classes),
        "waits": any(map(_waits, classes)),
        "shapes": shapes,
    }


def _waits(user: type[User]) -> bool:
    """Whether users of a class wait between tasks, as far as that can be told without one."""
    try:
        return bool(user.wait_time(SimpleNamespace()) > 0)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001  (a method of the user's own that needs a user: it was written to wait)
        return True


def _is_shape(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, LoadTestShape) and found is not LoadTestShape


def main() -> None:
    """Entry point: see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where its users are at home")
    parser.add_argument("file", metavar="FILE")
    arguments = parser.parse_args()
    enter(arguments.folder)
    with contextlib.redirect_stdout(sys.stderr):
        described = describe(arguments.file)
    print(json.dumps(described), flush=True)  # noqa: T201
    os._exit(0)  # the file may have started greenlets or threads that never end


if __name__ == "__main__":
    main()
