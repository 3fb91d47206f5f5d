"""The scenario files of a session: what they define, and the Locust environment that runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from locust import User, events
from locust.argument_parser import get_parser
from locust.env import Environment
from locust.util.load_locustfile import load_locustfile

from .user import SwarmUser


def load(files: list[str]) -> dict[str, list[type[User]]]:
    """The user classes of each locustfile. Raises SystemExit with a message where one cannot be loaded."""
    scenarios = {}
    for file in files:
        if not Path(file).is_file():
            raise SystemExit(f"No such scenario file: {file}")
        try:
            classes, _ = load_locustfile(str(Path(file).resolve()))
        except Exception as error:
            raise SystemExit(f"Cannot load {file}: {type(error).__name__}: {error}") from error
        scenarios[file] = list(classes.values())
    return scenarios


def environment_of(scenarios: Mapping[str, list[type[User]]]) -> Environment:
    """An environment with every scenario's users, in the session and in each of its workers alike."""
    classes = [user_class for found in scenarios.values() for user_class in found]
    # The real parser: locustfiles may have options of their own, and workers get them from the master.
    # Settings for Locust that lie in somebody's folder (locust.conf) are for other tests than ours.
    return Environment(user_classes=classes, events=events, parsed_options=get_parser([]).parse_args(args=[]))


def engine_name(classes: Iterable[type[User]]) -> str:
    """Who drives these users: `swarm`, or `locust` if some of them are its own."""
    return "swarm" if all(issubclass(each, SwarmUser) for each in classes) else "locust"
