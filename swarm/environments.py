"""What there is one of for each Locust environment."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar
from weakref import WeakKeyDictionary

from locust.env import Environment

Part = TypeVar("Part")


def per_environment(make: Callable[[Environment], Part]) -> Callable[[Environment], Part]:
    """Have `make` called once for each environment: later calls return what the first one made."""
    made: WeakKeyDictionary[Environment, Part] = WeakKeyDictionary()

    @wraps(make)
    def part_of(environment: Environment) -> Part:
        if environment not in made:
            made[environment] = make(environment)
        return made[environment]

    return part_of
