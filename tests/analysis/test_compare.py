import json
import math
from dataclasses import replace

import pytest

from analysis.compare import UnlikeError, compare
from tests.fixtures.make_recycling import Life, Story, generation, make_recycling
from tests.fixtures.make_run import ROTATED, Open, Rotating, Search, Spec, make_run


@pytest.fixture
def runs(tmp_path):
    """Make two runs: `runs({...}, {...})`, changes of a common run."""

    def make(one, other, **both):
        common = {"configurations": ("sanic", "uvicorn"), "scenarios": {"index": (64,)}} | both
        return [
            make_run(tmp_path / name, Spec(**common | changes))
            for name, changes in (("before", {"seed": 1} | one), ("after", {"seed": 2} | other))
        ]

    return make


def verdicts(compared):
    return {(each.key.configuration, each.metric): each.verdict for each in compared.differences}


def test_a_run_is_the_same_as_itself_again(runs):
    compared = compare(*runs({}, {}))
    assert set(verdicts(compared).values()) == {"same"}
    assert {metric for _, metric in verdicts(compared)} == {"throughput", "p99_us", "cpu_us", "error_rate"}
    assert compared.judged == 8 and compared.by_chance == pytest.approx(0.2)
    assert compared.regressions == [] and compared.unlike == ()


def test_what_is_recycled_is_compared_with_what_was_and_not_with_its_control(tmp_path):
    workers = generation(4, 2.0)
    alone = [Life(1, -2, -1)]
    runs = [
        make_recycling(tmp_path / name, [Story("sanic", workers), Story("sanic", alone, "control")])
        for name in ("before", "after")
    ]
    compared = compare(*runs)
    texts = {each.key.text for each in compared.differences}
    assert {text.rpartition(", ")[2] for text in texts} == {"recycled", "control"}
    assert len({(each.key, each.metric) for each in compared.differences}) == len(compared.differences)
    assert {each["treatment"] for each in compared.document()["differences"]} == {"recycled", "control"}


def test_a_slower_configuration_is_a_regression_and_a_faster_one_is_not(runs):
    """An alias stands in for another version: uvicorn costs twice what sanic does."""
    before, after = runs(
        {"aliases": {"app": "sanic"}}, {"aliases": {"app": "uvicorn"}}, configurations=(), noise=0.005
    )
    worse = compare(before, after)
    assert verdicts(worse) == {
        ("app", "throughput"): "worse", ("app", "p99_us"): "worse", ("app", "cpu_us"): "worse",
        ("app", "error_rate"): "same",
    }  # fmt: skip
    throughput, p99, cpu = worse.regressions
    assert throughput.ratio == pytest.approx(0.5, rel=0.05) and throughput.low < 0.5 < throughput.high
    assert p99.ratio == pytest.approx(2, rel=0.05) and cpu.ratio == pytest.approx(2, rel=0.05)
    better = compare(after, before)
    assert verdicts(better)["app", "throughput"] == verdicts(better)["app", "cpu_us"] == "better"
    assert better.regressions == []


def test_worse_within_the_margin_is_no_regression(runs):
    """70 against 72 µs: 2.9 % worse, certain at so little noise."""
    compared = compare(
        *runs({"aliases": {"app": "uvicorn"}}, {"aliases": {"app": "gunicorn-uvicorn-worker"}},
              configurations=(), noise=0.0005),
    )  # fmt: skip
    assert verdicts(compared)["app", "throughput"] == "worse"
    assert compared.regressions == []


def test_the_margin_is_the_callers(runs):
    before, after = runs(
        {"aliases": {"app": "uvicorn"}}, {"aliases": {"app": "gunicorn-uvicorn-worker"}},
        configurations=(), noise=0.0005,
    )  # fmt: skip
    strict = compare(before, after, margin=0.02)
    assert {each.metric for each in strict.regressions} == {"throughput", "p99_us", "cpu_us"}


def test_throughput_of_servers_that_were_not_saturated_is_not_judged(runs):
    compared = compare(*runs({}, {"generator_limit": 5000.0}))
    (throughput, *_) = [each for each in compared.differences if each.metric == "throughput"]
    assert (throughput.verdict, throughput.regression) == (None, False)
    assert throughput.ratio < 0.5 and throughput.reason == "a server was not saturated"
    assert verdicts(compared)["sanic", "cpu_us"] == "same"


def test_one_repeat_is_shown_and_not_judged(runs):
    before, after = runs(
        {"aliases": {"app": "sanic"}}, {"aliases": {"app": "hypercorn"}}, configurations=(), repeats=1
    )
    compared = compare(before, after)
    assert set(verdicts(compared).values()) == {None} and compared.judged == 0
    assert compared.regressions == []
    assert all(each.reason == "there is a single repeat" for each in compared.differences)
    (cpu,) = [each for each in compared.differences if each.metric == "cpu_us"]
    assert cpu.ratio == pytest.approx(160 / 35, rel=0.1) and math.isnan(cpu.low)


def test_failures_that_came_are_a_regression(runs):
    """0.4 % of its requests fail, and CPU per request is nearly half of before."""
    before, after = runs(
        {"aliases": {"app": "uvicorn"}}, {"aliases": {"app": "gunicorn-asgi"}}, configurations=()
    )
    (failures,) = compare(before, after).regressions
    assert failures.metric == "error_rate"
    assert (failures.one, failures.other) == (0, pytest.approx(0.004, rel=0.01))
    assert math.isnan(failures.ratio)
    assert verdicts(compare(after, before))["app", "error_rate"] == "better"


def test_open_loops_go_by_the_schedule(runs):
    before, after = runs({}, {"stall_at": 0}, scenarios={}, open={"index": (Open((2000,), "poisson"),)})
    compared = compare(before, after)
    assert {metric for _, metric in verdicts(compared)} == {"schedule_p99_us", "cpu_us", "error_rate"}
    assert {each.metric for each in compared.regressions} == {"schedule_p99_us"}
    assert {each.key.load.rate_per_s for each in compared.regressions} == {2000}


def test_searches_are_compared_by_the_rate_they_found(runs):
    searching = {"scenarios": {}, "searches": {"index": Search(1.0)}, "configurations": ()}
    before, after = runs({"aliases": {"app": "sanic"}}, {"aliases": {"app": "uvicorn"}}, **searching)
    (rate,) = compare(before, after).differences
    assert (rate.metric, rate.verdict, rate.regression) == ("rate_per_s", "worse", True)
    assert rate.key.text == "index: p99 within 1 ms, constant, 1 worker"


def test_a_difference_as_narrow_as_the_search_is_none(runs):
    """70 against 72 µs is 3 %; the searches stop at a bracket of 10 %."""
    before, after = runs(
        {"aliases": {"app": "uvicorn"}}, {"aliases": {"app": "gunicorn-uvicorn-worker"}},
        scenarios={}, searches={"index": Search(1.0)}, configurations=(), noise=0,
    )  # fmt: skip
    (rate,) = compare(before, after).differences
    assert rate.verdict == "same"


def test_cells_of_one_run_only_are_listed(runs):
    before, after = runs({"configurations": ("sanic",)}, {"scenarios": {"index": (64, 8)}})
    compared = compare(before, after)
    assert compared.only_one == ()
    assert {(key.configuration, key.load.users) for key in compared.only_other} == {
        ("sanic", 8), ("uvicorn", 8), ("uvicorn", 64),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"host": {"machine_id": "1", "hostname": "other"}}, "host synthetic and other"),
        ({"host": {"cpu": "Faster CPU"}}, "CPU Imagined CPU and Faster CPU"),
    ],
)
def test_unlike_hosts_are_refused_unless_told(runs, change, words):
    before, after = runs({}, change)
    with pytest.raises(
        UnlikeError, match=f"unlike conditions: {words}. Compare them all the same with --across"
    ):
        compare(before, after)
    assert compare(before, after, across=True).unlike == (words,)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("methodology", 5, "methodology 4 and 5"),
        ("launcher", "compose", "launcher processes and compose"),
        (
            "network",
            {"namespace": True, "steered_to": [1], "note": None},
            r"network not recorded and of the run's own, steered to CPUs \[1\]",
        ),
        (
            "cpu_split",
            {"server": [0, 1], "generator": [1], "trusted": False},
            r"server on CPUs \[0\] and \[0, 1\]",
        ),
    ],
)
def test_unlike_ways_to_measure_are_refused(runs, key, value, words):
    before, after = runs({}, {})
    document = json.loads((after / "run.json").read_text()) | {key: value}
    (after / "run.json").write_text(json.dumps(document))
    with pytest.raises(UnlikeError, match=words):
        compare(before, after)


def test_launchers_that_served_by_different_pythons_are_told_so(runs):
    before, after = runs({}, {})
    run = json.loads((after / "run.json").read_text()) | {"launcher": "compose"}
    run["stacks"]["current"]["python"] = "3.14.0"
    (after / "run.json").write_text(json.dumps(run))
    assert compare(before, after, across=True).unlike == (
        "launcher processes and compose", "Python 3.11.7 and 3.14.0 in the stack current",
    )  # fmt: skip
    # Where the launcher is the same, one compares Pythons by that.
    (after / "run.json").write_text(json.dumps(run | {"launcher": "processes"}))
    assert compare(before, after).unlike == ()


def test_a_rotation_is_not_compared_with_blocks_unless_told(tmp_path):
    spec = Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (64,)}, unavailable=())
    blocks = make_run(tmp_path / "blocks", spec)
    rotated = make_run(tmp_path / "rotated", replace(spec, rotation=Rotating(network=None)))
    with pytest.raises(UnlikeError, match="conditions: blocks and a rotation"):
        compare(blocks, rotated)
    across = compare(blocks, rotated, across=True)
    assert {each.key.configuration for each in across.differences} == {"sanic", "uvicorn"}
    assert {each.verdict for each in across.differences} == {"same"}


def test_sittings_of_two_rotations_are_compared_unpaired(tmp_path):
    spec = replace(ROTATED, configurations=("sanic", "uvicorn"), scenarios={"index": (64,)})
    one = make_run(tmp_path / "one", spec)
    other = make_run(tmp_path / "other", replace(spec, seed=2, repeats=4))
    compared = compare(one, other)
    assert compared.unlike == () and compared.regressions == []
    assert len(compared.differences) == 3 * 4 and compared.judged == 3 * 4


def test_the_document_is_json_without_nan(runs):
    before, after = runs({"configurations": ("sanic",)}, {}, repeats=1)
    document = json.loads(json.dumps(compare(before, after).document(), allow_nan=False))
    assert document["comparisons"] == 0 and document["regressions"] == 0
    first = document["differences"][0]
    assert (first["configuration"], first["scenario"], first["users"], first["low"]) == (
        "sanic",
        "index",
        64,
        None,
    )
    assert [key["configuration"] for key in document["only_other"]] == ["uvicorn"]
