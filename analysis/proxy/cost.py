"""What a proxy costs where no worker is replaced: each server behind it and past it, in one rotation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd

from analysis.rankings.sides import Row, frame_of, heads, sides
from analysis.words import listed

_SIDES = ("direct", "behind")
FRAME = frame_of(*_SIDES)
"""The columns of proxy_cost.csv; the proxy's CPU time is not in `cpu_us`."""


@dataclass(frozen=True)
class ProxyCost:
    """The table, and its numbers in the columns of `FRAME`; `kind` is the proxy."""

    kind: str
    rows: Sequence[Row]
    frame: pd.DataFrame

    @property
    def title(self) -> str:
        """What is compared."""
        return f"What {self.kind} costs"

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            f"Each server was reached through {self.kind} and past it in turns, in every sitting. Ratios are "
            "behind to direct, with the 95 % interval over the sittings. CPU: the server's time per request. "
            f"{self.kind} ran on the generator's CPUs: where these are full, both cost throughput."
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        return heads("direct", f"behind {self.kind}")

    @property
    def finding(self) -> str:
        """The throughput behind the proxy of each configuration, in the load that loses most."""
        least: dict[str, Row] = {}
        for row in self.rows:
            if isnan(row.throughput.mean):  # no sitting has a good slice of both ways
                continue
            best = least.setdefault(row.configuration, row)
            if row.throughput.mean < best.throughput.mean:
                least[row.configuration] = row
        if not least:
            return f"What {self.kind} costs is not known: no sitting has good slices of both ways."
        told = [f"{row.throughput.text()} with {name}" for name, row in least.items()]
        return f"Throughput behind {self.kind} to that past it, in the load that loses most: {listed(told)}."


def proxy_cost(
    kind: str, behind: pd.DataFrame, direct: pd.DataFrame, order: Sequence[str]
) -> ProxyCost | None:
    """What the proxy costs, by the summaries of both ways; None where no load was rotated in both.

    `order` has all configurations.
    """
    rows, frame = sides(direct, behind, _SIDES, order)
    return ProxyCost(kind, rows, frame) if rows else None
