"""Closed loops on two sides that were measured side by side: both figures of each load, and their ratios."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd

from analysis.cells.summary import LOAD
from analysis.table import Cell, TableRow, measured, number, words
from analysis.words import Value, Workers, workers_of
from bench.stats.comparison import compare, mean

# What is compared, by the columns of the summary.
_METRICS = {"throughput": "throughput", "p99": "p99_us", "cpu": "cpu_us"}


@dataclass(frozen=True)
class SidesRow(TableRow):
    """A configuration under a closed load; `sides` are throughput and p99 (µs) of the one and the other.

    `throughput`, `p99` and `cpu` are ratios, of the other to the one.
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
        (rate, p99_us), (other_rate, other_p99_us) = self.sides
        workers = words(self.workers) if isinstance(self.workers, str) else number(self.workers)
        return (
            words(self.configuration),
            words(self.scenario),
            workers,
            number(self.users),
            measured(Value(rate)),
            measured(Value(other_rate)),
            measured(self.throughput),
            measured(Value(p99_us), scale=1e-3),
            measured(Value(other_p99_us), scale=1e-3),
            measured(self.p99),
            measured(self.cpu),
        )


def heads(one: str, other: str) -> tuple[str, ...]:
    """The heads of what `SidesRow.cells` gives."""
    return (
        "configuration", "scenario", "workers", "users", f"requests/s, {one}", f"requests/s, {other}",
        "ratio", f"p99 ms, {one}", f"p99 ms, {other}", "p99 ratio", "CPU ratio",
    )  # fmt: skip


def frame_of(one: str, other: str) -> list[str]:
    """The columns of what `sides` gives: geometric means over the sittings, and ratios, other to one.

    Ratios have their 95 % intervals over the sittings. CPU time is the server's, per request.
    """
    return [
        "configuration", *LOAD, "sittings",
        *(f"{name}_{side}" for name, side in product(_METRICS.values(), (one, other))),
        *(f"{name}_ratio{end}" for name, end in product(_METRICS, ("", "_low", "_high"))),
    ]  # fmt: skip


def sides(
    one: pd.DataFrame, other: pd.DataFrame, names: tuple[str, str], order: Sequence[str]
) -> tuple[tuple[SidesRow, ...], pd.DataFrame]:
    """Each load that was rotated on both sides as a row, and as numbers in the columns of `frame_of`.

    `one` and `other` are summaries in which the same configuration has one name; `order` has all of these.
    """
    by = ["configuration", *LOAD]
    cells: list[dict[Any, pd.DataFrame]] = [
        {key: rows.set_index("repeat") for key, rows in every[every["rotated"]].groupby(by, observed=True)}
        for every in (one, other)
    ]
    both = sorted(
        cells[0].keys() & cells[1].keys(), key=lambda key: (order.index(key[0]), *map(str, key[1:]))
    )
    found = [_row(key, names, *(side[key] for side in cells)) for key in both]
    frame = pd.DataFrame([numbers for _, numbers in found], columns=frame_of(*names))
    return tuple(row for row, _ in found), frame


def _row(
    key: tuple[Any, ...], names: tuple[str, str], one: pd.DataFrame, other: pd.DataFrame
) -> tuple[SidesRow, dict[str, object]]:
    """A load as a row, and as numbers; the frames are indexed by sitting."""
    load = dict(zip(LOAD, key[1:], strict=True))
    ratios = {name: compare(other[column], one[column]) for name, column in _METRICS.items()}
    means = {
        f"{column}_{side}": mean(cells[column])
        for column in _METRICS.values()
        for side, cells in zip(names, (one, other), strict=True)
    }
    rates, tails = ([means[f"{column}_{side}"] for side in names] for column in ("throughput", "p99_us"))
    row = SidesRow(
        key[0],
        str(load["scenario"]),
        workers_of(load["workers"]),
        int(load["users"]),
        ((rates[0], tails[0]), (rates[1], tails[1])),
        **{name: Value.of(ratio) for name, ratio in ratios.items()},
    )
    bounds = {
        f"{name}_ratio{end}": value
        for name, ratio in ratios.items()
        for end, value in (("", ratio.ratio), ("_low", ratio.low), ("_high", ratio.high))
    }
    return row, {"configuration": key[0], **load, "sittings": ratios["throughput"].rounds, **means, **bounds}
