"""Reports requests that a task makes and never yields: nothing was sent, and nothing else would say so.

Only the first runs of each task, `on_start` and `on_stop` of a test are watched: after them nothing is left
of it on the engine's hot path.
"""

from __future__ import annotations

import logging
import sys
import weakref
from collections import defaultdict
from collections.abc import Callable, Generator
from functools import partial
from inspect import isasyncgen, iscoroutine
from pathlib import Path
from types import CodeType, GeneratorType, TracebackType
from typing import Any, Final, Protocol

from locust.env import Environment

from ..engine.agent import Command, Pause
from ..environments import per_environment
from ..http.exchange import Request

logger = logging.getLogger(__name__)

RUNS: Final = 8
"""How often each function is watched in a test, all users together: it may do differently another time."""

SUITE: Final = Path(__file__).parents[1]
"""The package: its frames are none of the task's."""


class NeverSent(Exception):
    """A task made a request, or a pause, and did not yield it."""


class Watchlist:
    """Which tasks of one test are still watched, and which places were reported."""

    def __init__(self) -> None:
        self._places: set[str] = set()
        self._left: defaultdict[int, int] = defaultdict(lambda: RUNS)
        self._unseen: dict[type, set[int]] = {}

    def clear(self) -> None:
        """Another test begins."""
        self._places.clear()
        self._left.clear()
        self._unseen.clear()

    def first(self, place: str) -> bool:
        """Whether this is the first report of this place."""
        if place in self._places:
            return False
        self._places.add(place)
        return True

    def unseen(self, holder: Any) -> set[int]:
        """The ids of those tasks of a user or task set that are watched; holders of a class share them."""
        if type(holder) not in self._unseen:
            tasks = (task for task in holder.tasks if not isinstance(task, type))
            self._unseen[type(holder)] = {id(task) for task in tasks if self._left[id(task)]}
        return self._unseen[type(holder)]

    def takes(self, function: Any) -> bool:
        """Whether one more run of a function is watched, which this counts."""
        left = self._left[id(function)]
        if left:
            self._left[id(function)] = left - 1
            if left == 1:
                for unseen in self._unseen.values():
                    unseen.discard(id(function))
        return left > 0


@per_environment
def watchlist_of(environment: Environment) -> Watchlist:
    """The watchlist of an environment's test."""
    del environment
    return Watchlist()


class Watched(Protocol):
    """What the watch needs of a user."""

    environment: Any
    _prepared: dict[tuple[str, str], Request]
    _watch: Run | None


class Watch:
    """Watches the first runs of one user's functions."""

    def __init__(self, user: Watched, watchlist: Watchlist) -> None:
        self._user = user
        self._watchlist = watchlist
        self.unseen = watchlist.unseen

    def task(self, task: Any, holder: Any) -> Generator[Command, Any, None]:
        """One run of a task, called with its user or task set."""
        bound = getattr(task, "__self__", None) is holder
        return self._run(task, task if bound else partial(task, holder))

    def hook(self, hook: Callable[[], Any]) -> Generator[Command, Any, None]:
        """One run of `on_start` or `on_stop`, which may be a generator or a plain function."""
        return self._run(getattr(hook, "__func__", hook), hook)

    def _run(self, function: Any, call: Callable[[], Any]) -> Generator[Command, Any, None]:
        if not self._watchlist.takes(function):
            steps = call()
            if steps.__class__ is GeneratorType:
                yield from steps
            else:
                refuse_coroutine(steps)
            return
        run = Run(self._user, self._watchlist)
        try:
            steps = call()
            if steps.__class__ is GeneratorType:
                yield from run.relay(steps)
            else:
                refuse_coroutine(steps)
            del steps  # it may be a request, which is then lost with it
        finally:
            run.end()


class Run:
    """One run of a function: what it makes, and what of that it yields.

    What is made is not kept ready for others here, so whatever dies before it was yielded was never sent.
    What is kept elsewhere may be sent another time.
    """

    def __init__(self, user: Watched, watchlist: Watchlist) -> None:
        self._user = user
        self._watchlist = watchlist
        self._outer = user._watch
        self._ready = user._prepared
        self._none_ready: dict[tuple[str, str], Request] = {}
        self._made: list[weakref.ref[Request | Pause]] = []
        self._places: dict[int, tuple[CodeType, int]] = {}
        self._lost: list[tuple[str, CodeType, int]] = []
        self._sent_from: set[tuple[CodeType, int]] = set()
        user._watch = self
        user._prepared = self._none_ready

    def made(self, command: Request | Pause) -> None:
        """The user made this. Called by what the task called."""
        frame = sys._getframe(1)
        while frame.f_back is not None and Path(frame.f_code.co_filename).is_relative_to(SUITE):
            frame = frame.f_back
        place = frame.f_code, frame.f_lineno
        what = _sentence(command)

        def died(reference: weakref.ref[Request | Pause]) -> None:
            self._made.remove(reference)
            self._places.pop(id(reference), None)
            self._lost.append((what, *place))

        reference = weakref.ref(command, died)
        self._made.append(reference)
        self._places[id(reference)] = place

    def relay(self, steps: Generator[Command, Any, None]) -> Generator[Command, Any, None]:
        """`yield from steps`, looking at what is yielded."""
        go_on: Callable[[Any], Command] = steps.send
        value: Any = None
        while True:
            try:
                command = go_on(value)
            except StopIteration:
                return
            self._yielded(command)
            go_on = steps.send
            try:
                value = yield command
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  # it is the task's, whatever it is
                go_on, value = steps.throw, error

    def _yielded(self, command: Command) -> None:
        for reference in self._made:
            if reference() is command:
                self._made.remove(reference)
                self._sent_from.add(self._places.pop(id(reference)))
                break
        self._tell()

    def end(self) -> None:
        """The run is over: what it made and still exists is kept elsewhere."""
        self._user._watch = self._outer
        if self._user._prepared is self._none_ready:  # unless its requests now differ from those of its class
            self._user._prepared = self._ready
        self._tell()
        self._made.clear()

    def _tell(self) -> None:
        lost, self._lost = self._lost, []
        for what, code, line in lost:
            # Of several made at one place one was sent: the others were there to choose from.
            if (code, line) in self._sent_from:
                continue
            place = f"{code.co_filename}:{line}, in {code.co_name}"
            if self._watchlist.first(place):
                logger.warning("%s: %s", place, what)
                error = NeverSent(f"{what} ({Path(code.co_filename).name}:{line}, in {code.co_name})")
                self._user.environment.events.user_error.fire(
                    user_instance=self._user, exception=error, tb=_traceback_at(code, line, error)
                )


def _sentence(command: Request | Pause) -> str:
    if isinstance(command, Pause):
        return f"a pause of {command.seconds} s was made but never yielded: yield self.pause(...)"
    call = f"self.{command.method.lower()}(...)"
    return f"{command.method} {command.name} was made but never sent: yield it, response = yield {call}"


def _traceback_at(code: CodeType, line: int, error: Exception) -> TracebackType | None:
    """A traceback that points to a line which raised nothing itself, so that Locust can show and count it.

    Locust tells exceptions apart by their tracebacks. As template engines do, it is made by raising in a code
    object with the name and file of the function; the function's own frame is not kept. No instruction stands
    for the line, so that no part of it is marked.
    """
    raising = compile("raise error", code.co_filename, "exec").replace(co_name=code.co_name)
    try:
        exec(raising, {"error": error})
    except NeverSent as raised:
        assert raised.__traceback__ is not None and raised.__traceback__.tb_next is not None
        return TracebackType(None, raised.__traceback__.tb_next.tb_frame, -1, line)
    return None


def refuse_coroutine(result: object) -> None:
    """Raise TypeError for what an `async def` function returns: it would never run."""
    if iscoroutine(result):
        result.close()
    elif not isasyncgen(result):
        return
    raise TypeError(
        "tasks, on_start and on_stop are generators: write `def` and `yield`, not `async` and `await`"
    )
