"""One fault: what strikes which run and when, drawn from a seed."""

import random
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from tests.faults.kinds import KINDS, Stage
from tests.faults.strikes import STRIKES, choices

# What has happened when a fault comes, and how long after it at most (s).
_AT_ONCE_S, _SOON_S, _LATER_S = 0.01, 0.2, 1.5
_ONCE = ("it was begun", "its folder is there")
# Most often in what takes longest.
_EVENTS = (*_ONCE, "a server is ready", *3 * ("it has begun a cell",), *3 * ("a cell is finished",))


@dataclass(frozen=True)
class Fault:
    """A strike at a run of a kind, and when: so many seconds after `event` has happened `count` times.

    `seconds` is how long it lasts, where that can be said. With `named` the run is then gone on with by its
    name, else by the same command; `at_once` even if something of it is still about to end.
    """

    number: int
    kind: str
    strike: str
    role: str | None
    event: str
    count: int
    delay_s: float
    seconds: float
    named: bool
    at_once: bool = False

    def __str__(self) -> str:
        what = self.strike if self.role is None else f"{self.role} {self.strike}"
        times = "" if self.count == 1 else f" (number {self.count})"
        return f"{self.kind}: {what} {self.delay_s:.2f} s after: {self.event}{times}"

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Self:
        return cls(**fields)

    def fields(self) -> dict[str, Any]:
        """As `of` takes it."""
        return asdict(self)

    def sooner(self, attempt: int) -> Self:
        """The same at a moment that every run comes to."""
        return replace(self, event="it has begun a cell", count=1, delay_s=0.2 / attempt)


def possible(
    kind: str, lacking: Collection[str], roles: Collection[str] = ()
) -> list[tuple[str, str | None]]:
    """What can be done to a kind of run, as `choices`: nothing `lacking` here, nor to other `roles`."""
    known = [entry for entry in choices(KINDS[kind]) if entry[0] not in lacking]
    return [entry for entry in known if not roles or entry[1] in roles]


def draw(
    seed: int, number: int, kinds: Collection[str], lacking: Collection[str], roles: Collection[str] = ()
) -> Fault:
    """The fault of a number: one of these kinds of run, each of which it is `possible` for."""
    rng = random.Random(f"{seed}/{number}")
    kind = rng.choices(list(kinds), [KINDS[name].weight for name in kinds])[0]
    known = possible(kind, lacking, roles)
    # Alike often: the command itself, another of its processes, what is around all of them.
    whom = ({"bench"}, set(KINDS[kind].roles) - {"bench"}, {None})
    alike = [[entry for entry in known if entry[1] in roles] for roles in whom]
    strike, role = rng.choice(rng.choice([entries for entries in alike if entries]))
    # What has too few descriptors to be imported says so in Python's words.
    event = rng.choice(_EVENTS[1:] if STRIKES[strike].cripples else _EVENTS)
    most = KINDS[kind].servers if event == "a server is ready" else KINDS[kind].cells
    count = 1 if event in _ONCE else rng.randint(1, max(1, most - KINDS[kind].interrupted))
    # After its last cell a run is over soon.
    is_last = event == "a cell is finished" and count == most
    latest_s = rng.choice([_AT_ONCE_S, _SOON_S] if is_last else [_AT_ONCE_S, _SOON_S, _LATER_S])
    return Fault(
        number,
        kind,
        strike,
        role,
        event,
        count,
        round(rng.uniform(0, 2 * latest_s if event == "it was begun" else latest_s), 3),
        round(rng.choice([rng.uniform(0.2, 2), rng.uniform(2, 8)]), 2),
        named=rng.random() < 0.5,
        at_once=rng.random() < 0.5,
    )


def lacking() -> dict[str, str]:
    """Kinds of run and strikes that cannot be had here, and why."""
    asked = [*KINDS.items(), *STRIKES.items()]
    return {name: why for name, each in asked if (why := each.lacks()) is not None}


def happened(event: str, stage: Stage) -> int:
    """How often an event has happened on a stage so far; what happens once only does so for each command."""
    return 0 if event in _ONCE else sum(1 for _ in _signs(event, stage))


def due(fault: Fault, stage: Stage, before: int) -> bool:
    """Whether what a fault waits for has happened since it had `happened` so often before."""
    return sum(1 for _ in _signs(fault.event, stage)) >= before + fault.count


def _signs(event: str, stage: Stage) -> Iterator[object]:
    """What can be seen of an event in the results."""
    if event == "it was begun":
        yield from [True] if stage.begun[-1].imports else []
        return
    patterns = {
        "its folder is there": ["*/.lock"],
        "a server is ready": ["*/.serve-*/*/*/server.json", "*/.serve-*/*/*/*/server.json"],
        "it has begun a cell": ["*/[!.]*/*/*/r?", "*/.sitting-*/*/*/*/r?", "*/.serve-*/cell-*"],
        "a cell is finished": [
            "*/[!.]*/*/*/*/cell.json",
            "*/.sitting-*/*/*/*/*/cell.json",
            "*/[!.]*/*/*/*/intervals.csv",  # a soak has the first lap of a server
        ],
    }
    for pattern in patterns[event]:
        yield from stage.results.glob(pattern)
