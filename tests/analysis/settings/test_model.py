"""What figures say of a setting, and what becomes of what people say of it."""

import math
from dataclasses import replace

import pytest

from analysis.settings.model import Judged, Setting, Settings, found, times
from bench.model.records.run import Variant
from bench.stats.comparison import Ratio

NAN = math.nan
BETTER, WORSE, SAME, OPEN = (1.1, 1.2, 1.3), (0.7, 0.8, 0.9), (0.99, 1.0, 1.01), (0.9, 1.0, 1.1)


def ratio(low, mean, high):
    return Ratio(mean, low, high, 6)


def setting(measure, bounds, expected=True, name="uvicorn-x"):
    return Setting(name, "uvicorn", "x", measure, ratio(*bounds), expected)


def judged(*measured, says="better", expects=("throughput",), **others):
    facts = Variant(
        of="uvicorn",
        varies="x",
        change="--x",
        claim="X.",
        source="https://x",
        says=says,
        expects=list(expects),
    )
    return Judged("uvicorn-x", facts, measured, **others)


def test_loads_that_differ_are_told_apart_as_their_mean_is_true_of_none():
    loads = (
        ("index-close", ratio(4.0, 6.0, 9.0)),
        ("json", ratio(1.0, 1.3, 1.6)),
        ("index", ratio(1.1, 1.2, 1.3)),
    )
    pooled = replace(setting("cpu_us", (1.5, 2.1, 2.9)), loads=loads)
    assert pooled.text == (
        "1.20x (1.10 to 1.30) in index to 6.00x (4.00 to 9.00) in index-close the CPU time per request"
    )
    assert replace(pooled, loads=loads[1:]).text == "2.10x (1.50 to 2.90) the CPU time per request"


@pytest.mark.parametrize(
    "measure, bounds, fate",
    [
        ("throughput", BETTER, "worth it"),
        ("throughput", WORSE, "costs"),
        ("throughput", SAME, "makes no difference"),
        ("throughput", OPEN, "not shown"),
        ("throughput", (1.0, 1.05, 1.1), "not shown"),  # better, and perhaps by less than one would notice
        ("throughput", (0.99, 1.0, 1.021), "not shown"),
        ("throughput", (1 / 1.02, 1.0, 1.02), "makes no difference"),
        ("throughput", (NAN, 1.5, NAN), "not shown"),
        *((measure, BETTER, "costs") for measure in ("cpu_us", "p99", "pss_bytes", "lost")),
        *((measure, WORSE, "worth it") for measure in ("cpu_us", "p99", "pss_bytes", "lost")),
        ("lost", (0.0, 0.0, 0.4), "worth it"),
        ("lost", (1.5, math.inf, math.inf), "costs"),
        ("lost", (NAN, NAN, NAN), "not shown"),
    ],
)
def test_a_measure_has_a_fate_of_its_own(measure, bounds, fate):
    assert setting(measure, bounds).fate == fate


@pytest.mark.parametrize(
    "one, other, fate",
    [
        (BETTER, BETTER, "worth it"),
        (BETTER, OPEN, "worth it"),
        (BETTER, WORSE, "costs"),
        (SAME, SAME, "makes no difference"),
        (SAME, OPEN, "not shown"),
        (OPEN, WORSE, "costs"),
    ],
)
def test_a_setting_is_worth_it_that_is_better_in_one_and_worse_in_none(one, other, fate):
    both = judged(
        setting("throughput", one),
        setting("p99", tuple(1 / each for each in reversed(other))),
        expects=("throughput", "tail"),
    )
    assert both.fate == fate


def test_what_was_not_expected_can_cost_and_cannot_win():
    assert judged(setting("throughput", SAME), setting("pss_bytes", BETTER, expected=False)).fate == "costs"
    won = judged(setting("throughput", SAME), setting("pss_bytes", WORSE, expected=False))
    assert won.fate == "makes no difference"
    open_ = judged(setting("throughput", BETTER), setting("pss_bytes", OPEN, expected=False))
    assert open_.fate == "worth it"
    dear = judged(setting("throughput", BETTER), setting("pss_bytes", BETTER, expected=False))
    assert dear.fate == "worth it" and "worse in PSS" in dear.remarks


def test_what_was_expected_and_not_measured_is_named_and_leaves_it_open():
    lacking = judged(setting("throughput", SAME), expects=("throughput", "tail", "losses"))
    assert lacking.lacking == ["p99", "lost/recycle"]
    assert lacking.fate == lacking.claim == "not shown"
    assert "p99 was not measured" in lacking.figure and "p99 and lost/recycle not measured" in lacking.remarks


def test_cpu_time_stands_for_requests_that_no_saturated_server_served():
    assert judged(setting("cpu_us", SAME)).lacking == []
    assert judged(setting("cpu_us", SAME)).fate == "makes no difference"


@pytest.mark.parametrize(
    "bounds, says, outcome",
    [
        (BETTER, "better", "holds"),
        (BETTER, "no difference", "does not hold"),
        (BETTER, "worse", "does not hold"),
        (WORSE, "worse", "holds"),
        (WORSE, "better", "does not hold"),
        (SAME, "no difference", "holds"),
        (SAME, "better", "does not hold"),
        (OPEN, "better", "not shown"),
        (OPEN, "no difference", "not shown"),
    ],
)
def test_a_claim_is_held_against_what_the_setting_is_expected_to_change(bounds, says, outcome):
    # The memory is no part of what is claimed.
    memory = setting("pss_bytes", BETTER, expected=False)
    assert judged(setting("throughput", bounds), memory, says=says).claim == outcome


@pytest.mark.parametrize(
    "says, outcome",
    [("better", "holds in part"), ("worse", "holds in part"), ("no difference", "does not hold")],
)
def test_a_claim_about_what_wins_here_and_costs_there_holds_in_part(says, outcome):
    mixed = judged(setting("throughput", BETTER), setting("p99", BETTER), says=says)
    assert mixed.claim == outcome


def test_one_that_fails_requests_is_worse_whatever_it_serves():
    broken = judged(setting("throughput", SAME), says="no difference", broken="2 % of its requests failed")
    assert (broken.fate, broken.claim) == ("costs", "does not hold")
    assert broken.figure == "--x: 2 % of its requests failed"


def test_the_largest_change_decides():
    both = judged(setting("throughput", WORSE), setting("cpu_us", (1.9, 2.0, 2.1)))
    assert both.decisive.measure == "cpu_us"
    assert both.decisive.text == "2.00x (1.90 to 2.10) the CPU time per request"
    assert judged(setting("throughput", SAME), setting("cpu_us", OPEN)).decisive.measure == "throughput"
    assert judged().decisive is None


@pytest.mark.parametrize(
    "bounds, text",
    [
        ((0.65, 0.676, 0.7031), "0.676x (0.650 to 0.703)"),
        ((NAN, 1.5, NAN), "1.50x"),
        ((1.5, math.inf, math.inf), "more than 1.50x"),
        ((0.0, 0.0, 0.4), "0x (0 to 0.400)"),
    ],
)
def test_a_ratio_in_words(bounds, text):
    assert times(ratio(*bounds)) == text


GAIN = setting("pss_bytes", WORSE, expected=False)
LOSS = setting("throughput", WORSE)


@pytest.mark.parametrize(
    ("measured", "chosen"),
    [
        # What it gains and what it costs: throughput, memory, tail, and where nobody says what comes first.
        ((setting("throughput", BETTER),), ("throughput", "throughput", "throughput", "throughput")),
        ((GAIN, LOSS), (None, "pss_bytes", None, None)),
        ((GAIN, setting("cpu_us", OPEN)), (None, "pss_bytes", None, None)),
        ((setting("throughput", BETTER), setting("p99", BETTER, expected=False)),
         ("throughput", "throughput", None, "throughput")),
        ((setting("throughput", BETTER), setting("pss_bytes", BETTER)), ("throughput", None, None, None)),
        ((setting("throughput", BETTER), GAIN), ("throughput", "pss_bytes", "throughput", "throughput")),
        ((setting("cpu_us", WORSE), setting("throughput", WORSE)), (None, None, None, None)),
        ((GAIN, setting("lost", BETTER, expected=False)), (None, None, None, None)),
        ((GAIN, setting("answers_503", (2.0, math.inf, math.inf), expected=False)), (None, None, None, None)),
    ],
)  # fmt: skip
def test_what_comes_first_chooses_a_setting_whatever_it_costs_but_requests(measured, chosen):
    found = judged(*measured)
    told = [found.chosen_for(first) for first in ("throughput", "memory", "tail", None)]
    assert tuple(each and each.measure for each in told) == chosen
    assert judged(*measured, broken="requests fail").chosen_for("memory") is None


def named(name, *measured, **facts):
    each = judged(*measured)
    return Judged(name, each.facts.model_copy(update=facts), measured)


def test_what_a_command_has_follows_what_comes_first():
    light, lighter = (
        named("light", GAIN, LOSS),
        named("lighter", setting("pss_bytes", (0.1, 0.2, 0.3), False)),
    )
    fast = named("fast", setting("throughput", BETTER), varies="loop")
    bare = named("bare", setting("throughput", (2.0, 2.1, 2.2)), GAIN, varies="all", default=True)
    found = Settings((bare, fast, light, lighter))
    assert found.worth("uvicorn") == found.worth("uvicorn", "throughput") == ["fast"]
    # Of two that vary the same setting the better one, and what gains memory before what gains another thing.
    assert found.worth("uvicorn", "memory") == ["lighter", "fast"]
    assert found.worth("uvicorn", "tail") == ["fast"]


def test_the_whole_gain_is_told_beside_the_plain_default():
    both = named(
        "uvicorn-combined", setting("throughput", BETTER), setting("cpu_us", WORSE), of="uvicorn-default"
    )
    assert Settings((), whole=(both,)).whole_gains == [
        "The whole gain: uvicorn-combined has 1.20x (1.10 to 1.30) the requests per second of "
        "uvicorn-default, the plain default."
    ]
    idle = named("uvicorn-combined", setting("cpu_us", WORSE), of="uvicorn-default")
    assert (
        "has 0.800x (0.700 to 0.900) the CPU time per request of"
        in Settings((), whole=(idle,)).whole_gains[0]
    )


def test_the_finding_counts_fates_and_names_the_largest():
    worth, same = judged(setting("throughput", BETTER)), judged(setting("throughput", SAME))
    dear, open_ = judged(setting("throughput", WORSE)), judged(setting("throughput", OPEN))
    assert found([worth, same, dear, dear, open_]) == (
        "Of 5 settings of uvicorn 1 is worth it, most of all uvicorn-x with 1.20x (1.10 to 1.30) the "
        "requests per second; 2 cost, most of all uvicorn-x with 0.800x (0.700 to 0.900) the requests per "
        "second; 1 makes no difference; 1 is not shown."
    )
    assert Settings((same,)).finding == "Of 1 setting of uvicorn 1 makes no difference."
