"""Which users can take part in a rotation, and the classes of users that do: one for each target.

Locust counts users by the name of their class and knows one host for each class. So each user class of a
scenario gets a subclass for each target, with the target's URL and a number of users that is fixed.
"""

from __future__ import annotations

import types
from collections import Counter
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from locust import TaskSet, User
from locust.dispatch import UsersDispatcher

from ..users.user import SwarmUser


class Target(NamedTuple):
    """A server of a rotation: its name, and the URL that its users ask."""

    name: str
    host: str


def why_blocks(classes: Sequence[type[User]]) -> str | None:
    """Why these users cannot be held between slices and are to be measured in blocks; None: they can.

    Only the engine can hold a request back. A user that waits between tasks would wait in its windows for
    what is left of them.
    """
    plain = [each.__name__ for each in classes if not issubclass(each, SwarmUser)]
    if plain:
        why = f"swarm users, which Locust's own are not: {', '.join(plain)}"
    elif waiting := [each.__name__ for each in classes if waits(each)]:
        why = f"users without wait_time, which {', '.join(waiting)} has"
    else:
        return None
    return f"a rotation needs {why}: measure it in blocks"


def waits(user: type[User]) -> bool:
    """Whether users of a class wait between tasks: their own, or those of a task set of theirs."""
    waiting = [user.wait_time, *(each.wait_time for each in _task_sets(user) if "wait_time" in _own(each))]
    return any(map(_is_wait, waiting))


def _is_wait(wait_time: Any) -> bool:
    """Whether a `wait_time` is more than nothing, as far as that can be told without a user."""
    if wait_time is None:
        return False
    try:
        return bool(wait_time(SimpleNamespace()) > 0)
    except Exception:  # noqa: BLE001  (a method of the user's own that needs a user: it was written to wait)
        return True


def _task_sets(holder: type[User] | type[TaskSet]) -> Iterator[type[TaskSet]]:
    """The task sets of a user class, nested ones included."""
    for task in dict.fromkeys(holder.tasks):
        if isinstance(task, type) and issubclass(task, TaskSet):
            yield task
            yield from _task_sets(task)


def _own(task_set: type[TaskSet]) -> set[str]:
    """The attributes that a task set has of its own, or of a base that is not Locust's."""
    own = (each for each in task_set.__mro__ if each.__module__.partition(".")[0] != "locust")
    return {name for each in own for name in vars(each)}


def spread(classes: Sequence[type[User]], users: int) -> Counter[str]:
    """How many users of each class, by name, Locust would have where it has so many in all.

    There are fewer where each class has a `fixed_count`.
    """
    node: Any = SimpleNamespace(id="one", _index_within_host=0)
    counts = UsersDispatcher([node], list(classes))._distribute_users(users)[0]["one"]
    return Counter({name: count for name, count in counts.items() if count})


def classes_of_targets(
    classes: Sequence[type[User]], users: int, targets: Sequence[Target]
) -> list[type[User]]:
    """The classes of a rotation with so many users for each target: as few as Locust would have of each."""
    counts = spread(classes, users)
    return [
        _class_of(each, target, counts[each.__name__])
        for target in targets
        for each in classes
        if counts[each.__name__]
    ]


def _class_of(user_class: type[User], target: Target, users: int) -> type[User]:
    """The users of a class that ask one target."""
    attributes: dict[str, Any] = {
        "host": target.host,
        "whichworker_target": target.name,
        "fixed_count": users,
        "__module__": user_class.__module__,
        "__doc__": user_class.__doc__,
    }
    made: type[User] = types.new_class(
        f"{target.name}/{user_class.__name__}", (user_class,), exec_body=lambda body: body.update(attributes)
    )
    return made
