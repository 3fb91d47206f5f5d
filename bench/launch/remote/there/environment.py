"""Makes the environment of a stack on this machine: ``python -m bench.launch.remote.there.environment JSON``.

The argument has the folder of all environments (``venvs``) and the ``stack`` with the keys of ``Stack``, its
paths as texts. What is printed is JSON lines: ``say`` is for people, and the last has the ``environment``
(interpreter, version, packages, optimized), or why it is ``unavailable`` (reason, remedy), or the ``error``
of a user's own packages.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bench.launch import stacks
from bench.model.errors import UserError
from targets.catalogue.stack import Stack


def main(argument: str) -> None:
    """Make it, and print what came of it."""
    order = json.loads(argument)
    try:
        made = stacks.ensure(_stack(order["stack"]), lambda text: _print(say=text), Path(order["venvs"]))
    except stacks.UnavailableError as error:
        _print(unavailable=[error.reason, error.remedy])
    except UserError as error:
        _print(error=str(error))
    else:
        _print(environment=[str(made.python), made.version, made.packages, made.optimized])


def _stack(given: dict[str, Any]) -> Stack:
    own = given.pop("own")
    words = {key: tuple(given.pop(key)) for key in ("pythons", "fixed", "packages", "without")}
    paths = {"requirements": Path(given.pop("requirements")), "own": None if own is None else Path(own)}
    return Stack(**{**given, **words, **paths})


def _print(**what: object) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
