"""What the closed loops of a run show of performance, as plain values."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.ranking import Table
from analysis.recommend.evidence import Performance
from analysis.rotation import valued
from analysis.study import Study
from bench.model.thresholds import ERROR_RATE


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
    metric = "throughput" if saturated else "cpu_us"
    names = [row.configuration for row in sound]
    frames = valued(cells[cells["configuration"].isin(names)], metric)
    manners = tuple(_values(frame, names, metric) for frame in frames) if len(frames) > 1 else ()
    whole = cells.pivot(index="repeat", columns="configuration", values=metric)
    assert not isinstance(table.workers, str)  # external servers are no candidates (`selection.judge`)
    return Performance(
        scenario=table.scenario,
        workers=table.workers,
        users=table.users,
        metric="second" if saturated else "CPU-second",
        values=_values(whole, names, metric),
        left_out={
            row.configuration: f"{row.error_rate:.2%} of its requests failed in {table.scenario}"
            for row in rows
            if row not in sound
        },
        manners=manners,
    )


def _values(frame: pd.DataFrame, names: Sequence[str], metric: str) -> dict[str, dict[int, float]]:
    """What each configuration delivered in each repeat that tells it: requests, per second or CPU-second."""
    delivered = frame if metric == "throughput" else 1e6 / frame
    return {
        name: {int(str(repeat)): float(each) for repeat, each in delivered[name].dropna().items()}
        for name in names
    }


def with_variants(tables: Sequence[Performance], bases: Mapping[str, str]) -> tuple[Performance, ...]:
    """Rankings in which each variant that no table has gets what was measured of its base."""
    ranked = {name for table in tables for name in (*table.values, *table.left_out)}
    absent = {name: base for name, base in bases.items() if name not in ranked}
    return tuple(_with_variants(table, absent) for table in tables)


def _with_variants(table: Performance, bases: Mapping[str, str]) -> Performance:
    values = _copied(table.values, bases)
    left_out = {name: table.left_out[base] for name, base in bases.items() if base in table.left_out}
    return replace(
        table,
        values={**table.values, **values},
        left_out={**table.left_out, **left_out},
        manners=tuple({**each, **_copied(each, bases)} for each in table.manners),
    )


def _copied(
    values: Mapping[str, Mapping[int, float]], bases: Mapping[str, str]
) -> dict[str, Mapping[int, float]]:
    return {name: values[base] for name, base in bases.items() if base in values}
