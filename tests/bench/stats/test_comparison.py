import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy  # which loads `scipy.stats` when that is used: every process of pytest imports this file

from bench.stats.comparison import (
    PRIOR,
    Field,
    Ratio,
    compare,
    compare_counts,
    compare_unpaired,
    difference,
    interval,
    mean,
)


@pytest.fixture(autouse=True)
def _no_warnings():
    """Whoever reads the report must not be told of SciPy's worries about equal repeats."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_interval_is_students_on_the_logarithms():
    values = [90.0, 100.0, 115.0]
    mean, low, high = interval(values)
    logs = np.log(values)
    expected = scipy.stats.t.interval(0.95, 2, loc=logs.mean(), scale=scipy.stats.sem(logs))
    assert (low, high) == pytest.approx(tuple(np.exp(expected)))
    assert mean == pytest.approx(scipy.stats.gmean(values))


def test_interval_of_too_little():
    assert interval([5.0])[0] == 5 and math.isnan(interval([5.0])[1])
    for values in ([], [1.0, 0.0], [1.0, float("nan")]):
        assert all(math.isnan(part) for part in interval(values))


def test_pairs_cancel_what_a_round_did_to_all():
    mood = pd.Series([1.0, 2.0, 0.5], index=[1, 2, 3])
    versus = compare(mood * 1.3 * [1, 1.01, 0.99], mood)
    assert versus.low < 1.3 < versus.high < 1.35
    assert versus.rounds == 3 and not versus.tie
    # Without the pairs the same numbers tell nothing.
    assert compare(mood * 1.3, mood.set_axis([2, 3, 1])).tie


def test_repeats_only_one_of_them_has_are_left_out():
    one = pd.Series([10.0, 20.0, 30.0], index=[1, 2, 3])
    versus = compare(one, pd.Series([5.0, 10.0], index=[1, 2]))
    assert (versus.ratio, versus.rounds) == (pytest.approx(2), 2)


@pytest.mark.parametrize("low, high, tie", [(1.03, 1.2, False), (1.01, 1.2, True), (0.5, 0.9, False)])
def test_a_tie_is_an_interval_that_reaches_within_two_percent(low, high, tie):
    assert Ratio(1.1, low, high, 3).tie is tie
    assert replace(Ratio(1.1, low, high, 1), low=math.nan, high=math.nan).tie


def test_rank_shares_places_between_ties():
    values = pd.DataFrame(
        {"a": [100, 101, 99], "b": [99, 102, 100], "c": [50, 51, 49.5], "d": [0, 1, 2], "e": [5, None, None]}
    )
    values.index = [1, 2, 3]
    ranks = Field(values).rank(higher_is_better=True)
    assert ranks.dropna().to_dict() == {"a": 1, "b": 1, "c": 3}
    assert ranks.index.tolist() == ["a", "b", "c", "d", "e"]
    assert Field(values).rank(higher_is_better=False)["c"] == 1
    assert Field(values).rank(higher_is_better=False)["a"] == 2


def test_pairs_are_the_paired_t_of_the_book():
    """Jain, The Art of Computer Systems Performance Analysis, 13.4.1: six workloads on two systems."""
    one = [5.4, 16.6, 0.6, 1.4, 0.6, 7.3]
    other = [19.1, 3.5, 3.4, 2.5, 3.6, 1.7]
    versus = compare(pd.Series(np.exp(one)), pd.Series(np.exp(other)))
    # Mean -0.32, standard deviation 9.03, t(0.975; 5) = 2.571.
    assert math.log(versus.ratio) == pytest.approx(-0.32, abs=0.005)
    half = 2.571 * 9.03 / math.sqrt(6)
    assert math.log(versus.low) == pytest.approx(-0.32 - half, abs=0.02)
    assert math.log(versus.high) == pytest.approx(-0.32 + half, abs=0.02)


def _side_by_side(seed, scatter, repeats=5):
    """Configurations that all scatter about their repeats' machine, by so much each; a column each."""
    chance = np.random.default_rng(seed)
    machine = chance.normal(0, 0.3, repeats)
    return pd.DataFrame(
        {
            name: np.exp(machine + chance.normal(place / 10, width, repeats))
            for place, (name, width) in enumerate(scatter.items())
        },
        index=range(1, repeats + 1),
    )


def _grubbs(logs):
    """The variances of Grubbs' estimators for several instruments, of the variances of their differences."""
    count = logs.shape[1]
    apart = np.array([[(one - other).var(ddof=1) for other in logs.T] for one in logs.T])
    return (apart.sum(axis=1) - apart.sum() / 2 / (count - 1)) / (count - 2)


def test_many_side_by_side_moderate_their_scatter():
    """Against the books: Grubbs' variances, Smyth's moderated ones, Satterthwaite's degrees of freedom."""
    values = _side_by_side(1, {name: 0.02 + place / 100 for place, name in enumerate("abcdefgh")})
    logs = np.log(values).to_numpy()
    left = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0) + logs.mean()
    of_all = (left**2).sum() / (4 * 7)
    freedom = 4 * 7 / 9
    own, share = np.maximum(_grubbs(logs), 0), freedom / (PRIOR + freedom)
    weights = np.full(8, 2 * (1 - share) / 8)
    weights[[2, 0]] += share
    variance = 2 * (1 - share) * of_all + share * own[[2, 0]].sum()
    known = variance**2 / ((weights * own) ** 2 / freedom).sum()
    half = scipy.stats.t.ppf(0.975, known) * math.sqrt(variance / 5)
    versus = Field(values).compare("c", "a")
    assert math.log(versus.ratio) == pytest.approx(logs[:, 2].mean() - logs[:, 0].mean())
    assert math.log(versus.high / versus.ratio) == pytest.approx(half)
    assert math.log(versus.ratio / versus.low) == pytest.approx(half)
    assert versus.rounds == 5


def test_the_variances_of_three_add_up_to_those_of_their_pairs():
    logs = np.log(_side_by_side(1, dict.fromkeys("abc", 0.05)).to_numpy())
    assert _grubbs(logs)[:2].sum() == pytest.approx((logs[:, 0] - logs[:, 1]).var(ddof=1))


@pytest.mark.parametrize("names", ["ab", "abcde"])
def test_a_pair_among_few_has_its_own_scatter(names):
    values = _side_by_side(2, dict.fromkeys(names, 0.05))
    assert Field(values).compare("a", "b") == compare(values["a"], values["b"])


def test_one_that_scatters_more_than_the_rest_answers_for_itself():
    values = _side_by_side(3, dict.fromkeys("abcdefgh", 0.02) | {"wild": 0.5})
    field = Field(values)

    def width(one, other):
        versus = field.compare(one, other)
        return math.log(versus.high / versus.low)

    alone = compare(values["wild"], values["a"])
    assert 0.7 < width("wild", "a") / math.log(alone.high / alone.low) < 1.1
    # The others pay for it a little, and far less than it does.
    assert width("a", "b") < width("wild", "a") / 2


def test_repeats_that_are_all_equal_are_certain_side_by_side():
    machine = pd.Series([1.0, 2.0, 4.0, 8.0])
    field = Field(pd.DataFrame({name: 2**place * machine for place, name in enumerate("abcdef")}))
    versus = field.compare("b", "a")
    assert (versus.low, versus.high) == pytest.approx((2, 2)) and not versus.tie


def test_a_repeat_that_one_lacks_takes_nothing_from_the_others():
    values = _side_by_side(4, dict.fromkeys("abcdefg", 0.05))
    whole = Field(values.drop(columns="g")).compare("a", "b")
    values.loc[2, "g"] = math.nan
    assert Field(values).compare("a", "b") == whole
    lacking = Field(values).compare("g", "b")
    assert lacking.rounds == 4
    # The others lend it some of their scatter nevertheless.
    assert lacking != compare(values["g"], values["b"])


def test_moderated_scatter_covers_the_truth_as_often_as_it_says():
    missed = 0
    for seed in range(400):
        field = Field(_side_by_side(seed, dict.fromkeys("abcdefgh", 0.06)))
        versus = field.compare("e", "b")
        missed += not versus.low <= math.exp(0.3) <= versus.high
    assert 8 <= missed <= 36  # 20 of 400 are expected


def test_runs_are_compared_by_welchs_t():
    """Against the formula: unequal variances, Welch-Satterthwaite's degrees of freedom."""
    one, other = np.array([110.0, 118.0, 113.0]), np.array([100.0, 104.0, 95.0, 98.0, 130.0])
    a, b = np.log(one), np.log(other)
    parts = a.var(ddof=1) / 3, b.var(ddof=1) / 5
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 4)
    half = scipy.stats.t.ppf(0.975, freedom) * math.sqrt(sum(parts))
    versus = compare_unpaired(one, other)
    assert math.log(versus.ratio) == pytest.approx(a.mean() - b.mean())
    assert math.log(versus.low) == pytest.approx(a.mean() - b.mean() - half)
    assert math.log(versus.high) == pytest.approx(a.mean() - b.mean() + half)
    assert versus.rounds == 3


def test_equal_repeats_are_certain():
    assert interval([7.0, 7.0, 7.0]) == pytest.approx((7, 7, 7))
    series = pd.Series([3.0, 3.0, 3.0])
    for versus in (compare(series * 2, series), compare_unpaired(series * 2, series)):
        assert (versus.ratio, versus.low, versus.high) == pytest.approx((2, 2, 2))
        assert not versus.tie
    assert compare(series, series).tie and compare_unpaired(series, series).tie
    assert difference([0.0, 0.0], [0.0, 0.0]) == (0, 0, 0)
    # Only one side without variance.
    versus = compare_unpaired([3.0, 3.0, 3.0], [1.0, 2.0, 3.0])
    assert versus.low < versus.ratio < versus.high


@pytest.mark.parametrize("one, other", [([], []), ([1.0], []), ([0.0, 1.0], [1.0, 1.0])])
def test_nothing_or_a_zero_has_no_ratio(one, other):
    for versus in (
        compare(pd.Series(one, dtype=float), pd.Series(other, dtype=float)),
        compare_unpaired(one, other),
    ):
        assert math.isnan(versus.ratio) and math.isnan(versus.low) and versus.tie


def test_one_repeat_has_a_ratio_and_no_interval():
    for versus in (
        compare(pd.Series([6.0]), pd.Series([2.0])),
        compare_unpaired([6.0], [2.0]),
        compare_unpaired([6.0], [2.0, math.nan]),
    ):
        assert versus.ratio == pytest.approx(3) and versus.rounds == 1
        assert math.isnan(versus.low) and math.isnan(versus.high) and versus.tie
    shift, low, high = difference([6.0], [2.0, 3.0])
    assert shift == 3.5 and math.isnan(low) and math.isnan(high)


def test_a_mean_leaves_out_what_is_missing():
    assert mean([2.0, math.nan, 8.0]) == pytest.approx(4)
    assert math.isnan(mean([math.nan]))


def test_a_wider_margin_ties_more():
    values = pd.DataFrame({"a": [110.0, 110.0, 110.0], "b": [100.0, 100.0, 100.0]}, index=[1, 2, 3])
    assert Field(values).rank(higher_is_better=True).to_dict() == {"a": 1, "b": 2}
    assert Field(values).rank(higher_is_better=True, margin=1.2).to_dict() == {"a": 1, "b": 1}


def test_counts_are_compared_by_the_exact_interval_of_two_poisson_rates():
    """Given the total, the first count is binomial: against SciPy's Clopper-Pearson interval."""
    versus = compare_counts([3, 2, 5, 2], [4, 4, 4, 4, 4, 4])
    exact = scipy.stats.binomtest(12, 12 + 24).proportion_ci(0.95, method="exact")
    assert versus.ratio == pytest.approx((12 / 4) / (24 / 6)) and versus.rounds == 4
    assert versus.low == pytest.approx(exact.low / (1 - exact.low) * 6 / 4)
    assert versus.high == pytest.approx(exact.high / (1 - exact.high) * 6 / 4)


def test_counts_of_zero_have_a_bound_on_one_side():
    none = compare_counts([0] * 20, [1] * 20)
    assert none.ratio == none.low == 0
    least = 0.025 ** (1 / 20)  # of twenty losses the chance that none is among the first
    assert none.high == pytest.approx((1 - least) / least)
    some = compare_counts([1] * 20, [0] * 20)
    assert some.ratio == some.high == math.inf and some.low == pytest.approx(1 / none.high)
    assert none.beyond(1.02) and some.beyond(1.02)
    for versus in (compare_counts([0], [0, 0]), compare_counts([], [1])):
        assert math.isnan(versus.ratio) and versus.tie and not versus.within(1.02)


def test_counts_in_clusters_are_fewer():
    even, clustered = compare_counts([2] * 10, [4] * 10), compare_counts([20, *[0] * 9], [4] * 10)
    assert clustered.ratio == pytest.approx(even.ratio)
    assert clustered.low < even.low and clustered.high > even.high
    assert compare_counts([2] * 10, [4] * 10, elsewhere=(20, 0)).ratio == pytest.approx(1)


def test_within_is_the_whole_interval_and_beyond_none_of_it():
    assert Ratio(1.0, 0.99, 1.02, 5).within(1.02) and not Ratio(1.0, 0.99, 1.03, 5).within(1.02)
    assert not Ratio(1.0, 0.97, 1.0, 5).within(1.02)
    assert not Ratio(1.0, math.nan, math.nan, 1).within(1.02)
