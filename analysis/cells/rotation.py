"""The slices of rotated cells: which of them count, and what a cell comes to in those.

Within a sitting the figures are ratios of sums over its slices, as a garbage collection of 100 ms is in one
slice or in none, but its debt carries over. Slices are never treated as independent: the unit is the sitting.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import pandas as pd

from analysis.reading.results import Results
from analysis.words import Value
from bench.stats.comparison import Field, Ratio

# An edge further off the timetable than this share of its window, or by as many seconds, whichever is more,
# is that of a machine that stood still, or of a clock that jumped.
OFF_SHARE = 0.5
OFF_S = 0.1
# How the generator may wait, in the order of the columns.
MANNERS = ("polls", "sleeps")
# What is summed over slices.
_SUMMED = [
    "requests", "failures", "opened", "cpu_s", "idle_cpu_s", "generator_s", "steal_s",
]  # fmt: skip


def off_timetable(slices: pd.DataFrame) -> pd.Series:
    """Whether an edge of each slice is nowhere near where the timetable has it, or it is no time at all."""
    planned_s = slices["planned_end"] - slices["planned_start"]
    limit = (OFF_SHARE * planned_s).clip(lower=OFF_S)
    off = pd.concat([(slices[edge] - slices[f"planned_{edge}"]).abs() for edge in ("start", "end")], axis=1)
    seconds = slices["end"] - slices["start"]
    return (off.max(axis=1) > limit) | ~(seconds > 0) | ((seconds - planned_s).abs() > OFF_SHARE * planned_s)


def spoiled(slices: pd.DataFrame) -> pd.Series:
    """Whether requests of the slice before were in flight when each slice began."""
    return slices["in_flight"] > 0


def missed(slices: pd.DataFrame) -> pd.Series:
    """Whether a process of the generator came too late for each slice, which had fewer users then."""
    return slices["absent"] > 0


def good(slices: pd.DataFrame) -> pd.DataFrame:
    """The slices that count, with their `seconds`."""
    counted = slices[~(spoiled(slices) | off_timetable(slices) | missed(slices))]
    return counted.assign(seconds=counted["end"] - counted["start"])


def sums(results: Results) -> pd.DataFrame:
    """What the good slices of each rotated cell come to, by its number.

    `slices` counts them, `seconds` is how long they were; `metered_requests` and `metered_s` are those of
    slices of which the CPU time of the server is known. `begun_s` is how long all slices were, good or not,
    where users were absent by the share that was there: latencies are of requests that were begun in any. The
    rest are sums of columns of slices.csv, NaN where every slice lacks it. A cell without a good slice has
    zeros.
    """
    slices = results.slices
    summed = _summed(good(slices), ["cell"]).reindex(_rotated(results))
    there = 1 - slices["absent"] / slices["users"]
    begun_s = (slices["end"] - slices["start"]).clip(lower=0.0) * there
    summed["begun_s"] = begun_s.groupby(slices["cell"]).sum()
    return summed.fillna({"slices": 0, "seconds": 0.0, "requests": 0, "failures": 0, "opened": 0})


def by_manner(results: Results) -> pd.DataFrame:
    """`throughput_<manner>` and `cpu_us_<manner>` of each rotated cell; NaN where it has slices of one alone.

    A cell that was measured in one manner says nothing of the other, and its figures are those of the sums.
    """
    rotated = _rotated(results)
    if rotated.empty:
        columns = [f"{metric}_{manner}" for metric, manner in product(("throughput", "cpu_us"), MANNERS)]
        return pd.DataFrame(columns=columns, index=rotated, dtype=float)
    summed = _summed(good(results.slices), ["cell", "manner"])
    figures = {"throughput": throughput(summed), "cpu_us": cpu_us(summed)}
    manner_of = summed.index.get_level_values("manner")
    both = pd.DataFrame(
        {
            f"{metric}_{manner}": values[manner_of == manner].droplevel("manner")
            for (metric, values), manner in product(figures.items(), MANNERS)
        },
        index=rotated,
    )
    known = both["throughput_polls"].notna() & both["throughput_sleeps"].notna()
    return both.where(known)


def throughput(summed: pd.DataFrame) -> pd.Series:
    """Successes per second; NaN without a good slice."""
    return summed["requests"] / summed["seconds"].where(summed["seconds"] > 0)


def cpu_us(summed: pd.DataFrame) -> pd.Series:
    """CPU time of the server per success in microseconds, where its clocks could be read."""
    requests = summed["metered_requests"]
    return summed["cpu_s"] * 1e6 / requests.where(requests > 0)


def _rotated(results: Results) -> pd.Index:
    finished = results.finished
    return finished.index[finished["rotated"]]


def _summed(slices: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    metered = slices["cpu_s"].notna()
    grouped = slices.assign(
        metered_requests=slices["requests"].where(metered), metered_s=slices["seconds"].where(metered)
    ).groupby(by, observed=True)
    summed: pd.DataFrame = grouped[["seconds", "metered_requests", "metered_s", *_SUMMED]].sum(min_count=1)
    summed.insert(0, "slices", grouped.size())
    return summed


@dataclass(frozen=True)
class Control:
    """A configuration that a rotation measured twice, once under an alias, by what ranks it."""

    alias: str
    original: str
    versus: Ratio

    @property
    def text(self) -> str:
        """What it says, in words."""
        return f"The same server twice ({self.alias} and {self.original}): {Value.of(self.versus).times()}"

    @property
    def different(self) -> bool:
        """Whether the interval excludes 1, although nothing differs."""
        return self.versus.beyond(1)


def controls(cells: pd.DataFrame, metric: str, aliases: Mapping[str, str]) -> Iterator[Control]:
    """The controls among the `cells` of one load, rows of the summary, in the unit of ratios: more is better.

    Left out is one of which fewer than two sittings have both names.
    """
    field = Field(valued(cells, metric))
    for alias, original in aliases.items():
        if alias in field and original in field:
            versus = field.compare(alias, original)
            if not pd.isna(versus.low):
                yield Control(alias, original, versus if metric == "throughput" else versus.inverse)


def valued(cells: pd.DataFrame, metric: str) -> list[pd.DataFrame]:
    """A `metric` of cells of one load, a row per repeat and a column per configuration.

    One frame; or two, a frame for each manner of the generator, where every cell has both.
    """
    return [
        cells.pivot(index="repeat", columns="configuration", values=column)
        for column in columns_of(cells, metric)
    ]


def columns_of(cells: pd.DataFrame, metric: str) -> list[str]:
    """The columns of the summary that have a `metric`: one, or one for each manner where cells have both."""
    columns = [f"{metric}_{manner}" for manner in MANNERS]
    if not len(cells) or not set(columns) <= set(cells.columns):
        return [metric]
    return columns if cells["rotated"].all() and cells[columns].notna().any().all() else [metric]
