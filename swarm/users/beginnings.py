"""What users' modules hold when a test begins: each test finds them as they were when they had been loaded.

Locustfiles give accounts away from a list, and note who has logged in. A process of `locust` has one test; a
session has many, and in the second there would be no account left (in Locust's web UI it is so:
locustio/locust#389).
"""

from __future__ import annotations

import queue
import sys
import sysconfig
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from operator import is_
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, Final

import gevent.queue

MOST: Final = 10_000
"""What a container with more things holds is not looked into: it is data, which users read."""

_OF_THE_TEST: Final = ("host", "weight", "fixed_count", "tasks")
"""Attributes of user classes that Locust and its web UI set."""
_CODE: Final = (ModuleType, FunctionType, BuiltinFunctionType, type, classmethod, staticmethod, property)
_LIBRARIES: Final = (
    Path(__file__).resolve().parents[1],
    *(Path(sysconfig.get_path(each)).resolve() for each in ("stdlib", "platstdlib")),
)
# Of any environment: with packages of one's own for locustfiles there are two, one on top of the other.
_INSTALLED: Final = {"site-packages", "dist-packages"}


class Beginning:
    """What modules hold at this moment: names, and lists, dicts, sets and queues behind them.

    Their classes and the objects of these are looked into, others are left alone. Iterators are, too: they
    cannot be set back.
    """

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        modules = list(modules)
        self._own = {module.__name__ for module in modules}
        self._names: list[tuple[Any, dict[str, Any]]] = []
        self._contents: list[tuple[Any, Collection[Any]]] = []
        # What is kept lives on, and so do these, which are everybody's.
        self._seen = {id(sys.modules), id(sys.path)}
        for module in modules:
            self._keep(module)

    def restore(self) -> None:
        """Have everything as it was, each thing being the one that it was."""
        for owner, names in self._names:
            for name, value in names.items():
                if vars(owner).get(name) is not value:
                    setattr(owner, name, value)
        for thing, contents in self._contents:
            if not _are_same(thing, contents):
                _fill(thing, contents)

    def _keep(self, owner: ModuleType | type) -> None:
        """Note what the names of a module or class stand for, and what is behind them."""
        self._seen.add(id(owner))
        of_others = () if isinstance(owner, ModuleType) else _OF_THE_TEST
        names = {name: value for name, value in vars(owner).items() if not name.startswith("__")}
        kept = {
            name: value
            for name, value in names.items()
            if not issubclass(type(value), _CODE) and name not in of_others
        }
        self._names.append((owner, kept))
        to_see = list(kept.values())
        while to_see:
            to_see += self._keep_contents(to_see.pop())
        for each in [value for value in names.values() if issubclass(type(value), type)]:
            if each.__module__ in self._own and id(each) not in self._seen:
                self._keep(each)

    def _keep_contents(self, thing: Any) -> Iterator[Any]:
        """Note what a thing holds, and give what is to be looked into."""
        kind = type(thing)  # not isinstance: what stands for another object may raise
        if issubclass(kind, queue.Queue | gevent.queue.Queue):
            thing = thing.queue
        elif not issubclass(kind, list | dict | set | deque):
            if kind.__module__ not in self._own or not kind.__dictoffset__:
                return
            thing = vars(thing)
        if id(thing) in self._seen:
            return
        self._seen.add(id(thing))
        contents = dict(thing) if isinstance(thing, dict) else list(thing)
        self._contents.append((thing, contents))
        if len(contents) <= MOST:
            yield from contents.values() if isinstance(contents, dict) else contents


def _are_same(thing: Any, contents: Any) -> bool:
    """Whether a container has the very things that it had."""
    if len(thing) != len(contents) or not all(map(is_, thing, contents)):
        return False
    return not isinstance(thing, dict) or all(map(is_, thing.values(), contents.values()))


def _fill(thing: Any, contents: Any) -> None:
    """Have a container hold these things and nothing else."""
    thing.clear()
    if isinstance(thing, list | deque):
        thing.extend(contents)
    else:
        thing.update(contents)


def users_modules() -> list[ModuleType]:
    """The modules of this process that are neither installed nor of this package."""
    files = {
        module: vars(module).get("__file__")
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType)
    }
    return [module for module, file in files.items() if isinstance(file, str) and not _is_library(file)]


def _is_library(file: str) -> bool:
    path = Path(file).resolve()
    return bool(_INSTALLED.intersection(path.parts)) or any(path.is_relative_to(each) for each in _LIBRARIES)
