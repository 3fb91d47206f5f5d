"""Plans of a soak, and sizes as people write them."""

import pytest

from bench.model.errors import UsageError
from bench.model.plans import plan
from bench.model.plans.narrowing import narrow
from bench.model.tables import size_bytes


@pytest.fixture
def usual():
    return plan.load("soak")


def test_the_plan_of_the_suite_has_lanes_that_leak_and_one_that_does_not(usual):
    assert usual.soak.hours == 2 and usual.soak.allowance == "300MB"
    assert usual.recycling.max_requests == 50_000 and usual.configurations[-1] == "sanic"


def test_the_command_line_says_for_how_long_and_what_is_allowed(usual):
    changed = narrow(usual, {"hours": 48.0, "allowance": "1GiB", "max_requests": 8000, "rates_per_s": [20.0]})
    assert (changed.soak.hours, changed.soak.allowance, changed.soak.interval_s) == (48, "1GiB", 10)
    assert changed.recycling.max_requests == 8000
    assert changed.scenarios["index"].open[0].rates_per_s == [20]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hours": 0.0}, "soak.hours"),
        ({"allowance": "much"}, "takes a size such as 50kB"),
        ({"users": [4]}, "takes open loads only"),
        ({"proxy": "nginx"}, "a soak has no proxy"),
        ({"generators": {"expected": 2}}, "a soak has no generators"),
    ],
)
def test_what_a_soak_cannot_be_is_told_in_a_line(usual, changes, message):
    with pytest.raises(UsageError, match=message) as raised:
        narrow(usual, changes)
    assert "\n" not in str(raised.value)


def test_other_plans_have_no_hours():
    with pytest.raises(UsageError, match="this has none: --plan soak"):
        narrow(plan.load("quick"), {"hours": 1.0})


def test_sizes():
    assert (size_bytes("50kB"), size_bytes("1GiB"), size_bytes("7")) == (50_000, 1 << 30, 7)
    for wrong in ("", "0", "-1MB", "lots", "1e999GB"):
        with pytest.raises(ValueError, match="takes a size"):
            size_bytes(wrong)
