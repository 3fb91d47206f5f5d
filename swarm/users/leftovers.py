"""What users leave when their test is over: greenlets and threads that go on, and listeners.

A process of `locust` ends with its test and takes them along. A session goes on with the next one: what the
users of the last one still ask for would count there, and their listeners would hear of each request.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from types import CellType
from typing import Any, Final

import gevent
from gevent import Greenlet
from locust import TaskSet, User
from locust.event import EventHook, Events

logger = logging.getLogger(__name__)

END_S: Final = 1.0
"""How long they may take to end."""
GOODBYES: Final = ("quitting", "quit")
"""Events whose listeners put things away, and are called at the very end."""


class GoesOnError(Exception):
    """Something that users have left does not end; the message names it."""


def end_leftovers(hooks: Events) -> None:
    """End what users have left in this process; to be called between two tests. Raises GoesOnError."""
    for name, hook in vars(hooks).items():
        if isinstance(hook, EventHook) and name not in GOODBYES:
            hook._handlers = [each for each in hook._handlers if not any(map(_is_user, _objects(each)))]
    left = [each for each in _greenlets() if any(map(_has_user, _objects(each._run, each.args)))]
    if not left:
        return
    named = ", ".join(sorted({_name(each._run) for each in left}))
    logger.warning("%d greenlets or threads of users went on after their test: %s", len(left), named)
    with gevent.Timeout(END_S, False):
        gevent.killall(left)
    if any(not each.ready() for each in left):
        raise GoesOnError(
            f"users of the last load have left greenlets or threads that do not end ({named}): end them in "
            "on_stop, and have them let GreenletExit pass"
        )


def _greenlets() -> Iterator[Any]:
    """Those of this thread that have not ended."""
    hub = gevent.get_hub()
    for each in gc.get_objects():
        # Not isinstance: what stands for another object may raise when it is asked for its class.
        if issubclass(type(each), Greenlet) and each.parent is hub and not each.ready():
            yield each


def _objects(function: Callable[..., Any], arguments: Sequence[Any] = ()) -> Iterator[Any]:
    """What a function is of, what it encloses, and what it is given; of a thread also those of its target."""
    owner = getattr(function, "__self__", None)
    if (target := _target(owner)) is not None:
        yield from _objects(target, vars(owner).get("_args", ()))
    yield owner
    yield from arguments
    for cell in getattr(function, "__closure__", None) or ():
        if isinstance(cell, CellType) and cell != CellType():  # an empty one raises when it is read
            yield cell.cell_contents


def _target(owner: Any) -> Callable[..., Any] | None:
    """What a thread calls, which a Timer has under another name; None where it is none, or has a `run`."""
    if not isinstance(owner, threading.Thread):
        return None
    return vars(owner).get("_target") or vars(owner).get("function")


def _is_user(thing: Any) -> bool:
    return issubclass(type(thing), User | TaskSet)


def _has_user(thing: Any) -> bool:
    """Whether it is a user or has one, as clients and what wraps a connection may."""
    if _is_user(thing):
        return True
    try:
        own = vars(thing)
    except Exception:  # noqa: BLE001  # it is anybody's object, and may have none
        return False
    return any(map(_is_user, own.values()))


def _name(function: Callable[..., Any]) -> str:
    called = _target(getattr(function, "__self__", None)) or function
    return str(getattr(called, "__qualname__", called))
