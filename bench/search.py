"""The search for the highest arrival rate at which a server keeps its p99 within a limit.

It doubles the rate until the limit is broken, then halves the bracket on the logarithm, which is how rates
compare, until the bracket is narrow enough. A step in which the generator was late shows nothing and is
taken again. Everything here follows from the steps taken so far, so that a run that was interrupted goes on
in the middle of a search.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bench.loads import Search

# `kept`: the server kept the limit. `broken`: it did not. `generator`: nobody can tell, because the
# generator was late itself.
Verdict = Literal["kept", "broken", "generator"]

# Of the arrivals of a window so many must be completed in it, else the server falls behind; and so many
# of the requests may fail.
COMPLETED, FAILED = 0.99, 0.001
# A generator whose own lateness (p99) is more than this part of the limit offers another load than asked.
LATENESS = 0.25

# So often a rate is tried where the generator is late: a machine that was busy for a moment rarely is again.
ATTEMPTS = 3

_HALVINGS = 6
_DOUBLINGS = 14
_DIGITS = 3
# From the first rate to the last that is kept and the first that is not; what most searches need.
_USUAL_DOUBLINGS = 4


@dataclass(frozen=True)
class Step:
    """A rate that was tried, in arrivals per second, and what came of it."""

    rate_per_s: float
    verdict: Verdict


class Attempt(NamedTuple):
    """A rate to try, in arrivals per second, and how often it will have been tried then."""

    rate_per_s: float
    number: int = 1


@dataclass(frozen=True)
class Found:
    """The highest rate that was kept, ``None`` without one.

    ``at_least`` where the generator, not the server, was the limit above it; without a rate nothing is
    known of the server then.
    """

    rate_per_s: float | None
    at_least: bool


def judge(search: Search, measured: Mapping[str, Any]) -> Verdict:
    """What a step showed, from the ``measured`` of its ``cell.json``.

    A window with too few requests for a p99 is judged by its largest time: that can only be too strict.
    """
    limit_us = search.p99_ms * 1000
    late = _p99_or_max(measured, "lateness") or 0
    waited = _p99_or_max(measured, "from_schedule")
    # What the generator's lateness cannot explain is the server's all the same.
    if waited is not None and late > LATENESS * limit_us and waited <= limit_us + late:
        return "generator"
    kept = (
        waited is not None
        and waited <= limit_us
        and measured["completions"] >= COMPLETED * measured["arrivals"]
        and measured["failures"] <= FAILED * (measured["requests"] + measured["failures"])
    )
    return "kept" if kept else "broken"


def _p99_or_max(measured: Mapping[str, Any], kind: str) -> float | None:
    """In microseconds; ``None`` if nothing of that kind was measured."""
    percentiles = measured["latency_us"].get(kind, {})
    p99: float | None = percentiles.get("p99")
    return percentiles.get("max") if p99 is None else p99


def next_attempt(search: Search, steps: Sequence[Step]) -> Attempt | None:
    """What to try after these steps; ``None`` when the search is over."""
    if steps and steps[-1].verdict == "generator":
        tried = sum(step.rate_per_s == steps[-1].rate_per_s for step in steps)
        if tried < ATTEMPTS:
            return Attempt(steps[-1].rate_per_s, tried + 1)
    rate = _next_rate(search, _last_attempts(steps))
    return None if rate is None else Attempt(rate)


def _next_rate(search: Search, steps: Sequence[Step]) -> float | None:
    """The rate to try after these, each of another rate: after the first with three significant digits."""
    kept, bound = _bracket(steps)
    if not steps:
        return search.from_rate_per_s
    if bound is None:
        return None if len(steps) > _DOUBLINGS else _rounded(steps[-1].rate_per_s * 2)
    if kept is None:
        return None if len(steps) > _HALVINGS else _rounded(steps[-1].rate_per_s / 2)
    if bound.rate_per_s / kept <= 1 + search.resolution:
        return None
    between = _rounded(math.sqrt(kept * bound.rate_per_s))
    return between if kept < between < bound.rate_per_s else None


def found(steps: Sequence[Step]) -> Found:
    """The answer of a search that is over."""
    kept, bound = _bracket(_last_attempts(steps))
    return Found(kept, at_least=bound is None or bound.verdict == "generator")


def expected_steps(search: Search) -> int:
    """How many steps a search usually takes."""
    halvings = math.log2(math.log(2) / math.log1p(search.resolution))
    return _USUAL_DOUBLINGS + max(0, math.ceil(halvings))


def _last_attempts(steps: Sequence[Step]) -> list[Step]:
    """One step of each rate, in the order in which they were first tried: the last attempt stands."""
    return list({step.rate_per_s: step for step in steps}.values())


def _bracket(steps: Sequence[Step]) -> tuple[float | None, Step | None]:
    """The highest rate that was kept and the lowest step that was not."""
    kept = max((step.rate_per_s for step in steps if step.verdict == "kept"), default=None)
    others = [step for step in steps if step.verdict != "kept"]
    return kept, min(others, key=lambda step: step.rate_per_s, default=None)


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")
