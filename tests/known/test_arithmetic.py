import random

import pytest

from bench.studies.self_check.known import arithmetic
from bench.studies.self_check.known.arithmetic import Expected, KnownLoad
from bench.studies.self_check.known.server import Behaviour

STALL = Behaviour(service_s=0.001, stall_s=1, period_s=10)


def expected(behaviour, load):
    return {each.figure: each.value for each in arithmetic.expectations(behaviour, load)}


def nearest_rank(times, q):
    return sorted(times)[round(q * len(times)) - 1]


def test_the_stall_is_as_high_as_the_plain_rule_says_where_the_server_drains_at_once():
    behaviour = Behaviour(service_s=1e-9, stall_s=1, period_s=10)
    heights = {q: arithmetic.stalled_quantile_s(behaviour, 500, 256, q) for q in (0.5, 0.95, 0.99, 0.999)}
    assert heights == pytest.approx({0.5: 0, 0.95: 0.5, 0.99: 0.9, 0.999: 0.99}, abs=1e-6)


@pytest.mark.parametrize(("rate", "users"), [(500, 32), (500, 4), (2000, 8)])
def test_the_stall_agrees_with_a_queue_that_is_played_through(rate, users):
    """First come, first served by `users` at once, each request `service_s` long, none during the stall."""
    free = [0.0] * users
    waits = []
    for number in range(10 * rate):
        arrival = number / rate
        start = max(arrival, min(free), 1.0 if arrival < 1 else 0.0)
        free[free.index(min(free))] = start + STALL.service_s
        waits.append(start + STALL.service_s - arrival)
    for q in arithmetic.QUANTILES.values():
        known = arithmetic.stalled_quantile_s(STALL, rate, users, q)
        assert nearest_rank(waits, q) == pytest.approx(known, abs=0.004)


def test_a_closed_loop_hides_the_stall():
    assert arithmetic.stalled_share_closed(STALL) == pytest.approx(1 / 9001)
    figures = expected(STALL, KnownLoad(users=8))
    assert figures["p99"] == 0.001
    assert figures["max"] == pytest.approx(1.001)


def test_a_closed_loop_shows_a_stall_that_most_requests_meet():
    often = Behaviour(service_s=0.1, stall_s=1, period_s=2)
    assert expected(often, KnownLoad(users=8))["p99"] == pytest.approx(1.1)


def test_two_service_times_against_a_list_of_them():
    behaviour = Behaviour(service_s=0.002, slow_every=10, slow_s=0.02)
    times = [behaviour.delay_s(number) for number in range(1, 1001)]
    random.Random(1).shuffle(times)
    assert arithmetic.mean_s(behaviour) == pytest.approx(sum(times) / len(times))
    for q in (0.5, 0.89, 0.91, 0.99):
        assert arithmetic.quantile_s(behaviour, q) == nearest_rank(times, q)


@pytest.mark.parametrize("requests", [0, 19, 20, 21, 4000])
def test_failures_against_a_count_of_them(requests):
    behaviour = Behaviour(fail_every=20)
    counted = sum(behaviour.fails(number) for number in range(1, requests + 1))
    assert arithmetic.failures(behaviour, requests) == counted


def test_every_kind_of_load_has_its_own_figures():
    fixed = Behaviour(service_s=0.005)
    assert expected(fixed, KnownLoad(8)) == {"p50": 0.005, "p99": 0.005, "users (X·R)": 8}
    constant = expected(fixed, KnownLoad(256, 1000, "constant"))
    assert constant == {"schedule p50": 0.005, "schedule p99": 0.005, "offered": 1000, "achieved": 1}
    assert "offered" not in expected(fixed, KnownLoad(256, 1000, "poisson"))
    assert expected(Behaviour(), KnownLoad(1)) == {}


@pytest.mark.parametrize(
    ("expectation", "right", "wrong"),
    [
        (Expected("p99", 0.9, "ms", 0.0002), [0.9, 0.856, 0.944], [0.854, 0.946, float("nan")]),
        (Expected("p50", 0.001, "ms", 0.0002), [0.00119], [0.00121]),
        (Expected("failures in all", 40, "", 0, exact=True), [40], [39, 41, float("nan")]),
        (arithmetic.ADDED, [0, 0.00009], [0.00011]),
    ],
)
def test_what_is_near_enough(expectation, right, wrong):
    assert all(expectation.allows(value) for value in right)
    assert not any(expectation.allows(value) for value in wrong)
