"""What configurations delivered in the closed loops of a run, in the values that a verdict ranks them by."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.checks.limits import ERROR_RATE
from analysis.ranking import Table
from analysis.study import Study
from analysis.verdicts.evidence import Performance


def delivered(study: Study, aliases: Collection[str]) -> Iterator[Performance]:
    """The ranking tables of the run, in the values that each repeat gave them."""
    closed = study.summary[study.summary["load_kind"] == "closed"]
    for table in study.verdict.tables:
        yield _of_table(table, table.of(closed), aliases)


def _of_table(table: Table, cells: pd.DataFrame, aliases: Collection[str]) -> Performance:
    """By throughput where it is the server's own throughout, else by CPU per request, which always is."""
    rows = [row for row in table.rows if row.configuration not in aliases]
    sound = [row for row in rows if not row.error_rate > ERROR_RATE]
    saturated = table.metric == "throughput" and all(row.saturated for row in sound)
    delivered = cells["throughput"] if saturated else 1e6 / cells["cpu_us"]
    values: dict[str, dict[int, float]] = {}
    for row in sound:
        mine = delivered[cells["configuration"] == row.configuration].dropna()
        repeats = cells.loc[mine.index, "repeat"]
        values[row.configuration] = {
            int(repeat): float(each) for repeat, each in zip(repeats, mine, strict=True)
        }
    assert not isinstance(table.workers, str)  # external servers are no candidates (`selection.judge`)
    return Performance(
        scenario=table.scenario,
        workers=table.workers,
        users=table.users,
        metric="second" if saturated else "CPU-second",
        values=values,
        left_out={
            row.configuration: f"{row.error_rate:.2%} of its requests failed in {table.scenario}"
            for row in rows
            if row not in sound
        },
    )


def with_variants(tables: Sequence[Performance], bases: Mapping[str, str]) -> tuple[Performance, ...]:
    """Rankings in which each variant that no table has gets what was measured of its base."""
    ranked = {name for table in tables for name in (*table.values, *table.left_out)}
    absent = {name: base for name, base in bases.items() if name not in ranked}
    return tuple(_with_variants(table, absent) for table in tables)


def _with_variants(table: Performance, bases: Mapping[str, str]) -> Performance:
    values = {name: table.values[base] for name, base in bases.items() if base in table.values}
    left_out = {name: table.left_out[base] for name, base in bases.items() if base in table.left_out}
    return replace(table, values={**table.values, **values}, left_out={**table.left_out, **left_out})
