"""When a rotation is precise enough, by figures that are made up."""

import pytest

from bench.experiment.rotation.precision import (
    Figure,
    Place,
    Standing,
    Widest,
    expected,
    next_or_why_none,
    widest,
)
from bench.model.plans.rotation import RotationTable

INDEX = Place("index", 64, 1)
SLEEP = Place("sleep", 512, 1)


def sat(throughputs, place=INDEX, *, busy=0.99, cpu_us=100.0, error_rate=0.0):
    """What configurations did in a row of sittings."""
    return [
        Figure(place, name, number, each, cpu_us * 1000 / each, busy, error_rate)
        for name, values in throughputs.items()
        for number, each in enumerate(values, 1)
    ]


def test_the_widest_interval_is_that_of_the_least_certain_ratio_to_the_best():
    even = {"fast": [2000, 1000, 2000], "half": [1000, 500, 1000]}
    found = widest(sat(even | {"other": [1000, 600]}))
    assert (found.configuration, found.reference, found.place) == ("other", "fast", INDEX)
    found = widest(sat({"fast": even["fast"], "other": [1000, 600, 900]}))
    # Student's t with two degrees of freedom on the logarithms 0, log(1.2) and log(0.9).
    assert found.share == pytest.approx(0.4356, abs=0.001)
    assert widest(sat(even)).share == pytest.approx(0.0, abs=1e-9)


def test_a_machine_that_slows_down_takes_nothing_from_a_ratio():
    assert widest(sat({"a": [100, 50, 75], "b": [50, 25, 37.5]})).share < 1e-9


def test_where_one_server_is_not_saturated_cpu_time_decides():
    figures = sat({"a": [100, 100], "b": [100, 100]}, SLEEP, busy=0.4)
    uneven = [each._replace(cpu_us=each.cpu_us * (1.1 if each == figures[0] else 1.0)) for each in figures]
    assert widest(figures).share < 1e-9
    assert widest(uneven).share > 0.5


@pytest.mark.parametrize(
    "figures",
    [
        [],
        sat({"alone": [100, 101]}),
        sat({"a": [100], "b": [90]}),
        sat({"a": [100, 101], "b": [90, 95]}, error_rate=0.5),
    ],
)
def test_without_two_that_compare_there_is_no_interval(figures):
    assert widest(figures) is None


def test_a_configuration_that_never_ran_decides_nothing():
    found = widest(sat({"a": [100, 101, 99], "b": [90, 91, 89], "once": [50]}))
    assert found.configuration == "b"


def test_of_settings_each_variant_is_compared_with_what_it_is_one_of():
    figures = sat({"a": [100, 50, 80], "a-log": [50, 25, 42], "b": [100, 99, 101], "b-gc": [300, 290, 310]})
    for parents in ({"a-log": "a"}, {"a-log": "a", "gone": "a"}, {"a-log": "a", "b": "gone"}):
        found = widest(figures, parents)
        assert (found.configuration, found.reference) == ("a-log", "a") and found.share > 0
    assert widest(figures, {"b-gc": "b"}).reference == "b"  # which is not the best
    assert widest(figures, {}) is None


def test_the_widest_interval_in_words():
    assert str(Widest(0.0612, "granian", "sanic", SLEEP)) == "±6.1% (granian to sanic in sleep, 512 users)"


# -- What comes next


def standing(workers, made, share=None, expected_s=50.0):
    found = None if share is None else Widest(share, "b", "a", INDEX)
    return Standing(workers, made, found, expected_s)


TABLE = RotationTable(sittings=3, most_sittings=8, precision=0.05, limit_s=600)


@pytest.mark.parametrize(
    ("standings", "spent_s", "following"),
    [
        ([standing(1, 0), standing(2, 0)], 0.0, 1),
        ([standing(1, 1), standing(2, 0)], 50.0, 2),
        ([standing(1, 2, 0.01), standing(2, 3, 0.2)], 9999.0, 1),  # so many there are whatever happens
        ([standing(1, 3, 0.06), standing(2, 3, 0.04)], 300.0, 1),
        ([standing(1, 5, 0.06), standing(2, 4, 0.07)], 300.0, 2),
        ([standing(1, 3, 0.05), standing(2, 3, 0.04)], 300.0, "precise"),
        ([standing(1, 3, None)], 300.0, "precise"),  # nothing can be compared, whatever is added
        ([standing(1, 8, 0.06), standing(2, 3, 0.04)], 300.0, "most"),
        ([standing(1, 4, 0.06)], 550.0, 1),
        ([standing(1, 4, 0.06)], 551.0, "limit"),
        ([standing(1, 4, 0.06, 80.0), standing(2, 5, 0.06, 40.0)], 550.0, 2),
    ],
)
def test_which_sitting_is_next_or_why_there_is_none(standings, spent_s, following):
    assert next_or_why_none(TABLE, standings, spent_s) == following


def test_without_a_precision_there_are_as_many_as_asked():
    table = RotationTable(sittings=2)
    assert next_or_why_none(table, [standing(1, 1, 0.9)], 0.0) == 1
    assert next_or_why_none(table, [standing(1, 2, 0.9)], 0.0) == "asked"
    assert expected(table, [standing(1, 1, 0.9)], 0.0) == {1: 1}


def test_how_many_more_are_likely():
    assert expected(TABLE, [standing(1, 0)], 0.0) == {1: 3}
    # An interval twice as wide as wanted takes four times as many.
    assert expected(TABLE, [standing(1, 2, 0.08)], 0.0) == {1: 4}
    assert expected(TABLE, [standing(1, 4, 0.08)], 200.0) == {1: 4}  # and not 7: there are 8 at most
    assert expected(TABLE, [standing(1, 4, 0.08)], 480.0) == {1: 2}  # the time is up
    assert expected(TABLE, [standing(1, 4, 0.01)], 200.0) == {1: 0}
