"""What must be measured of a known server, by arithmetic alone: no figure here was ever measured.

Times are seconds. Every expectation is a figure's name, its value, and a resolution: how far off the
measured figure may be whatever its height.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.studies.self_check.known.server import Behaviour

TOLERANCE = 0.05
"""The share of its expected value by which a figure may be off."""

ROUND_TRIP_S = 0.0002
"""The resolution of means and medians: a round trip over loopback through two programs and two wake-ups,
which is part of every latency and which arithmetic does not know."""

TAIL_S = 0.005
"""The resolution of higher percentiles: that, and what one request in a hundred waits for a
virtual CPU. On the machine this was written on, a bare loop that only reads the clock loses each CPU
for half a percent to one percent of the time, 1 to 10 ms at a time; a request needs both, several times."""

EDGE_REQUESTS = 2
"""The resolution of a count in a window: one failure more or less fits into it, and one on its edge."""

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99.9": 0.999}

Unit = Literal["ms", "/s", ""]


@dataclass(frozen=True)
class KnownLoad:
    """A load as measured: `rate_per_s` and `arrivals` are None in a closed loop."""

    users: int
    rate_per_s: float | None = None
    arrivals: str | None = None


@dataclass(frozen=True)
class Expected:
    """A figure and what it must be, in seconds where `unit` is ms. `resolution` has the same unit."""

    figure: str
    value: float
    unit: Unit
    resolution: float
    exact: bool = False

    def allows(self, measured: float) -> bool:
        """Whether a measured value is near enough; one that is missing (NaN) is not."""
        if self.exact:
            return measured == self.value
        return abs(measured - self.value) <= max(self.resolution, TOLERANCE * self.value)


ADDED = Expected("added to the p50", 0, "ms", 0.0001)
"""What the schedule may add to the median latency of an idle server: nothing, or 0.1 ms."""


def expectations(behaviour: Behaviour, load: KnownLoad) -> Iterator[Expected]:
    """Every figure of a cell's window that follows from the server's behaviour and the load.

    Percentiles of a closed loop are of service times, those of an open loop are from the schedule.
    """
    if behaviour.period_s:
        yield from _stalled(behaviour, load)
    elif behaviour.service_s:
        kind = "" if load.rate_per_s is None else "schedule "
        yield _time(f"{kind}p50", quantile_s(behaviour, 0.5))
        yield _time(f"{kind}p99", quantile_s(behaviour, 0.99))
        if behaviour.slow_every:
            yield _time(f"{kind}mean", mean_s(behaviour))
    if load.rate_per_s is None:
        if behaviour.service_s:  # else what the generator takes between two requests is no trifle
            # Little's law: throughput times mean latency is the number of those who wait.
            yield Expected("users (X·R)", load.users, "", 0)
    else:
        if load.arrivals == "constant":
            yield Expected("offered", load.rate_per_s, "/s", 0)
        yield Expected("achieved", 1, "", 0)


def counts(behaviour: Behaviour, served: int, in_window: float) -> Iterator[Expected]:
    """How many requests and failures the generator must have counted.

    `served` is what the server read in the whole cell: the generator must have had as many answers, and
    every Kth of them must have failed, to the last one. Of the `in_window` requests of the measured
    window one in K failed, but for the edges.
    """
    yield Expected("requests in all", served, "", 0, exact=True)
    yield Expected("failures in all", failures(behaviour, served), "", 0, exact=True)
    if behaviour.fail_every:
        yield Expected("failures in the window", in_window / behaviour.fail_every, "", EDGE_REQUESTS)


def quantile_s(behaviour: Behaviour, q: float) -> float:
    """The service time that the share `q` of the requests does not exceed, stalls left out.

    One in K requests is slow: the slow ones are the last 1/K of the sorted times.
    """
    if not behaviour.slow_every:
        return behaviour.service_s
    return behaviour.slow_s if q > 1 - 1 / behaviour.slow_every else behaviour.service_s


def mean_s(behaviour: Behaviour) -> float:
    """The mean service time, stalls left out: one in K requests is slow."""
    if not behaviour.slow_every:
        return behaviour.service_s
    return behaviour.service_s + (behaviour.slow_s - behaviour.service_s) / behaviour.slow_every


def failures(behaviour: Behaviour, requests: int) -> int:
    """How many of the first `requests` requests fail: every Kth does."""
    return requests // behaviour.fail_every if behaviour.fail_every else 0


def stalled_quantile_s(behaviour: Behaviour, rate_per_s: float, users: int, q: float) -> float:
    """The latency from the schedule that the share `q` of the arrivals does not exceed.

    The server stalls for S in every P seconds. What arrives t after the stall began waits for the rest
    of it, S - t, and then for those λt that came before, which `users` at once, each for the service
    time s, drain at the rate μ = users / s. So it waits

        W(t) = S - t + λt/μ = S - t (1 - λ/μ),

    which falls in a straight line from S to 0. Arrivals are spread evenly over P, hence the share that
    waits longer than w is t(w)/P = (S - w) / (P (1 - λ/μ)), and the quantile is where it is 1 - q:

        w = S - (1 - q) P (1 - λ/μ),

    nothing where that is negative. The service time comes on top. (With an idle server, μ → ∞, S = 1
    and P = 10: p99 = 1 - 0.01 · 10 = 0.9 s.)
    """
    drain_rate = users / behaviour.service_s
    waits = behaviour.stall_s - (1 - q) * behaviour.period_s * (1 - rate_per_s / drain_rate)
    return max(0.0, waits) + behaviour.service_s


def stalled_share_closed(behaviour: Behaviour) -> float:
    """The share of a closed loop's requests that meet the stall: each user sends one into it.

    In the rest of the period, P - S, it sends one after the other, each for the service time s, so one
    in 1 + (P - S)/s waits. The users who wait do not ask: this is the coordinated omission.
    """
    return 1 / (1 + (behaviour.period_s - behaviour.stall_s) / behaviour.service_s)


def _stalled(behaviour: Behaviour, load: KnownLoad) -> Iterator[Expected]:
    highest = behaviour.stall_s + behaviour.service_s
    if load.rate_per_s is None:
        share = stalled_share_closed(behaviour)
        for name, q in (("p50", 0.5), ("p99", 0.99)):
            yield _time(name, behaviour.service_s if share < 1 - q else highest)
        yield _time("max", highest)
        return
    # By chance, Poisson arrivals move the p95 by more than the tolerance.
    names = ("p50", "p99", "p99.9") if load.arrivals == "poisson" else tuple(QUANTILES)
    for name in names:
        seconds = stalled_quantile_s(behaviour, load.rate_per_s, load.users, QUANTILES[name])
        yield _time(f"schedule {name}", seconds)
    yield _time("schedule max", highest)


def _time(figure: str, seconds: float) -> Expected:
    typical = figure.removeprefix("schedule ") in ("p50", "mean")
    return Expected(figure, seconds, "ms", ROUND_TRIP_S if typical else TAIL_S)
