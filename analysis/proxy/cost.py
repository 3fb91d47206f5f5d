"""What a proxy costs where no worker is replaced: each server behind it and past it, in one rotation."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan
from typing import Any

import pandas as pd

from analysis.cells.summary import LOAD
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import Value, Workers, listed, workers_of
from bench.stats.comparison import compare, mean

# What is compared, by the columns of the summary.
_METRICS = {"throughput": "throughput", "p99": "p99_us", "cpu": "cpu_us"}
_SIDES = ("direct", "behind")
FRAME = [
    "configuration", *LOAD, "sittings",
    *(f"{name}_{side}" for name, side in product(_METRICS.values(), _SIDES)),
    *(f"{name}_ratio{end}" for name, end in product(_METRICS, ("", "_low", "_high"))),
]  # fmt: skip
"""The columns of proxy_cost.csv: geometric means over the sittings, and ratios, behind to direct, with their
95 % intervals over the sittings. CPU time is the server's, per request; the proxy's is not in it."""


@dataclass(frozen=True)
class Row(TableRow):
    """A configuration under a closed load; `sides` are throughput and p99 (µs), direct and behind.

    `throughput`, `p99` and `cpu` are ratios, behind to direct.
    """

    configuration: str
    scenario: str
    workers: Workers
    users: int
    sides: tuple[tuple[float, float], tuple[float, float]]
    throughput: Value
    p99: Value
    cpu: Value

    def cells(self) -> tuple[Cell, ...]:
        (rate, p99_us), (rate_behind, p99_behind_us) = self.sides
        workers = words(self.workers) if isinstance(self.workers, str) else number(self.workers)
        return (
            words(self.configuration),
            words(self.scenario),
            workers,
            number(self.users),
            measured(Value(rate)),
            measured(Value(rate_behind)),
            measured(self.throughput),
            measured(Value(p99_us), scale=1e-3),
            measured(Value(p99_behind_us), scale=1e-3),
            measured(self.p99),
            measured(self.cpu),
        )


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
        behind = f"behind {self.kind}"
        return (
            "configuration", "scenario", "workers", "users", "requests/s, direct", f"requests/s, {behind}",
            "ratio", "p99 ms, direct", f"p99 ms, {behind}", "p99 ratio", "CPU ratio",
        )  # fmt: skip

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
    by = ["configuration", *LOAD]
    sides: list[dict[Any, pd.DataFrame]] = [
        {key: cells.set_index("repeat") for key, cells in every[every["rotated"]].groupby(by, observed=True)}
        for every in (direct, behind)
    ]
    both = sorted(
        sides[0].keys() & sides[1].keys(), key=lambda key: (order.index(key[0]), *map(str, key[1:]))
    )
    found = [_row(key, *(side[key] for side in sides)) for key in both]
    if not found:
        return None
    frame = pd.DataFrame([figures_of for _, figures_of in found], columns=FRAME)
    return ProxyCost(kind, tuple(row for row, _ in found), frame)


def _row(key: tuple[Any, ...], direct: pd.DataFrame, behind: pd.DataFrame) -> tuple[Row, dict[str, object]]:
    """A load as a row, and as numbers; the frames are indexed by sitting."""
    load = dict(zip(LOAD, key[1:], strict=True))
    ratios = {name: compare(behind[column], direct[column]) for name, column in _METRICS.items()}
    means = {
        f"{column}_{side}": mean(cells[column])
        for column in _METRICS.values()
        for side, cells in zip(_SIDES, (direct, behind), strict=True)
    }
    row = Row(
        key[0],
        str(load["scenario"]),
        workers_of(load["workers"]),
        int(load["users"]),
        (
            (means["throughput_direct"], means["p99_us_direct"]),
            (means["throughput_behind"], means["p99_us_behind"]),
        ),
        **{name: Value.of(ratio) for name, ratio in ratios.items()},
    )
    bounds = {
        f"{name}_ratio{end}": value
        for name, ratio in ratios.items()
        for end, value in (("", ratio.ratio), ("_low", ratio.low), ("_high", ratio.high))
    }
    return row, {"configuration": key[0], **load, "sittings": ratios["throughput"].rounds, **means, **bounds}
