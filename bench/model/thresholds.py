"""A plan's thresholds, ``[thresholds]``: what every cell must satisfy. Whether it does, the analysis says.

Also the suite's own on what may be ranked, which decide when a rotation is precise as well.
"""

import math
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from bench.model.errors import unknown

# A server that used less of its CPUs than this was not what limited the throughput.
SATURATED = 0.90
# Failures beyond this share of all requests make the rest of the numbers describe another service.
ERROR_RATE = 0.001

Metric = Literal["throughput", "cpu_us"]


def ranking_metric(busy: Iterable[float]) -> Metric:
    """What ranks servers under a load: throughput where each was saturated, else CPU time per request.

    `busy` is the share of its CPUs that each of them used; an unknown one (NaN) is not known to be saturated.
    """
    return "throughput" if all(share >= SATURATED for share in busy) else "cpu_us"


# Metrics that are unknown of a server that is not metered.
METERED = ("cpu_us", "pss_mib")
# Those of service times in closed loops, and from the schedule in open ones.
LATENCIES = ("p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
METRICS = ("requests_per_second", *LATENCIES, "failures", "error_rate", *METERED, "achieved")
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Threshold:
    """A demand such as ``p99_ms < 50``; the number is in the unit that the metric's name ends in."""

    metric: str
    comparison: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "Threshold":
        """Read ``METRIC OP NUMBER``.

        Raises:
            ValueError: it has another form; says which part is wrong and what is possible instead.
        """
        parts = text.split()
        if len(parts) != 3:
            raise ValueError(f'"{text}" is not of the form "p99_ms < 50", with spaces between its parts')
        metric, comparison, number = parts
        if metric not in METRICS:
            raise ValueError(unknown("metric", metric, METRICS))
        if comparison not in COMPARISONS:
            raise ValueError(unknown("comparison", comparison, COMPARISONS))
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not math.isfinite(limit):
            raise ValueError(f'"{number}" in "{text}" is not a number')
        return cls(metric, comparison, limit)

    def __str__(self) -> str:
        return f"{self.metric} {self.comparison} {self.limit:g}"

    def kept(self, value: float) -> bool:
        """Whether a value complies; an unknown one (NaN) is no evidence that it does."""
        return not math.isnan(value) and COMPARISONS[self.comparison](value, self.limit)


def check(text: str) -> str:
    """A threshold as it is, if it is one; raises ``ValueError`` as ``Threshold.parse``."""
    Threshold.parse(text)
    return text
