"""The syntax of a plan's thresholds. Whether a run keeps them is for the analysis to say."""

import math

from bench.errors import unknown

METRICS = (
    "requests_per_second",
    "p50_ms",
    "p90_ms",
    "p99_ms",
    "p999_ms",
    "max_ms",
    "failures",
    "error_rate",
    "cpu_us",
    "pss_mib",
    "achieved",
)
# Those that nobody knows of a server that is not metered.
METERED = ("cpu_us", "pss_mib")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


def check(text: str) -> str:
    """A threshold as it is, if it has the form ``METRIC OP NUMBER``, such as ``p99_ms < 50``.

    Raises:
        ValueError: it has not; says which part is wrong and what is possible instead.
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
        finite = math.isfinite(float(number))
    except ValueError:
        finite = False
    if not finite:
        raise ValueError(f'"{number}" in "{text}" is not a number')
    return text
