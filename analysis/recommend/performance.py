"""What the loops of a run show of performance, memory and tail, as plain values."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from analysis.cells.rotation import valued
from analysis.findings.open_loop import REACHED
from analysis.rankings.ranking import Ranking
from analysis.recommend.evidence import Performance
from analysis.study import Study
from analysis.words import MIB
from bench.model.thresholds import ERROR_RATE

_LOAD = ["arrivals", "rate_per_s", "users"]


def delivered(study: Study, aliases: Collection[str]) -> Iterator[Performance]:
    """The ranking tables of the run, in the values that each repeat gave them."""
    closed = study.summary[study.summary["load_kind"] == "closed"]
    for table in study.verdict.tables:
        yield _of_table(table, table.of(closed), aliases)


def weighed(study: Study, aliases: Collection[str]) -> Iterator[Performance]:
    """The same by memory: the highest PSS of all processes of a server in each repeat."""
    for table, found in zip(study.verdict.tables, delivered(study, aliases), strict=True):
        cells = table.of(study.summary[study.summary["load_kind"] == "closed"])
        values = _values(_wide(cells, "pss_bytes"), list(found.values), "pss_bytes")
        yield replace(found, metric="MiB", values=values, manners=())


def tails(study: Study, aliases: Collection[str]) -> Iterator[Performance]:
    """For each scenario and number of workers the p99 from the schedule, where no worker was replaced.

    Of several loads that decides which most configurations kept up with, of these the highest rate. The
    others have no figure there, as latency says how long was measured.
    """
    rates = study.rates[(study.rates["treatment"] == "none") & ~study.rates["configuration"].isin(aliases)]
    rates = rates.assign(kept_up=(rates["achieved"] >= REACHED) & (rates["error_rate"] <= ERROR_RATE))
    for (scenario, workers), loads in rates.groupby(["scenario", "workers"], observed=True):
        counts = loads.groupby(_LOAD, observed=True)["kept_up"].sum()
        if not counts.any():
            continue
        arrivals, rate, users = max(counts.index, key=lambda load: (counts[load], load[1]))
        at = {"arrivals": arrivals, "rate_per_s": rate, "users": users}
        rungs = _at(loads, at).set_index("configuration")
        names = [str(name) for name in rungs.index[rungs["kept_up"]]]
        cells = study.summary[study.summary["search_p99_ms"].isna() & (study.summary["treatment"] == "none")]
        mine = _at(cells, {"scenario": scenario, "workers": workers, **at})
        yield Performance(
            scenario=str(scenario),
            workers=int(str(workers)),
            users=int(users),
            metric="ms",
            values=_values(_wide(mine, "schedule_p99_us"), names, "schedule_p99_us"),
            left_out={
                str(name): f"it did not keep up with {rate:,.0f} requests/s in {scenario}"
                for name in rungs.index[~rungs["kept_up"]]
            },
            rate_per_s=float(rate),
        )


def _of_table(table: Ranking, cells: pd.DataFrame, aliases: Collection[str]) -> Performance:
    """By throughput where it is the server's own throughout, else by CPU per request, which always is."""
    rows = [row for row in table.rows if row.configuration not in aliases]
    sound = [row for row in rows if not row.error_rate > ERROR_RATE]
    saturated = table.metric == "throughput" and all(row.saturated for row in sound)
    metric = "throughput" if saturated else "cpu_us"
    names = [row.configuration for row in sound]
    frames = valued(cells[cells["configuration"].isin(names)], metric)
    manners = tuple(_values(frame, names, metric) for frame in frames) if len(frames) > 1 else ()
    assert not isinstance(table.workers, str)  # external servers are no candidates (`selection.judge`)
    return Performance(
        scenario=table.scenario,
        workers=table.workers,
        users=table.users,
        metric="second" if saturated else "CPU-second",
        values=_values(_wide(cells, metric), names, metric),
        left_out={
            row.configuration: f"{row.error_rate:.2%} of its requests failed in {table.scenario}"
            for row in rows
            if row not in sound
        },
        manners=manners,
    )


def _at(cells: pd.DataFrame, load: Mapping[str, object]) -> pd.DataFrame:
    """The rows of one load."""
    return cells[pd.concat([cells[key] == value for key, value in load.items()], axis=1).all(axis=1)]


def _wide(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row for each repeat, a column for each configuration."""
    return cells.pivot(index="repeat", columns="configuration", values=metric)


def _values(frame: pd.DataFrame, names: Sequence[str], metric: str) -> dict[str, dict[int, float]]:
    """A metric of each configuration in each repeat that tells it, in the units of `Performance.values`."""
    units = {"throughput": frame, "pss_bytes": frame / MIB, "schedule_p99_us": frame / 1e3}
    known = units.get(metric, 1e6 / frame)
    return {
        name: {int(str(repeat)): float(each) for repeat, each in known[name].dropna().items()}
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
