"""What the searches of a run found: the highest arrival rate at which a server keeps its p99 within a limit.

The rule is that of the search itself (`bench.model.search`), applied to the CSV files instead of to what the
generator said at the time.
"""

from collections.abc import Iterator
from math import nan
from typing import Any

import pandas as pd

from analysis.cells.summary import OPEN_LOAD
from bench.model import search
from bench.stats.comparison import MATERIAL, Field, interval

# What a search looked for; its answer is a rate for each configuration.
SEARCH = ["scenario", "workers", "arrivals", "users", "p99_ms"]


def searches(summary: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration, search (`SEARCH`) and repeat.

    `rate_per_s` is the highest rate that was kept below the lowest that was not, NaN if there is none;
    `bound_per_s` is that lowest rate, NaN if every step kept the limit; `at_least` says that the rate is a
    lower bound, because no step broke the limit or because the generator was late at the bound (then a NaN
    says nothing of the server). `steps` counts the rates that were measured; of each the last attempt stands.
    """
    steps = last_attempts(summary[summary["search_p99_ms"].notna()])
    steps = steps.rename(columns={"search_p99_ms": "p99_ms"})
    by = ["configuration", *SEARCH, "repeat"]
    columns = [*by, "steps", "rate_per_s", "bound_per_s", "at_least"]
    rows = [
        dict(zip(by, key, strict=True)) | _found(group) for key, group in steps.groupby(by, observed=True)
    ]
    return pd.DataFrame(rows, columns=columns)


def last_attempts(summary: pd.DataFrame) -> pd.DataFrame:
    """The cells without those steps of searches that were taken again, as the generator was late in them."""
    step = ["configuration", *OPEN_LOAD, "search_p99_ms", "repeat"]
    # Cells that are no steps are in no group, and have no last attempt to come before.
    last = summary.groupby(step, observed=True)["search_attempt"].transform("max")
    return summary[~(summary["search_attempt"] < last)]


def capacity(found: pd.DataFrame) -> pd.DataFrame:
    """One row per configuration and search (`SEARCH`) over the repeats of `found`, which `searches` gave.

    `rate_per_s` is the geometric mean with its interval `rate_per_s_low` and `rate_per_s_high`, NaN where a
    repeat found no rate; `at_least` where that of any repeat is a lower bound. `rank` compares within
    repeats as everywhere (`comparison.rank`), with `uncertainty` for what is certain, and is missing where
    the rate is a lower bound or unknown.
    """
    by = ["configuration", *SEARCH]
    ranks = _ranks(found)
    rows = []
    for key, group in found.groupby(by, observed=True):
        row: dict[str, Any] = dict(zip(by, key, strict=True))
        row["repeats"] = len(group)
        row["rate_per_s"], row["rate_per_s_low"], row["rate_per_s_high"] = interval(group["rate_per_s"])
        row["at_least"] = bool(group["at_least"].any())
        row["rank"] = ranks.get(key, pd.NA)
        rows.append(row)
    columns = [*by, "repeats", "rate_per_s", "rate_per_s_low", "rate_per_s_high", "at_least", "rank"]
    return pd.DataFrame(rows, columns=columns).astype({"rank": "Int64"})


def uncertainty(found: pd.DataFrame) -> float:
    """The factor by which rates of `found` must differ to be different.

    A search knows its answer no better than the bracket it ended with, and repeats that end with the same
    bracket agree to the last digit without being that certain.
    """
    brackets = (found["bound_per_s"] / found["rate_per_s"]).dropna()
    return float(max([MATERIAL, *brackets]))


def _found(steps: pd.DataFrame) -> dict[str, Any]:
    """The answer of one search in one repeat."""
    found = search.found(list(_steps(steps)))
    return {
        "steps": len(steps),
        "rate_per_s": nan if found.rate_per_s is None else found.rate_per_s,
        "bound_per_s": nan if found.bound_per_s is None else found.bound_per_s,
        "at_least": found.at_least,
    }


def _steps(steps: pd.DataFrame) -> Iterator[search.Step]:
    """The steps with what each showed."""
    columns = (
        steps["rate_per_s"],
        steps["p99_ms"] * 1000,
        steps["schedule_p99_us"].fillna(steps["schedule_max_us"]),
        steps["late_p99_us"].fillna(steps["late_max_us"]),
        steps["achieved"],
        steps["error_rate"],
    )
    for rate, *measured in zip(*columns, strict=True):
        yield search.Step(float(rate), search.verdict(*measured))


def _ranks(found: pd.DataFrame) -> dict[Any, Any]:
    """The rank of every configuration and search whose rates are no lower bounds."""
    ranks: dict[Any, Any] = {}
    for key, group in found.groupby(SEARCH, observed=True):
        bounded = group.groupby("configuration")["at_least"].transform("any")
        sound = group[~bounded & group["rate_per_s"].notna()]
        values = sound.pivot(index="repeat", columns="configuration", values="rate_per_s")
        places = Field(values).rank(higher_is_better=True, margin=uncertainty(sound))
        ranks |= {(name, *key): place for name, place in places.items()}
    return ranks
