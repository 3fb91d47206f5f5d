"""A user's life as Locust's `User` and `TaskSet` live it, but yielding instead of blocking."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator
from types import GeneratorType, MethodType
from typing import Any, Final

from gevent import GreenletExit
from locust import TaskSet, User
from locust.exception import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
)
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

from ..engine.agent import ARRIVAL, Agent, Command, Pause
from .unsent import Watch, refuse_coroutine

logger = logging.getLogger(__name__)

Steps = Generator[Command, Any, None]
"""What a task, `on_start` or `on_stop` of a swarm user may be: a generator of what it waits for."""
Report = Callable[[User, Exception], None]
"""Told what a task raised."""

TURN: Final = Pause(0)
"""Yielded after a task that asked for nothing, which must not keep the others from their turn."""


def task_loop(user: User, tasks: TaskSet, agent: Agent, report: Report, watch: Watch) -> Steps:
    """What `TaskSet.run` does: pick a task, run it, wait, until it is interrupted or stopped.

    In an open loop users wait for arrivals instead of their wait time: before the first task, too.
    """
    is_root = isinstance(tasks, DefaultTaskSet)
    holder = user if is_root else tasks
    choose = _chooser(user, tasks)
    user_wait_time: Callable[[], float] | None = user.wait_time
    wait_time = user_wait_time if is_root and user_wait_time else tasks.wait_time
    queue = tasks._task_queue
    unseen = watch.unseen(holder)
    try:
        if not is_root:
            yield from watch.hook(tasks.on_start)
        elif agent.loop is not None:
            yield from _next_arrival(user)
        while True:
            try:
                if user._state == LOCUST_STATE_STOPPING:
                    raise StopUser
                before = agent.requests
                task = queue.popleft() if queue else choose()
                try:
                    if isinstance(task, type):
                        yield from task_loop(user, task(holder), agent, report, watch)
                    elif unseen and id(task) in unseen:
                        yield from watch.task(task, holder)
                    else:
                        bound = task.__class__ is MethodType and task.__self__ is holder
                        steps = task() if bound else task(holder)
                        if steps.__class__ is GeneratorType:
                            yield from steps
                        elif steps is not None:
                            refuse_coroutine(steps)
                except RescheduleTaskImmediately:
                    if agent.requests == before:
                        yield TURN
                    continue
                except RescheduleTask:
                    pass
            except (InterruptTaskSet, StopUser, StopTest):
                raise
            except Exception as error:
                report(user, error)
                if not user.environment.catch_exceptions:
                    raise
            if agent.loop is not None:
                yield from _next_arrival(user)
                continue
            if user._state == LOCUST_STATE_STOPPING:
                raise StopUser
            seconds = wait_time()
            if seconds > 0 or agent.requests == before:
                user._state = LOCUST_STATE_WAITING
                yield Pause(seconds)
                user._state = LOCUST_STATE_RUNNING
    except InterruptTaskSet as interrupt:
        if is_root:
            raise
        yield from _on_stop(tasks, watch)
        raise (RescheduleTaskImmediately if interrupt.reschedule else RescheduleTask) from interrupt
    except (StopUser, StopTest, GreenletExit):
        if not is_root:
            yield from _on_stop(tasks, watch)
        raise


def _next_arrival(user: User) -> Steps:
    if user._state == LOCUST_STATE_STOPPING:
        raise StopUser
    user._state = LOCUST_STATE_WAITING
    yield ARRIVAL
    user._state = LOCUST_STATE_RUNNING


def _on_stop(tasks: TaskSet, watch: Watch) -> Steps:
    try:
        yield from watch.hook(tasks.on_stop)
    except Exception:
        logger.exception("Uncaught exception in on_stop")


def _chooser(user: User, tasks: TaskSet) -> Any:
    """How the next task is picked: Locust's uniform choice from `tasks`, but faster, or the set's own."""
    method = type(tasks).get_next_task
    holder: Any = user if isinstance(tasks, DefaultTaskSet) else tasks
    if method not in (DefaultTaskSet.get_next_task, TaskSet.get_next_task) or not holder.tasks:
        return tasks.get_next_task
    uniform = random.random

    def choose() -> Any:
        among = holder.tasks  # looked up each time: Locust's web UI and tasks themselves may change it
        return among[0] if len(among) == 1 else among[int(uniform() * len(among))]

    return choose
