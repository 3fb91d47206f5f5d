"""The search for the highest arrival rate at which a server keeps its p99 within a limit.

It doubles the rate until the limit is broken, then halves the bracket on the logarithm, which is how rates
compare, until the bracket is narrow enough. A step in which the generator was late shows nothing and is
taken again. Everything here follows from the steps taken so far, so that a run that was interrupted goes on
in the middle of a search.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan
from typing import Any, Literal, NamedTuple

from bench.model.plans.loads import Search

# `kept`: the server kept the limit. `broken`: it did not. `generator`: the generator was late itself, so the
# step shows nothing of the server.
Verdict = Literal["kept", "broken", "generator"]

# This share of the arrivals of a window must be completed in it, else the server falls behind; this share of
# the requests may fail.
COMPLETED, FAILED = 0.99, 0.001
# A generator whose own lateness (p99) is more than this share of the limit offers another load than planned.
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
    """The highest rate that was kept below ``bound_per_s``, the lowest that was not; ``None`` without one.

    ``at_least`` where the generator, not the server, was the limit above it; without a rate nothing is
    known of the server then.
    """

    rate_per_s: float | None
    at_least: bool
    bound_per_s: float | None = field(default=None, compare=False)


def verdict(limit_us: float, waited_us: float, late_us: float, completed: float, failed: float) -> Verdict:
    """What a step showed; NaN is unknown.

    ``waited_us`` is its from-schedule p99, ``late_us`` the p99 of the generator's own lateness, each the
    largest time where there were too few requests for a p99: that can only be too strict. ``completed`` is
    the share of the arrivals that were completed, ``failed`` that of the requests that failed.
    """
    # What the generator's lateness cannot explain is the server's all the same.
    if late_us > LATENESS * limit_us and waited_us <= limit_us + late_us:
        return "generator"
    kept = waited_us <= limit_us and completed >= COMPLETED and failed <= FAILED
    return "kept" if kept else "broken"


def judge(search: Search, measured: Mapping[str, Any]) -> Verdict:
    """What a step showed, from the ``measured`` of its ``cell.json``."""
    attempts = measured["requests"] + measured["failures"]
    return verdict(
        search.p99_ms * 1000,
        _p99_or_max(measured, "from_schedule"),
        _p99_or_max(measured, "lateness"),
        measured["completions"] / measured["arrivals"] if measured["arrivals"] else nan,
        measured["failures"] / attempts if attempts else nan,
    )


def _p99_or_max(measured: Mapping[str, Any], kind: str) -> float:
    """In microseconds; NaN if nothing of that kind was measured."""
    percentiles = measured["latency_us"].get(kind, {})
    known = (percentiles[name] for name in ("p99", "max") if percentiles.get(name) is not None)
    return next(known, nan)


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
    at_least = bound is None or bound.verdict == "generator"
    return Found(kept, at_least, None if bound is None else bound.rate_per_s)


def expected_steps(search: Search) -> int:
    """How many steps a search usually takes."""
    halvings = math.log2(math.log(2) / math.log1p(search.resolution))
    return _USUAL_DOUBLINGS + max(0, math.ceil(halvings))


def _last_attempts(steps: Sequence[Step]) -> list[Step]:
    """One step of each rate, in the order in which they were first tried: the last attempt stands."""
    return list({step.rate_per_s: step for step in steps}.values())


def _bracket(steps: Sequence[Step]) -> tuple[float | None, Step | None]:
    """The lowest step that was not kept, and the highest rate below it that was."""
    others = (step for step in steps if step.verdict != "kept")
    bound = min(others, key=lambda step: step.rate_per_s, default=None)
    below = math.inf if bound is None else bound.rate_per_s
    rates = (step.rate_per_s for step in steps if step.verdict == "kept" and step.rate_per_s < below)
    return max(rates, default=None), bound


def _rounded(rate: float) -> float:
    return float(f"{rate:.{_DIGITS}g}")
