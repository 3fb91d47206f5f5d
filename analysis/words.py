"""Numbers and names as people write them."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal, Self

from bench.stats.comparison import Ratio

MIB = 2.0**20  # bytes
MISSING = "\N{EN DASH}"
UNKNOWN: Final = "unknown"
# How many workers a server has; unknown of an external one.
Workers = int | Literal["unknown"]
# Behind a latency of which much is the generator's own waiting.
MARK = " †"


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
        mean, interval = figures(self.mean * scale), self.interval(scale=scale)
        return f"{mean} ({interval})" if interval else mean

    @classmethod
    def of(cls, versus: Ratio) -> Self:
        """A ratio as a value."""
        return cls(versus.ratio, versus.low, versus.high)

    def times(self) -> str:
        """As a ratio: "1.25x (1.09 to 1.43)", without the interval where there is none."""
        interval = self.interval()
        return f"{figures(self.mean)}x" + (f" ({interval})" if interval else "")

    def interval(self, *, scale: float = 1.0) -> str:
        """The interval to three significant digits; empty where there is none."""
        if math.isnan(self.low):
            return ""
        return f"{figures(self.low * scale)} to {figures(self.high * scale)}"


def figures(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value == 0:
        return "0"
    rounded = round(value, 2 - math.floor(math.log10(abs(value))))
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{digits}f}"


def spanned(values: Mapping[str, float], unit: str = "", *, named: bool = True) -> str:
    """The median of values by name, and from whose least to whose greatest; a dash where none is known."""
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    if not known:
        return MISSING
    ordered = sorted(known, key=lambda name: known[name])
    ends = [(figures(known[name]), f" with {name}" if named else "") for name in (ordered[0], ordered[-1])]
    middle, ((least, whose), (most, others)) = f"{figures(median(known.values()))}{unit}", ends
    return middle if least == most else f"{middle} ({least}{whose} to {most}{others})"


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
    """How many there are: "2 workers", or "workers unknown"."""
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


def quoted(text: str, length: int = 120) -> str:
    """A text from outside in quotes, in one line and cut where it is longer than `length` characters."""
    line = " ".join(text.split())
    return f"“{line if len(line) <= length else f'{line[: length - 1]}…'}”"
