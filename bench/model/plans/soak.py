"""A soak: a plan's open loops on servers that are all alive, side by side, for hours or days.

It is recorded in intervals: fine ones of the last hour, coarser ones of the last day, and still coarser ones
of what was before, so that a week has some thousands of rows. Their latencies are counted in buckets at most
1.6 % wide.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from bench.model.plans.loads import Loads
from bench.model.tables import PlanTable, Size

NOT_WITH_SOAK = ("rotation", "connections", "external", "generators", "proxy", "probes", "thresholds")
"""Keys of a plan."""
COARSER = ((360, 6), (24 * 360, 60))
"""After so many of the finest intervals so many of them become one: at 10 s, minutes after an hour, ten
minutes after a day."""
_BUCKETS_OF_A_DOUBLING = 6  # as a power of two


class SoakTable(PlanTable):
    """``[soak]``: all configurations at once, each with workers replaced and, beside that, without."""

    hours: Annotated[float, Field(gt=0, le=24 * 400)] = 2.0
    """Hours of load, pauses of the whole soak left out."""
    interval_s: Annotated[int, Field(ge=1, le=60)] = 10
    """Length of the finest intervals. At 10 s those of an hour ago have a minute, those of a day ago ten."""
    allowance: Size | None = None
    """What all processes of a server may take, such as `"500MB"`: the report says when they would."""


def check_soak(others: Mapping[str, object], scenarios: Iterable[Loads]) -> None:
    """Raise ``ValueError`` for what a soak does not go together with.

    ``others`` are what the plan has under the keys of ``NOT_WITH_SOAK``.
    """
    if found := [key for key, given in others.items() if given]:
        raise ValueError(f"a soak has no {' and no '.join(found)}: leave that out, or [soak]")
    if any(loads.users is not None or loads.search is not None for loads in scenarios):
        raise ValueError("a soak takes open loads only (RATES=), far below what the servers can serve")


def bucket_us(latency_us: float) -> int:
    """The lower edge of the bucket of a latency: 64 buckets for each doubling, or whole microseconds."""
    whole = int(latency_us)
    shift = max(0, whole.bit_length() - 1 - _BUCKETS_OF_A_DOUBLING)
    return whole >> shift << shift


def histogram_text(counts: Mapping[int, int]) -> str:
    """Counts by their buckets as a field of a CSV file: `312:5 316:12`."""
    return " ".join(f"{bucket}:{counts[bucket]}" for bucket in sorted(counts))


def histogram(text: str) -> dict[int, int]:
    """The counts of such a field; raises ``ValueError`` for what is none."""
    found: dict[int, int] = {}
    for word in text.split():
        bucket, colon, count = word.partition(":")
        if not (colon and bucket.isascii() and bucket.isdigit() and count.isascii() and count.isdigit()):
            raise ValueError(f"no bucket:count: {word[:40]!r}")
        if max(len(bucket), len(count)) > len(str(1 << 53)) or int(bucket) in found:
            raise ValueError(f"a bucket that cannot be: {word[:40]!r}")
        found[int(bucket)] = int(count)
    return found


def seconds_of(hours: float) -> int:
    """Hours in whole seconds, one at least."""
    return max(1, math.ceil(3600 * hours))
