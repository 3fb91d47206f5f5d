"""What locustfiles define, before anything is run: `python -m swarm.describe [--folder DIR] FILE...`.

It loads all of them in one process and opens an environment, both as a session does, so that what would end
a session shows first. It prints a line of JSON: `error` (null, or why the session
could not begin) and `scenarios`, by their file: `users` (the names of its user classes that may run),
`engine` (as in the session's `ready`), `waits` (whether some of them wait between tasks), `rotates_not` (why
it cannot be measured in a rotation, but in blocks; null: it can), `shapes` (the names of its
LoadTestShapes), `weightless` (the names of classes with a weight of 0), `idle` (of those that have no
task) and `most_users` (how many users it can have; null: any number).
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from locust import User

from .control.process import claim, emit, enter_folder
from .control.rotating import waits
from .control.scenarios import LoadError, Scenario, Scenarios


def describe(files: Sequence[str], given: Sequence[str]) -> dict[str, Any]:
    """What the files define, with the options that were `given`; of files that cannot be used, why."""
    try:
        scenarios = Scenarios(files, given)
        environment = scenarios.environment()
        scenarios.open(environment, environment.create_local_runner())
    except LoadError as error:
        return {"error": str(error), "scenarios": {}}
    described = {
        file: {**_described(each), "rotates_not": scenarios.why_blocks(file)}
        for file, each in scenarios.all.items()
    }
    return {"error": None, "scenarios": described}


def _described(scenario: Scenario) -> dict[str, Any]:
    return {
        "users": scenario.names,
        "engine": scenario.engine,
        "waits": any(map(waits, scenario.classes)),
        "shapes": scenario.shapes,
        "weightless": [each.__name__ for each in scenario.weightless],
        "idle": [each.__name__ for each in scenario.classes if not each.tasks],
        "most_users": _most_users(scenario.classes),
    }


def _most_users(classes: Sequence[type[User]]) -> int | None:
    """How many users there can be: Locust spawns no more of a class with a `fixed_count`."""
    if not classes or not all(each.fixed_count for each in classes):
        return None
    return sum(each.fixed_count for each in classes)


def main() -> None:
    """Describe the files of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="the folder that its users run in")
    parser.add_argument("--option", action="append", default=[], metavar="WORD", help="for the locustfiles")
    parser.add_argument("files", nargs="+", metavar="FILE")
    arguments = parser.parse_args()
    claim()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    enter_folder(arguments.folder)
    emit(**describe(arguments.files, arguments.option))
    os._exit(0)  # a file may have started greenlets or threads that never end


if __name__ == "__main__":
    main()
