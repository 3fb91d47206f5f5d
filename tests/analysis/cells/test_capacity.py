import math

import pandas as pd
import pytest

from analysis.cells.capacity import capacity, last_attempts, searches, uncertainty
from analysis.cells.summary import summarise
from analysis.reading import results
from tests.fixtures.imagined import IDLE, SERVERS, SIGMA
from tests.fixtures.make_run import Search


def found(folder):
    return searches(summarise(results.load(folder)))


def step(rate, **changes):
    """A step of a search that keeps its limit of 10 ms, unless changed."""
    kept = {
        "configuration": "sanic", "scenario": "index", "workers": 1, "arrivals": "poisson", "users": 256,
        "treatment": "none", "search_p99_ms": 10.0, "search_attempt": 1, "repeat": 1,
        "rate_per_s": float(rate), "schedule_p99_us": 9_000.0, "schedule_max_us": 20_000.0,
        "late_p99_us": 50.0, "late_max_us": 90.0, "achieved": 1.0, "error_rate": 0.0,
    }  # fmt: skip
    return kept | changes


BROKEN = {"schedule_p99_us": 11_000.0}


def answer(*steps):
    (row,) = searches(pd.DataFrame(list(steps))).to_dict("records")
    return row


def test_the_search_finds_the_rate_that_the_arithmetic_gives(run):
    """p99 = IDLE x CPU x e^(2.33 SIGMA) / (1 - rate / capacity) is 1 ms at one rate only."""
    folder = run(scenarios={}, searches={"index": Search(1.0, resolution=0.05)}, noise=0, repeats=2)
    for name, group in found(folder).groupby("configuration"):
        cpu_us = SERVERS[str(name)].cpu_us
        exact = 0.985e6 / cpu_us * (1 - IDLE * cpu_us * math.exp(2.3263 * SIGMA) / 1000)
        assert (group["rate_per_s"] <= exact * 1.001).all() and (group["bound_per_s"] >= exact * 0.999).all()
        assert (group["bound_per_s"] / group["rate_per_s"] <= 1.051).all()
        assert group["repeat"].tolist() == [1, 2] and not group["at_least"].any()


def test_the_highest_rate_kept_below_the_lowest_broken_counts():
    row = answer(step(1000), step(2000), step(4000, **BROKEN), step(3000, **BROKEN), step(3500))
    assert (row["rate_per_s"], row["bound_per_s"], row["at_least"], row["steps"]) == (2000, 3000, False, 5)


@pytest.mark.parametrize(
    "changes",
    [
        BROKEN,
        {"schedule_p99_us": math.nan},  # too few requests: the largest time decides
        {"achieved": 0.989},
        {"achieved": math.nan},
        {"error_rate": 0.0011},
    ],
)
def test_what_breaks_the_limit(changes):
    row = answer(step(1000), step(2000, **changes))
    assert (row["rate_per_s"], row["bound_per_s"], row["at_least"]) == (1000, 2000, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule_p99_us": 10_000.0, "achieved": 0.99, "error_rate": 0.001},
        {"schedule_p99_us": math.nan, "schedule_max_us": 9_999.0},
    ],
)
def test_the_limits_themselves_are_kept(changes):
    row = answer(step(1000, **changes))
    assert row["rate_per_s"] == 1000 and row["at_least"] and math.isnan(row["bound_per_s"])


def test_a_generator_that_was_late_makes_it_a_lower_bound():
    late = {"schedule_p99_us": 12_000.0, "late_p99_us": 2_600.0}
    row = answer(step(1000), step(2000, **late))
    assert (row["rate_per_s"], row["bound_per_s"], row["at_least"]) == (1000, 2000, True)
    # Its lateness does not explain this.
    assert not answer(step(1000), step(2000, **late | {"schedule_p99_us": 13_000.0}))["at_least"]


def test_the_last_attempt_at_a_rate_stands():
    late = {"schedule_p99_us": 12_000.0, "late_p99_us": 2_600.0}
    again = step(2000, **BROKEN, search_attempt=2)
    row = answer(step(1000), step(2000, **late), again)
    assert (row["rate_per_s"], row["bound_per_s"], row["at_least"], row["steps"]) == (1000, 2000, False, 2)
    # In every repeat, and for every configuration, by itself.
    others = [step(2000, **late, repeat=2), step(2000, **late, configuration="uvicorn")]
    cells = pd.DataFrame([step(1000), step(2000, **late), again, *others])
    assert last_attempts(cells).index.tolist() == [0, 2, 3, 4]


def test_a_generator_that_was_late_at_once_says_nothing_of_the_server():
    row = answer(step(1000, schedule_p99_us=12_000.0, late_p99_us=2_600.0))
    assert math.isnan(row["rate_per_s"]) and row["at_least"]


def test_nothing_kept_is_no_rate():
    row = answer(step(1000, **BROKEN))
    assert math.isnan(row["rate_per_s"]) and not row["at_least"]
    (over,) = capacity(searches(pd.DataFrame([step(1000, **BROKEN), step(1000, repeat=2)]))).to_dict(
        "records"
    )
    assert math.isnan(over["rate_per_s"]) and over["repeats"] == 2


def test_repeats_give_an_interval_and_blocks_a_rank(run):
    folder = run(
        configurations=("sanic", "uvicorn", "gunicorn-uvicorn-worker"),
        scenarios={},
        searches={"index": Search(1.0, resolution=0.1)},
    )
    over = capacity(found(folder)).set_index("configuration")
    assert over["rank"].to_dict() == {"sanic": 1, "uvicorn": 2, "gunicorn-uvicorn-worker": 2}
    row = over.loc["sanic"]
    assert row["repeats"] == 3 and row["rate_per_s_low"] <= row["rate_per_s"] <= row["rate_per_s_high"]


def searched(rates, bound=1.1):
    """Answers of searches: configuration -> rates by repeat, brackets of a tenth."""
    by = {"scenario": "index", "workers": 1, "arrivals": "constant", "users": 256, "p99_ms": 10.0}
    return pd.DataFrame(
        [
            {"configuration": name, **by, "repeat": repeat, "steps": 5, "rate_per_s": rate,
             "bound_per_s": rate * bound, "at_least": bound != bound}
            for name, each in rates.items()
            for repeat, rate in enumerate(each, 1)
        ]
    )  # fmt: skip


def test_what_lies_within_the_bracket_of_the_search_ties():
    near = searched({"a": [1050.0] * 3, "b": [1000.0] * 3})
    assert uncertainty(near) == pytest.approx(1.1)
    assert capacity(near)["rank"].tolist() == [1, 1]
    far = searched({"a": [1250.0] * 3, "b": [1000.0] * 3})
    assert capacity(far)["rank"].tolist() == [1, 2]


def test_a_lower_bound_ranks_nothing():
    over = capacity(pd.concat([searched({"a": [9000.0] * 3}, bound=math.nan), searched({"b": [1000.0] * 3})]))
    assert over["at_least"].tolist() == [True, False]
    assert over["rank"].isna().tolist() == [True, False]


def test_a_run_without_searches_has_empty_tables(analysed):
    assert analysed.searches.empty and analysed.capacity.empty
    assert {"rate_per_s", "at_least", "rank"} <= set(analysed.capacity.columns)
