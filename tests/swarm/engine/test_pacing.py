"""Schedules: when arrivals are due, and what the shares of several processes come to together."""

from __future__ import annotations

from itertools import chain, islice
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm import Arrivals
from swarm.engine.clock import NEVER
from swarm.engine.openloop import BLOCK, OpenLoop, OpenLoops, Schedule, Share


def due(arrivals, count, share=Share()):  # noqa: B008  # frozen
    return list(islice(chain.from_iterable(block.tolist() for block in arrivals.due(share)), count))


def test_constant_arrivals_are_evenly_spaced_from_the_start():
    assert due(Arrivals(1000), 3 * BLOCK) == [n * 1_000_000 for n in range(3 * BLOCK)]


@given(
    st.floats(min_value=0.01, max_value=1e6),
    st.integers(min_value=1, max_value=7),
    st.integers(min_value=BLOCK, max_value=3 * BLOCK),
)
def test_the_shares_of_constant_arrivals_are_the_schedule(rate, processes, count):
    arrivals = Arrivals(rate)
    shares = [due(arrivals, count, Share(number, processes)) for number in range(processes)]
    assert [time for times in zip(*shares, strict=True) for time in times] == due(arrivals, count * processes)


def test_poisson_gaps_are_exponential():
    times = np.array(due(Arrivals(2000, "poisson", seed=7), 40_000))
    gaps = np.diff(times) / 1e9
    assert gaps.mean() == pytest.approx(1 / 2000, rel=0.02)
    assert gaps.std() == pytest.approx(1 / 2000, rel=0.03)
    in_each_second = np.bincount(times // 100_000_000)[:-1]  # 200 in a tenth, and a variance of as many
    assert in_each_second.var() == pytest.approx(in_each_second.mean(), rel=0.5)


def test_poisson_shares_are_different_and_add_up_to_the_rate():
    arrivals = Arrivals(3000, "poisson", seed=1)
    shares = [np.array(due(arrivals, 20_000, Share(number, 3))) for number in range(3)]
    for share in shares:
        assert share[-1] / 1e9 == pytest.approx(20, rel=0.05)  # a third of the rate each
    assert not np.array_equal(shares[0], shares[1])
    assert np.corrcoef(np.diff(shares[0]), np.diff(shares[1]))[0, 1] == pytest.approx(0, abs=0.05)


def test_the_same_seed_is_the_same_schedule_and_no_seed_another_each_time():
    seeded, other = Arrivals(100, "poisson", seed=5), Arrivals(100, "poisson", seed=6)
    assert due(seeded, 50) == due(seeded, 50) != due(other, 50)
    unseeded = Arrivals(100, "poisson")
    assert due(unseeded, 50) != due(unseeded, 50)


@pytest.mark.parametrize("seed", [3, None])
@pytest.mark.parametrize("kind", ["constant", "poisson"])
def test_a_schedule_counts_what_it_gives_out(kind, seed):
    start = 5_000_000_000
    schedule = Schedule(Arrivals(1000, kind, seed), Share(1, 2), start)
    times = [schedule.next_due() for _ in range(3 * BLOCK)]
    assert times == sorted(times)
    assert schedule.due_by(0) == schedule.due_by(times[0] - 1) == 0
    for number in (0, 1, BLOCK - 1, BLOCK, 2 * BLOCK + 5):
        assert schedule.due_by(times[number] - 1) <= number
        assert schedule.due_by(times[number]) >= number + 1
    assert schedule.due_by(times[-1]) == 3 * BLOCK


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0,), "above 0"),
        ((-1,), "above 0"),
        ((nan,), "above 0"),
        ((float("inf"),), "above 0"),
        (("3000",), "number"),
        ((True,), "number"),
        ((10, "bursts"), "one of constant, poisson"),
        ((10, "poisson", -1), "negative"),
        ((10, "poisson", 1.5), "whole number"),
    ],
)
def test_what_is_no_schedule_is_refused(arguments, error):
    with pytest.raises((ValueError, TypeError), match=error):
        Arrivals(*arguments)


def test_the_longest_free_serves_the_next_arrival_and_the_rest_wait():
    loop = OpenLoop(Arrivals(10))
    loop.free.update({"first": 1, "second": 2})
    assert loop.due_ns == NEVER
    loop.begin(Share(), 1_000_000_000)
    assert loop.take() == ("first", 1, 1_000_000_000)
    assert loop.take() == ("second", 2, 1_100_000_000)
    assert loop.due_ns == 1_200_000_000
    assert loop.tally(1_350_000_000) == (4, 0, 2)
    loop.finished()
    assert loop.tally(1_350_000_000) == (4, 1, 2)
    loop.end(1_400_000_000)
    assert loop.due_ns == NEVER
    assert loop.tally(9_000_000_000) == (5, 1, 3)


class Searcher:
    arrivals = Arrivals(10)


class Buyer:
    arrivals = Arrivals(20)


class Reader:
    arrivals = None


def test_classes_have_their_own_schedules_unless_one_is_for_all():
    loops = OpenLoops()
    loops.configure(of_all=None, by_class=True)
    assert loops.tally(0) is None
    searchers, buyers = loops.of(Searcher(), 0), loops.of(Buyer(), 0)
    assert searchers is loops.of(Searcher(), 0) is not buyers
    assert loops.of(Reader(), 0) is None
    loops.begin(Share(), 0)
    loops.begin(Share(), 500_000_000)  # a second start changes nothing
    assert loops.tally(1_000_000_000) == (11 + 21, 0, 32)
    assert loops.next_start_ns() == NEVER  # nobody is free
    buyers.free["buyer"] = 0
    assert loops.next_start_ns() == 0

    loops.configure(of_all=Arrivals(5), by_class=False)
    assert loops.of(Searcher(), 0) is loops.of(Reader(), 0) is not None
    loops.configure(of_all=None, by_class=False)
    assert loops.of(Searcher(), 0) is None


def test_a_class_that_comes_later_does_not_find_a_backlog():
    loops = OpenLoops()
    loops.configure(of_all=None, by_class=True)
    loops.begin(Share(), 0)
    loop = loops.of(Searcher(), 60_000_000_000)
    assert loop.due_ns == 60_000_000_000
