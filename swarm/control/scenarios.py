"""The scenario files of a session: what each defines, and the one Locust environment that runs them in turn.

A scenario is to run as `locust -f FILE` would run it. So only one file is *in place* at a time: its user
classes, its options, and the listeners that it registered itself. Listeners of modules that several files
import stay for all of them. Two files may therefore have classes, options and listeners of the same names.
"""

from __future__ import annotations

import inspect
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import locust
from locust import User, events
from locust.env import Environment
from locust.event import EventHook
from locust.runners import Runner
from locust.util.load_locustfile import load_locustfile

from ..users.beginnings import Beginning, users_modules
from ..users.leftovers import end_leftovers
from ..users.user import SwarmUser
from ..users.user_code import UserCode, described
from . import plugin, rotating
from .options import OptionsError, call, leave_settings_aside, parse

Listener = Callable[..., Any]

OF_A_TEST: Final = ("test_start", "spawning_complete", "test_stopping", "test_stop")
"""Events whose listeners want to know the host and the users of a test, as there is one for each server."""
_NOT_USERS: Final = (Path(__file__).resolve().parents[1], Path(locust.__file__).resolve().parent)
"""Packages whose listeners are none of the users'."""


class LoadError(Exception):
    """A locustfile cannot be used; the message is for its author."""


@dataclass
class Scenario:
    """A locustfile that was loaded. `classes` are those that may run: Locust runs none with a weight of 0.

    `listeners` are those that the file itself has registered, by their event, while it is not in place.
    """

    file: str
    classes: list[type[User]]
    weightless: list[type[User]]
    shapes: list[str]
    options: Namespace = field(default_factory=Namespace)
    listeners: dict[str, list[Listener]] = field(default_factory=dict)

    @property
    def engine(self) -> str:
        """What drives its users: see `engine_of_users`."""
        return engine_of_users(self.classes)

    def user_class(self, name: str) -> type[User]:
        """The user class of a name, which must exist."""
        return next(each for each in self.classes if each.__name__ == name)

    @property
    def names(self) -> list[str]:
        return [each.__name__ for each in self.classes]


class Scenarios:
    """The scenarios of one process, by the files that they were asked for; at most one is in place."""

    def __init__(self, files: Sequence[str], given: Sequence[str] = ()) -> None:
        """Load the files, with the options that were `given`. Raises LoadError."""
        leave_settings_aside(given)
        # Ours are set by the session itself: a locustfile may have options of the same names.
        plugin.withdraw_options()
        self._beginning = Beginning([])
        self.all: dict[str, Scenario] = {}
        for file in files:
            self.all[file] = self._load(file)
            self._take_away()
        self._parse(given)

    def __getitem__(self, file: str) -> Scenario:
        return self.all[file]

    def get(self, file: str) -> Scenario | None:
        """The scenario of a file, None where it was not loaded."""
        return self.all.get(file)

    def environment(self) -> Environment:
        """The environment that runs them; it has no users until one is put in place."""
        first = next(iter(self.all.values()), None)
        return Environment(events=events, parsed_options=first.options if first else Namespace())

    def open(self, environment: Environment, runner: Runner | None, web_ui: Any = None) -> None:
        """Fire `init`, Locust's event that it is ready, once. Raises LoadError.

        A listener that raises leaves the test unfinished, so Locust ends then, and so does the suite. Which
        users a listener leaves in the environment are those of the scenario from then on.
        """
        fields = {"environment": environment, "runner": runner, "web_ui": web_ui}
        shared = list(events.init._handlers)
        self.put_some(list(self.all), environment)
        _call_all(None, shared, fields)
        only, left = len(self.all) == 1, environment.user_classes
        for scenario in self.all.values():
            _take_over(scenario, [each for each in left if only or each in scenario.classes])
        for scenario in self.all.values():
            self.put(scenario.file, environment)
            _call_all(scenario, [each for each in events.init._handlers if each not in shared], fields)
            _take_over(scenario, environment.user_classes)
        self._beginning = Beginning(users_modules())

    def watch(self, code: UserCode) -> None:
        """Have users that Locust drives say why they end; swarm users do of themselves."""
        for scenario in self.all.values():
            for user_class in scenario.classes:
                if not issubclass(user_class, SwarmUser):
                    code.watch(user_class)

    def why_blocks(self, file: str) -> str | None:
        """Why the closed loops of a file are to be measured in blocks; None: they can rotate."""
        if reason := rotating.why_blocks(self.all[file].classes):
            return reason
        for event in OF_A_TEST:
            if (listener := self._listener(file, event)) is not None:
                name = getattr(listener, "__qualname__", listener)
                return (
                    f"a rotation is one test of all servers, and {name} listens to {event} of each: "
                    "measure it in blocks"
                )
        return None

    def _listener(self, file: str, event: str) -> Listener | None:
        """A listener to an event in a test of this file, or of a module that it imports; None without one."""
        others = {_resolved(each) for each in self.all if each != file}
        own = self.all[file].listeners.get(event, [])
        known: list[Listener] = [*own, *getattr(events, event)._handlers]
        for listener in known:
            home = _home(listener)
            if home is None or home in others:
                continue
            if not any(Path(home).resolve().is_relative_to(package) for package in _NOT_USERS):
                return listener
        return None

    def put(self, file: str, environment: Environment | None = None) -> None:
        """Put the scenario of a file in place for the next test, instead of what is in place now."""
        scenario = self.all[file]
        self._take_away()
        self._give_back(scenario)
        if environment is not None:
            environment.user_classes = list(scenario.classes)
            environment.parsed_options = scenario.options

    def put_some(self, files: Sequence[str], environment: Environment) -> None:
        """Put the scenarios of some files in place, for a test of users of all of them (a mix).

        What users of the last test have left behind ends, and their modules are as they were before it.
        Raises GoesOnError where something does not end.
        """
        end_leftovers(events)
        self._beginning.restore()
        if len(files) == 1:
            self.put(files[0], environment)
            return
        self._take_away()
        options = Namespace()
        for file in files:
            self._give_back(self.all[file])
            vars(options).update(vars(self.all[file].options))
        environment.user_classes = [each for file in files for each in self.all[file].classes]
        environment.parsed_options = options

    def _give_back(self, scenario: Scenario) -> None:
        for name, listeners in scenario.listeners.items():
            getattr(events, name)._handlers.extend(listeners)
        scenario.listeners = {}

    def _take_away(self) -> None:
        """Take back the listeners of what is in place: those, too, which it added while it ran."""
        for scenario in self.all.values():
            for name, hook in _hooks():
                own = [each for each in hook._handlers if _home(each) == _resolved(scenario.file)]
                if own:
                    hook._handlers = [each for each in hook._handlers if each not in own]
                    scenario.listeners.setdefault(name, []).extend(own)

    def _load(self, file: str) -> Scenario:
        if not Path(file).is_file():
            raise LoadError(f"there is no locustfile {file}")
        try:
            found, shapes = load_locustfile(_resolved(file))
        except SystemExit as error:
            raise LoadError(f"{file}: it ended the program when it was loaded: {described(error)}") from error
        except Exception as error:
            raise LoadError(
                f"{file}: it cannot be loaded: {described(error)}{_place(error, file)}"
            ) from error
        classes = list(dict.fromkeys(found.values()))
        names = [each.__name__ for each in classes]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise LoadError(f"{file}: several of its user classes are called {', '.join(twice)}: rename them")
        return Scenario(
            file,
            [each for each in classes if each.weight > 0 or each.fixed_count > 0],
            [each for each in classes if not (each.weight > 0 or each.fixed_count > 0)],
            [type(shape).__name__ for shape in shapes],
        )

    def _parse(self, given: Sequence[str]) -> None:
        unknown = set(given)
        for scenario in self.all.values():
            self.put(scenario.file)
            try:
                scenario.options, left = parse(given)
            except OptionsError as error:
                raise LoadError(f"{scenario.file}: {error}") from error
            unknown &= set(left)
        self._take_away()
        if unknown and self.all:
            words = " ".join(word for word in given if word in unknown)
            raise LoadError(f"SCENARIO_OPTIONS: {words}: no locustfile has such an option")


def _take_over(scenario: Scenario, classes: Sequence[type[User]]) -> None:
    """Have these users from now on: a listener of `init` may have chosen by an option (locustio/locust#1781).

    Raises LoadError where it has left none.
    """
    if scenario.classes and not classes:
        raise LoadError(f"{scenario.file}: its listeners of init leave no class in environment.user_classes")
    scenario.classes = list(dict.fromkeys(classes))  # one that several files import is there for each
    scenario.weightless = [each for each in scenario.weightless if each not in classes]


def _call_all(scenario: Scenario | None, listeners: Iterable[Listener], fields: Mapping[str, Any]) -> None:
    for listener in listeners:
        try:
            call(listener, "init", **fields)
        except OptionsError as error:
            raise LoadError(f"{scenario.file}: {error}" if scenario else str(error)) from error


def engine_of_users(classes: Iterable[type[User]]) -> str:
    """What drives these users: `swarm`, or `locust` if some of them are Locust's own."""
    return "swarm" if all(issubclass(each, SwarmUser) for each in classes) else "locust"


def _place(error: BaseException, file: str) -> str:
    """The line of the file that was being executed, in words; empty where that is not known."""
    traceback, line = error.__traceback__, None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == _resolved(file):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if line is None else f" (line {line})"


def _hooks() -> list[tuple[str, EventHook]]:
    return [(name, hook) for name, hook in vars(events).items() if isinstance(hook, EventHook)]


def _resolved(file: str) -> str:
    return str(Path(file).resolve())


def _home(listener: Listener) -> str | None:
    """The file in which a listener was written."""
    while isinstance(listener, partial):
        listener = listener.func
    function = inspect.unwrap(getattr(listener, "__func__", listener))
    if not hasattr(function, "__globals__"):
        function = type(listener).__call__  # an object that is called
    file = getattr(function, "__globals__", {}).get("__file__")
    return file if isinstance(file, str) else None
