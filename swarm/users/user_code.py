"""What Locust would not report of a locustfile's code: listeners that raise, users that end.

Locust logs what a listener raises and goes on; a user that ends during a test is one less, without a word.
Here the first becomes one of the test's exceptions, where tasks' exceptions are (Locust's web UI and
`locust_exceptions.csv` have them), and the second is counted by its reason.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final
from weakref import ref

from gevent import GreenletExit
from locust import User
from locust.env import Environment
from locust.event import EventHook, Events
from locust.exception import StopTest, StopUser
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner

from ..environments import per_environment
from ..recording.batch import recordable

SWALLOWED: Final = {
    "Uncaught exception in event handler": "listener",
    "Uncaught exception in on_stop": "on_stop",
}
"""How Locust's log lines begin with which it swallows an exception, and what raised it."""

REPORT_KEY: Final = "whichworker_ended"


def described(error: BaseException) -> str:
    """An exception in a line: its class and its text."""
    text = recordable(str(error).strip())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class UserCode:
    """Listens to one environment, which has its runner; in each process of a test there is one."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._watched: set[type[User]] = set()
        self._places: set[str] = set()
        self._ended: Counter[str] = Counter()
        self._ended_elsewhere: dict[str, Mapping[str, int]] = {}  # as the workers last told, by their ids
        hooks = environment.events
        # Locust's own says of a KeyError no more than its key.
        hooks.user_error._handlers = [
            each for each in hooks.user_error._handlers if getattr(each, "__module__", "") != "locust.runners"
        ]
        hooks.user_error.add_listener(self._user_error)
        hooks.test_start.add_listener(self._started)
        logging.getLogger().addHandler(_Swallowed(self, hooks))

    # -- Exceptions

    def _user_error(
        self, user_instance: Any, exception: BaseException, tb: TracebackType, **_: object
    ) -> None:
        self.raised(described(exception), tb)
        if type(user_instance) in self._watched:  # it is not its task set: `on_start` raised, which ends it
            self.ended(user_instance, exception)

    def raised(self, message: str, tb: TracebackType | None) -> bool:
        """Count an exception of the test under Locust's own; returns whether it is the first of its place."""
        runner = self._environment.runner
        where = "".join(traceback.format_tb(tb))
        if isinstance(runner, WorkerRunner):
            runner.send_message("exception", {"msg": message, "traceback": where})
        elif runner is not None:
            runner.log_exception("local", message, where)
        is_new = where not in self._places
        self._places.add(where)
        return is_new

    # -- Users that end

    def _started(self, **_: object) -> None:
        self._places.clear()
        self._ended.clear()
        self._ended_elsewhere.clear()

    def watch(self, user_class: type[User]) -> None:
        """Have the users of a plain Locust class say why they end.

        Locust calls `on_stop` while it handles what ended the user, and swallows that.
        """
        if user_class in self._watched:
            return
        self._watched.add(user_class)
        on_stop = user_class.on_stop

        def noted(user: User) -> Any:
            error = sys.exc_info()[1]
            if error is not None:
                self.ended(user, error)
            return on_stop(user)  # type: ignore[no-untyped-call]

        user_class.on_stop = noted  # type: ignore[method-assign]

    def ended(self, user: User, error: BaseException) -> None:
        """Take note that a user ends by `error`, unless it was told to: then the test is over for it."""
        runner = self._environment.runner
        if runner is None or runner.state not in (STATE_SPAWNING, STATE_RUNNING):
            return
        if vars(user).get("_end_noted"):
            return
        object.__setattr__(user, "_end_noted", True)
        self._ended[_reason(error)] += 1

    def report(self, data: dict[str, Any]) -> None:
        """Put into a worker's report how many of its users ended, and why."""
        if self._ended:
            data[REPORT_KEY] = dict(self._ended)

    def reported(self, client_id: str, data: Mapping[str, Any]) -> None:
        """Take in a worker's report."""
        if REPORT_KEY in data:
            self._ended_elsewhere[client_id] = data[REPORT_KEY]

    def why_fewer(self, users: int, left: int, spawned: int) -> str:
        """A sentence: why only `left` of `users` users run, of which `spawned` were spawned."""
        reasons = [f"{count} {reason}" for reason, count in self.endings().most_common()]
        if spawned < users:
            reasons.append(f"{users - spawned} were never spawned (fixed_count?)")
        elif not reasons and (raised := self.first_exception()):
            reasons.append(f"the scenario raised {raised}")
        why = f": {', '.join(reasons)}" if reasons else ""
        return f"only {left} of {users} users were still running at the end{why}"

    def first_exception(self) -> str | None:
        """What the test's code raised first; None if nothing."""
        runner = self._environment.runner
        exceptions = {} if runner is None else runner.exceptions
        return next((str(each["msg"]) for each in exceptions.values()), None)

    def all_raised(self) -> str | None:
        """How many exceptions the test's code raised, and the first, in words; None if it raised nothing."""
        runner = self._environment.runner
        exceptions = {} if runner is None else runner.exceptions
        count = sum(int(each["count"]) for each in exceptions.values())
        many = f"{count:,} exception{'' if count == 1 else 's'}"
        return f"the locustfile raised {many}, the first {self.first_exception()}" if count else None

    def endings(self) -> Counter[str]:
        """How many users have ended by themselves since the test began, by the reason in words."""
        total = Counter(self._ended)
        for counts in self._ended_elsewhere.values():
            total.update(counts)
        return total


def _reason(error: BaseException) -> str:
    match error:
        case StopUser():
            return "raised StopUser"
        case StopTest():
            return "raised StopTest"
        case GreenletExit():
            return "killed"
        case SystemExit():
            return "called sys.exit()"
        case _:
            return f"ended by {described(error)}"


class _Swallowed(logging.Handler):
    """Hears of exceptions where Locust logs them, which it does while it handles them.

    The log is that of the process: what listeners of another environment raise is not this one's.
    """

    def __init__(self, code: UserCode, hooks: Events) -> None:
        super().__init__(logging.ERROR)
        self._code = ref(code)  # an environment may go before the log does
        self._hooks = hooks

    def emit(self, record: logging.LogRecord) -> None:
        begin = str(record.msg).partition(":")[0].strip()
        error, code = sys.exc_info()[1], self._code()
        if begin not in SWALLOWED or error is None or code is None:
            return
        tb = error.__traceback__
        what = SWALLOWED[begin] if tb is None else _listener(tb, self._hooks, SWALLOWED[begin])
        if what is not None:
            code.raised(f"{what}: {described(error)}", tb)


def _listener(tb: TracebackType, hooks: Events, otherwise: str) -> str | None:
    """`listener NAME of EVENT`, from the frame of Locust that called it; None if that is not of `hooks`."""
    hook, handler = tb.tb_frame.f_locals.get("self"), tb.tb_frame.f_locals.get("handler")
    if not isinstance(hook, EventHook) or handler is None:
        return otherwise
    event = next((name for name, each in vars(hooks).items() if each is hook), None)
    return None if event is None else f"listener {getattr(handler, '__qualname__', handler)} of {event}"


@per_environment
def user_code_of(environment: Environment) -> UserCode:
    """What listens to an environment, which has its runner by now."""
    return UserCode(environment)
