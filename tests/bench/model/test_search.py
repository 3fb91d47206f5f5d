import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.model.plans.loads import Search
from bench.model.search import ATTEMPTS, Attempt, Found, Step, expected_steps, found, judge, next_attempt

SEARCH = Search(p99_ms=10, from_rate_per_s=1000)


def take(search, verdict_at):
    """Search a server that does at each rate what ``verdict_at`` says; the steps, in order."""
    steps = []
    while (attempt := next_attempt(search, steps)) is not None:
        rate, number = attempt
        assert [step.verdict for step in steps if step.rate_per_s == rate] == ["generator"] * (number - 1)
        steps.append(Step(rate, verdict_at(rate)))
        assert len(steps) < 40 * ATTEMPTS
    return steps


def rates(steps):
    return [step.rate_per_s for step in steps]


def test_it_doubles_and_then_bisects_on_the_logarithm():
    steps = take(SEARCH, lambda rate: "kept" if rate <= 5000 else "broken")
    assert rates(steps) == [1000, 2000, 4000, 8000, 5660, 4760, 5190]
    assert found(steps) == Found(4760, at_least=False)
    assert 5190 / 4760 <= 1.1


def test_it_halves_when_the_first_rate_is_too_high():
    steps = take(SEARCH, lambda rate: "kept" if rate <= 300 else "broken")
    assert rates(steps) == [1000, 500, 250, 354, 297, 324]
    assert found(steps) == Found(297, at_least=False)


def test_it_gives_up_below_a_64th_of_the_first_rate():
    steps = take(SEARCH, lambda rate: "broken")
    assert rates(steps) == [1000, 500, 250, 125, 62.5, 31.2, 15.6]
    assert found(steps) == Found(None, at_least=False)


def test_it_gives_up_on_a_server_that_nothing_can_fill():
    steps = take(SEARCH, lambda rate: "kept")
    assert len(steps) == 15 and steps[-1].rate_per_s == pytest.approx(1000 * 2**14, rel=0.02)
    assert found(steps) == Found(steps[-1].rate_per_s, at_least=True)


def test_a_generator_that_is_the_limit_makes_the_answer_at_least():
    steps = take(SEARCH, lambda rate: "kept" if rate <= 5000 else "generator")
    assert found(steps) == Found(4760, at_least=True)
    assert found(take(SEARCH, lambda rate: "generator")) == Found(None, at_least=True)
    # Its lateness at one rate says nothing where the server breaks the limit at a lower one.
    steps = take(SEARCH, lambda rate: "generator" if rate > 7000 else ("kept" if rate < 5000 else "broken"))
    assert found(steps) == Found(4760, at_least=False)


def test_a_step_in_which_the_generator_was_late_is_taken_again():
    late = iter([2000, 5660, 5660])
    again = next(late)

    def verdict(rate):
        nonlocal again
        if rate == again:
            again = next(late, None)
            return "generator"
        return "kept" if rate <= 5000 else "broken"

    steps = take(SEARCH, verdict)
    assert rates(steps) == [1000, 2000, 2000, 4000, 8000, 5660, 5660, 5660, 4760, 5190]
    assert found(steps) == Found(4760, at_least=False)


def test_a_rate_is_tried_three_times_at_most():
    steps = take(SEARCH, lambda rate: "kept" if rate < 2000 else "generator")
    assert rates(steps) == [1000, *3 * [2000], 1410, 1680, 1830]
    assert found(steps) == Found(1830, at_least=True)
    assert next_attempt(SEARCH, steps[:2]) == Attempt(2000, 2)
    assert next_attempt(SEARCH, steps[:3]) == Attempt(2000, 3)


@given(
    capacity=st.floats(1, 1e7),
    first=st.floats(0.1, 1e5),
    resolution=st.floats(0.01, 1),
    bound=st.sampled_from(["broken", "generator"]),
)
def test_the_answer_is_within_the_resolution_and_every_history_goes_on_alike(
    capacity, first, resolution, bound
):
    search = Search(p99_ms=10, from_rate_per_s=first, resolution=resolution)
    steps = take(search, lambda rate: "kept" if rate <= capacity else bound)
    answer = found(steps)
    tried = list(dict.fromkeys(rates(steps)))
    assert len(tried) <= 15 + 7
    for taken in range(len(steps)):  # wherever it is interrupted, it goes on with the same step
        assert next_attempt(search, steps[:taken]).rate_per_s == steps[taken].rate_per_s
    assert all(float(f"{rate:.3g}") == rate for rate in tried[1:])
    failed = [step.rate_per_s for step in steps if step.verdict != "kept"]
    if answer.rate_per_s is None:
        assert len(tried) == 7 and capacity < first
    elif failed:
        assert answer.rate_per_s <= capacity < min(failed)
        # Three digits round by half a percent at most: a step beyond may not exist.
        assert min(failed) / answer.rate_per_s <= max(1 + resolution, 1.011)
        assert answer.at_least == (bound == "generator")


@pytest.mark.parametrize(("resolution", "steps"), [(0.01, 11), (0.1, 7), (1, 4)])
def test_what_a_search_usually_takes(resolution, steps):
    search = Search(p99_ms=10, from_rate_per_s=1000, resolution=resolution)
    assert expected_steps(search) == steps
    assert abs(len(take(search, lambda rate: "kept" if rate <= 5000 else "broken")) - steps) <= 1


def percentiles(p99_ms, max_ms=None):
    return {
        "p50": 100.0,
        "p90": 200.0,
        "p99": None if p99_ms is None else p99_ms * 1000,
        "max": None if max_ms is None else max_ms * 1000,
    }


def measured(schedule=(8, 50), late=(0.1, 90), requests=5000, failures=0, arrivals=5000, completions=5000):
    return {
        "requests": requests,
        "failures": failures,
        "latency_us": {
            "service": percentiles(3),
            "from_schedule": percentiles(*schedule),
            "lateness": percentiles(*late),
        },
        "arrivals": arrivals,
        "completions": completions,
    }


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "kept"),
        ({"schedule": (10, 50)}, "kept"),
        ({"schedule": (10.01, 50)}, "broken"),
        ({"completions": 4950}, "kept"),
        ({"completions": 4949}, "broken"),
        ({"requests": 4995, "failures": 5}, "kept"),
        ({"requests": 4994, "failures": 6}, "broken"),
        # With too few requests for a p99 the largest time stands for it.
        ({"schedule": (None, 9)}, "kept"),
        ({"schedule": (None, 11)}, "broken"),
        ({"schedule": (None, None)}, "broken"),
        # The generator may be late by a quarter of the limit; beyond, what it sees is its own.
        ({"late": (2.5, 90)}, "kept"),
        ({"late": (2.6, 90)}, "generator"),
        ({"late": (None, 2.6)}, "generator"),
        ({"late": (None, None)}, "kept"),
        ({"late": (3, 90), "schedule": (13, 90)}, "generator"),
        ({"late": (3, 90), "schedule": (14, 90)}, "broken"),
        ({"late": (3, 90), "schedule": (None, None)}, "broken"),
    ],
)
def test_what_a_step_shows(changes, verdict):
    assert judge(SEARCH, measured(**changes)) == verdict


def test_a_window_in_which_nothing_succeeded_breaks_the_limit():
    nothing = measured(requests=0, failures=5000, completions=5000) | {"latency_us": {}}
    assert judge(SEARCH, nothing) == "broken"
