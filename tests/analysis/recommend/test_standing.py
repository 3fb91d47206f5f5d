import math
from dataclasses import replace

import pytest

from analysis.recommend.standing import standing
from bench.model.requirements import Requirements
from tests.analysis.recommend.builders import performance

EVEN = [performance({"a": 200, "b": 100}), performance({"a": 100, "b": 300}, "sleep")]


def test_the_score_is_the_weighted_geometric_mean_within_a_repeat():
    found = standing(EVEN, Requirements(weights={"index": 1, "sleep": 3}), 1)
    index, sleep = (each.values["a"] for each in EVEN)
    for repeat in (1, 2, 3):
        assert found.scores["a"][repeat] == pytest.approx((index[repeat] * sleep[repeat] ** 3) ** 0.25)


def test_the_ratio_is_the_weighted_geometric_mean_of_the_ratios():
    found = standing(EVEN, Requirements(weights={"index": 1, "sleep": 3}), 1)
    versus = found.versus("b", "a")
    assert versus.ratio == pytest.approx((0.5 * 3**3) ** 0.25, rel=0.01)
    assert versus.low < versus.ratio < versus.high and versus.rounds == 3


def test_weights_decide_who_is_first():
    for weights, first in (({"index": 1}, "a"), ({"sleep": 1}, "b"), ({}, "b")):
        asked = Requirements(weights=weights)
        places = standing(EVEN, asked, 1).places(["a", "b"], asked.margin)
        assert places == {"a": 1 + (first != "a"), "b": 1 + (first != "b")}


def test_ties_share_a_rank_and_the_margin_makes_more_of_them():
    found = standing([performance({"a": 100, "b": 101, "c": 90})], Requirements(), 1)
    assert found.places(["a", "b", "c"], 0.02) == {"a": 1, "b": 1, "c": 3}
    assert found.places(["a", "b", "c"], 0.2) == {"a": 1, "b": 1, "c": 1}


def test_ranks_count_those_that_pass_only():
    found = standing([performance({"a": 300, "b": 200, "c": 100})], Requirements(), 1)
    assert found.places(["b", "c"], 0.02) == {"b": 1, "c": 2}
    assert found.places([], 0.02) == {} and found.places(["d"], 0.02) == {}


def test_a_scenario_that_counts_and_was_not_measured_ranks_nothing():
    found = standing(EVEN, Requirements(weights={"index": 1, "cpu": 1}), 1)
    assert found.missing == ("cpu",)
    assert found.places(["a", "b"], 0.02) == {} and found.versus("a", "b") is None


def test_who_lacks_a_scenario_has_no_score():
    found = standing([EVEN[0], performance({"b": 1}, "sleep", left_out={"a": "errors"})], Requirements(), 1)
    assert list(found.scores) == ["b"] and found.left_out == {"a": "errors"}


def test_one_repeat_and_nothing_served_have_no_rank():
    table = performance({"a": 100, "b": 100})
    table.values["a"].pop(1), table.values["a"].pop(2)
    table.values["b"][1] = 0.0
    found = standing([table], Requirements(), 1)
    assert found.places(["a", "b"], 0.02) == {}
    assert not math.isnan(found.merit("a"))


@pytest.mark.parametrize(
    "workers, asked, cpus, chosen",
    [
        ([1, 2], None, 1, 1),
        ([1, 2, 4], None, 2, 2),
        ([1, 2], 2, 1, 2),
        ([1, 2], 8, 2, 2),
        ([4, 8], None, 2, 4),
    ],
)
def test_one_number_of_workers_counts(workers, asked, cpus, chosen):
    tables = [performance({"a": 1}, workers=each) for each in workers]
    assert standing(tables, Requirements(workers=asked), cpus).performance[0].workers == chosen


def test_what_is_compared_is_said():
    found = standing(EVEN, Requirements(weights={"index": 1, "sleep": 3}), 1)
    assert (found.what, found.where) == ("requests per second", "index (1) and sleep (3)")
    assert standing(EVEN, Requirements(), 1).where == "index and sleep"
    many = [performance({"a": 1}, name) for name in "abcde"]
    assert standing(many, Requirements(), 1).where == "all 5 scenarios"
    weighed = Requirements(weights=dict(zip("abcde", (2, 1, 1, 1, 1), strict=True)))
    assert standing(many, weighed, 1).where.startswith("a (2), b (1), ")
    mixed = [EVEN[0], performance({"a": 1}, "sleep", metric="CPU-second")]
    assert standing(mixed, Requirements(), 1).what == "requests"
    assert "sleep: requests per CPU-second at 64 users" in standing(mixed, Requirements(), 1).method
    assert standing([], Requirements(), None).method.startswith("Nothing is ranked")


@pytest.mark.parametrize(("first", "metric", "noun"), [("memory", "MiB", "memory"), ("tail", "ms", "p99")])
def test_of_memory_and_tail_less_is_better(first, metric, noun):
    table = performance({"a": 60, "b": 40, "c": 40.2}, metric=metric)
    found = standing([table], Requirements(first=first), 1)
    assert found.places(["a", "b", "c"], 0.02) == {"a": 3, "b": 1, "c": 1}
    assert found.versus("a", "b").ratio == pytest.approx(1.5, rel=0.01)
    assert found.merit("b") > found.merit("a") > found.merit("nobody") == 0
    assert (found.what, found.noun) == (noun, noun)
    assert f"index: {metric} at 64 users, 1 worker" in found.method or metric == "ms"


def test_what_holds_in_one_manner_of_the_generator_alone_is_a_tie():
    polls = performance({"sanic": 100, "uvicorn": 100})
    sleeps = performance({"sanic": 150, "uvicorn": 100})
    both = replace(performance({"sanic": 125, "uvicorn": 100}), manners=(polls.values, sleeps.values))
    names = ["sanic", "uvicorn"]
    stands = standing([both], Requirements(), 1)
    assert stands.places(names, 0.02) == {"sanic": 1, "uvicorn": 1}
    versus = stands.versus("sanic", "uvicorn")
    assert versus.low < 1.02 and versus.high > 1.45
    assert standing([sleeps], Requirements(), 1).places(names, 0.02) == {"sanic": 1, "uvicorn": 2}
    # A scenario that was measured in one manner counts in both.
    agreed = standing([both, performance({"sanic": 150, "uvicorn": 100}, "sleep")], Requirements(), 1)
    assert agreed.places(names, 0.02) == {"sanic": 1, "uvicorn": 2}
    assert agreed.versus("sanic", "uvicorn").low == pytest.approx(1.5**0.5, rel=0.03)
