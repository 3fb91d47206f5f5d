"""What a proxy costs where no worker is replaced: each server behind it and past it, in one rotation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import pandas as pd

from analysis.rankings.sides import SidesRow, frame_of, heads, sides
from analysis.words import Workers, counted, spanned, with_workers

_SIDES = ("direct", "behind")
FRAME = frame_of(*_SIDES)
"""The columns of proxy_cost.csv; the proxy's CPU time is not in `cpu_us`."""


@dataclass(frozen=True)
class ProxyCost:
    """The table, and its numbers in the columns of `FRAME`; `kind` is the proxy, set to `settings`."""

    kind: str
    settings: Sequence[str]
    rows: Sequence[SidesRow]
    frame: pd.DataFrame

    @property
    def title(self) -> str:
        """What is compared."""
        return f"What {self._named} costs"

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            f"Each server was reached through {self.kind} and past it in turns, in every sitting. Ratios are "
            "behind to direct, with the 95 % interval over the sittings. CPU: the server's time per request. "
            f"{self.kind} ran on the suite's CPUs: where a generator shares these, and they are full, both "
            "cost throughput."
        )

    @property
    def _named(self) -> str:
        """The proxy with its settings, where they are not those that it comes with."""
        return f"{self.kind} ({', '.join(self.settings)})" if self.settings else self.kind

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        return heads("direct", f"behind {self.kind}")

    @property
    def finding(self) -> str:
        """What it comes to in each load: requests, p99 and CPU time."""
        loads: dict[tuple[str, Workers, int], list[SidesRow]] = {}
        for row in self.rows:
            if not isnan(row.throughput.mean):  # some sitting has a good slice of both ways
                loads.setdefault((row.scenario, row.workers, row.users), []).append(row)
        if not loads:
            return f"What {self._named} costs is not known: no sitting has good slices of both ways."
        alone = len({scenario for scenario, _, _ in loads}) == len(loads)
        told = []
        for (scenario, workers, users), rows in loads.items():
            load = scenario if alone else f"{scenario}, {with_workers(workers)}, {counted(users, 'user')}"
            told.append(f"{load}: {_spanned(rows)}")
        return f"Behind {self._named} to past it: {'; '.join(told)}."


def _spanned(rows: Sequence[SidesRow]) -> str:
    """The ratios of a load: the median, and from whose least to whose greatest."""
    throughput, p99, cpu = (
        spanned({row.configuration: getattr(row, name).mean for row in rows}, "x", named=name == "throughput")
        for name in ("throughput", "p99", "cpu")
    )
    return f"{throughput} the requests per second, {p99} the p99, {cpu} the server's CPU time per request"


def proxy_cost(
    kind: str,
    behind: pd.DataFrame,
    direct: pd.DataFrame,
    order: Sequence[str],
    settings: Sequence[str] = (),
) -> ProxyCost | None:
    """What the proxy costs, by the summaries of both ways; None where no load was rotated in both.

    `order` has all configurations, `settings` what the proxy was set to.
    """
    rows, frame = sides(direct, behind, _SIDES, order)
    return ProxyCost(kind, settings, rows, frame) if rows else None
