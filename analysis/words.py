"""Numbers and names as people write them."""

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

MIB = 2.0**20  # bytes
MISSING = "\N{EN DASH}"
UNKNOWN: Final = "unknown"
# How many workers a server has; of one that was not started for the run nobody knows.
Workers = int | Literal["unknown"]
# Behind a latency of which much is the generator's own waiting.
MARK = " †"
# C0 and C1 controls, bidirectional overrides and isolates, surrogates.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Value:
    """A geometric mean over repeats and its 95 % interval; NaN where unknown."""

    mean: float
    low: float = math.nan
    high: float = math.nan

    def text(self, *, scale: float = 1.0) -> str:
        """To three significant digits, with the interval where there is one."""
        if math.isnan(self.mean):
            return MISSING
        mean = figures(self.mean * scale)
        if math.isnan(self.low):
            return mean
        return f"{mean} ({figures(self.low * scale)} to {figures(self.high * scale)})"


def figures(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    return f"{rounded:,.{digits}f}"


def listed(names: list[str]) -> str:
    """Names as one would say them."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def span(low: float, high: float) -> str:
    """A range of counts, which may be a single one: "99 to 104", "100"."""
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def counted(count: int, what: str) -> str:
    """A number of things: "1 user", "64 users"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def workers_of(value: Any) -> Workers:
    """A value of a column `workers`."""
    return UNKNOWN if value == UNKNOWN else int(value)


def with_workers(workers: Workers) -> str:
    """How many there are: "2 workers", or that nobody knows."""
    return f"workers {UNKNOWN}" if isinstance(workers, str) else counted(workers, "worker")


def duration(seconds: float) -> str:
    """A time as one would say it: "40 ms", "5.06 s"; a dash where it is unknown."""
    if math.isnan(seconds):
        return MISSING
    if round(seconds * 1000) < 1000:
        return f"{seconds * 1000:.0f} ms"
    return f"{figures(seconds)} s"


def assignments(variables: Mapping[str, str]) -> list[str]:
    """Environment variables as a shell takes them in front of a command."""
    return [f"{name}={shlex.quote(value)}" for name, value in variables.items()]


def plain(text: str) -> str:
    """`text` without what a terminal or a browser would obey instead of showing it.

    Control characters, overrides of the writing direction and halves of surrogate pairs become U+FFFD; line
    breaks and tabs stay.
    """
    return _OBEYED.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))
