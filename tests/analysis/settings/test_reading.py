"""What settings are worth, of runs whose true answers are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.settings import settings
from analysis.settings.frames import measures
from analysis.settings.reading import _reason
from analysis.study import study
from bench.model.plans.settings import COMBINED
from tests.fixtures.imagined import VARIANTS, open_p99_us, server_of
from tests.fixtures.make_recycling import Life, Lost, Story, generation, make_recycling
from tests.fixtures.make_run import Open, Rotating, Spec, make_run
from tests.fixtures.make_settings import SETTINGS, VARIED, facts, make_settings

FATES = {
    "sanic-preload": "worth it",
    "sanic-jitter": "not shown",  # of losses, which nothing measured
    "sanic-access-log": "costs",
    "uvicorn-c-parser": "worth it",
    "uvicorn-cache": "worth it",  # for its speed, although it takes memory
    "uvicorn-keep-alive-5": "makes no difference",
    "uvicorn-access-log": "costs",
    "uvicorn-limit": "costs",  # requests fail
}


def ratios(found, name):
    (judged,) = [each for each in found.judged if each.name == name]
    return {each.measure: each.ratio for each in judged.measured}


def settings_of(tmp_path, **changes):
    return study(make_settings(tmp_path / "settings", replace(SETTINGS, **changes))).settings


@pytest.mark.parametrize("name", [name for name in VARIED if name != "uvicorn-limit"])
def test_ratios_are_what_is_true_of_the_servers(tried, name):
    mine, parent = VARIANTS[name], server_of(VARIED[name]["of"])
    truth = {
        "throughput": parent.cpu_us / mine.cpu_us,
        "cpu_us": mine.cpu_us / parent.cpu_us,
        "p99": open_p99_us(mine, 4000, 1.0) / open_p99_us(parent, 4000, 1.0),
        "pss_bytes": mine.pss_mib / parent.pss_mib,
    }
    found = ratios(tried.settings, name)
    assert {measure: each.ratio for measure, each in found.items()} == pytest.approx(truth, rel=0.01)
    assert all(each.low <= each.ratio <= each.high and each.rounds == 5 for each in found.values())


def test_each_setting_has_its_fate_and_servers_stand_together_in_order(tried):
    assert {each.name: each.fate for each in tried.settings.judged} == FATES
    assert tried.settings.parents == ["sanic", "uvicorn"]
    assert [each.name for each in tried.settings.judged] == list(FATES)


def test_what_is_worth_it_is_told_for_each_server(tried):
    assert tried.settings.worth("sanic") == ["sanic-preload"]
    assert tried.settings.worth("uvicorn") == ["uvicorn-c-parser", "uvicorn-cache"]
    assert tried.settings.worth("granian") == []


def test_of_one_setting_only_the_best_is_worth_it(tmp_path):
    same = dict.fromkeys(
        ("uvicorn-c-parser", "uvicorn-cache"), facts("uvicorn", "parser", "-p", "", "better")
    )
    both = settings_of(tmp_path, configurations=("uvicorn",), variants=same, open={}, aliases={})
    light = [replace(each, measured=each.measured[:2]) for each in both.judged]  # without the memory
    assert [each.fate for each in light] == ["worth it", "worth it"]
    assert replace(both, judged=tuple(light)).worth("uvicorn") == ["uvicorn-c-parser"]


def test_a_variant_that_fails_requests_costs_and_says_how_many(tried):
    (limit,) = [each for each in tried.settings.judged if each.name == "uvicorn-limit"]
    assert limit.measured == () and limit.fate == "costs"
    assert "of its requests failed in index, of uvicorn's 0.00%" in limit.figure


def test_aliases_and_parents_that_were_not_measured_make_no_setting(tmp_path):
    found = settings_of(
        tmp_path,
        configurations=("uvicorn",),
        aliases={"again": "uvicorn", "log": "uvicorn-access-log"},
        open={},
    )
    assert found.parents == ["uvicorn"] and "log" not in {each.name for each in found.judged}
    # The variants of sanic were measured, and sanic was not.
    assert not found.alone


def test_what_is_worth_it_together_is_compared_with_the_plain_default_as_well(tmp_path):
    variants = {
        "uvicorn-c-parser": facts("uvicorn", COMBINED, "--http c", "", "better"),
        "uvicorn-access-log": facts("uvicorn", "all that is stated", "", "", "") | {"default": True},
    }
    found = settings_of(tmp_path, configurations=("uvicorn",), variants=variants, open={}, aliases={})
    (whole,) = found.whole
    assert (whole.name, whole.parent) == ("uvicorn-c-parser", "uvicorn-access-log")
    by = {each.measure: each.ratio.ratio for each in whole.measured}
    assert by["throughput"] == pytest.approx(105 / 56, rel=0.01)
    assert {each.parent for each in found.judged} == {"uvicorn"} and found.worth("uvicorn") == [
        "uvicorn-c-parser"
    ]
    kept = measures(found)
    assert ("uvicorn-c-parser", "uvicorn-access-log") in set(
        zip(kept["variant"], kept["parent"], strict=True)
    )
    alone = settings_of(
        tmp_path / "alone", variants={"uvicorn-c-parser": VARIED["uvicorn-c-parser"]}, open={}
    )
    assert alone.whole == () and alone.whole_gains == []


def test_a_run_that_measured_another_configuration_is_about_more_than_settings(tried, tmp_path):
    assert tried.settings.alone
    more = settings_of(tmp_path, configurations=("sanic", "uvicorn", "granian"), open={}, repeats=2)
    assert not more.alone and more.judged


def test_one_repeat_shows_nothing(tmp_path):
    found = settings_of(tmp_path, repeats=1, open={})
    fates = {each.name: each.fate for each in found.judged}
    assert set(fates.values()) == {"not shown", "costs"}
    assert [name for name, fate in fates.items() if fate == "costs"] == ["uvicorn-limit"]
    assert found.compared == 0 and found.worth("uvicorn") == []


def test_servers_that_wait_are_told_apart_by_cpu_time(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-access-log", "uvicorn-keep-alive-5")}
    found = settings_of(
        tmp_path, configurations=("uvicorn",), variants=few, scenarios={"sleep": (64,)}, open={}, aliases={}
    )
    log = ratios(found, "uvicorn-access-log")
    assert "throughput" not in log and log["cpu_us"].ratio == pytest.approx(1.5, rel=0.01)
    assert [each.fate for each in found.judged] == ["makes no difference", "costs"]


def test_several_loads_are_one_ratio(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-access-log",)}
    found = settings_of(
        tmp_path,
        configurations=("uvicorn",),
        variants=few,
        scenarios={"index": (64,), "json": (64,)},
        open={},
    )
    ratio = ratios(found, "uvicorn-access-log")["throughput"]
    assert ratio.ratio == pytest.approx(70 / 105, rel=0.01) and ratio.rounds == 5
    loads = {each.measure: dict(each.loads) for each in found.rows}
    assert [*loads["throughput"]] == ["index", "json"] and not loads["pss_bytes"]
    assert loads["throughput"]["json"].ratio == pytest.approx(70 / 105, rel=0.01)


def test_loads_of_one_scenario_are_told_apart_by_their_size(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-access-log",)}
    found = settings_of(
        tmp_path, configurations=("uvicorn",), variants=few, scenarios={"index": (16, 64)}, open={}
    )
    (told,) = ([name for name, _ in each.loads] for each in found.rows if each.measure == "cpu_us")
    assert told == ["index (16 users, 1 worker)", "index (64 users, 1 worker)"]


def test_both_manners_of_the_generator_must_agree(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-c-parser",)}
    rotating = Rotating(manners=("polls", "sleeps"), asleep={"uvicorn-c-parser": 0.8})
    found = settings_of(
        tmp_path, configurations=("uvicorn",), variants=few, open={}, rotation=rotating, aliases={}
    )
    ratio = ratios(found, "uvicorn-c-parser")["throughput"]
    assert ratio.low < 1.01 and ratio.high > 1.24
    assert found.judged[0].fate == "not shown"


def test_runs_in_blocks_are_compared_by_repeat(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-access-log",)}
    found = settings_of(
        tmp_path, configurations=("uvicorn",), variants=few, rotation=None, aliases={}, repeats=3, open={}
    )
    assert ratios(found, "uvicorn-access-log")["throughput"].ratio == pytest.approx(70 / 105, rel=0.02)


def test_a_variant_that_could_not_be_measured_says_why(tmp_path):
    few = {name: VARIED[name] for name in ("uvicorn-access-log", "uvicorn-keep-alive-5")}
    spec = replace(
        SETTINGS, configurations=("uvicorn",), variants=few, rotation=None, aliases={}, repeats=2, open={},
        failed=frozenset({("uvicorn-access-log", "index")}),
    )  # fmt: skip
    found = study(make_settings(tmp_path / "settings", spec)).settings
    (failed,) = [each for each in found.judged if each.unmeasured]
    assert failed.name == "uvicorn-access-log" and failed.fate == "not shown"
    assert failed.unmeasured.endswith("the server ended by itself (exit status 1)")


def test_a_flag_that_a_server_refuses_is_told_in_its_words():
    reason = (
        "odd did not start (exit status 3): ended with status 2\n  usage: odd\n  odd: error: no such flag"
    )
    cells = pd.DataFrame({"configuration": ["odd"], "status": ["failed"], "reason": [reason]})
    told = _reason(SimpleNamespace(cells=cells), "odd")
    first = "odd could not be measured: odd did not start (exit status 3): ended with status 2"
    assert told == f"{first}: odd: error: no such flag"


def test_a_control_tells_no_tail_where_an_open_loop_without_trace_does(tried):
    opened = tried.summary[tried.summary["load_kind"] == "open"]
    slow = opened["schedule_p99_us"].where(opened["configuration"] != "uvicorn-c-parser", 1e9)
    controls = opened.assign(treatment="control", schedule_p99_us=slow).set_axis(opened.index + 10_000)
    both = settings(tried.results, pd.concat([tried.summary, controls]))
    assert ratios(both, "uvicorn-c-parser") == ratios(tried.settings, "uvicorn-c-parser")
    alone = settings(tried.results, pd.concat([tried.summary.drop(opened.index), controls]))
    assert ratios(alone, "uvicorn-c-parser")["p99"].ratio > 1000


def test_a_run_without_variants_has_no_settings(tmp_path):
    spec = Spec(
        configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, open={"index": [Open((900,))]}
    )
    found = study(make_run(tmp_path / "plain", spec)).settings
    assert found.rows == () and not found.alone and found.compared == 0
    assert found.finding == "No variant was measured beside its parent."


def lost(name, count, repeat=1):
    """A cell of ten replacements, in the first of which so many requests are lost."""
    told = [Lost(0.25 + 0.001 * number) for number in range(count)]
    return Story(name, generation(11, 1.0), repeat=repeat, seconds=11, lost=told)


def recycled(tmp_path, *stories, expects=("losses",)):
    folder = make_recycling(tmp_path / "recycle", stories)
    path = folder / "run.json"
    run = json.loads(path.read_text())
    for entry in run["configurations"]:
        if entry["name"] == "hypercorn":
            entry["variant"] = facts("uvicorn", "jitter", "with jitter", "It saves.", "better", expects)
    path.write_text(json.dumps(run))
    return study(folder).settings


def test_losses_are_compared_by_replacement(tmp_path):
    found = recycled(tmp_path, lost("uvicorn", 30), lost("hypercorn", 0), lost("uvicorn", 30, 2))
    (judged,) = found.judged
    (setting,) = judged.measured
    assert setting.measure == "lost" and setting.ratio.ratio == 0 and setting.expected
    assert 0 == setting.ratio.low < setting.ratio.high


def test_what_else_replacing_workers_shows_is_compared_where_it_is_expected(tmp_path):
    both = [
        Life(1, -2, -1, died=2.0), Life(2, -2, -1, died=2.1), Life(3, 2.2, 2.6, died=5.0), Life(4, 2.3, 2.7),
        Life(5, 5.1, 5.4),
    ]  # fmt: skip
    apart = [
        Life(1, -2, -1, died=2.0), Life(2, -2, -1, died=4.1), Life(3, 1.5, 1.7, died=7.0), Life(4, 3.7, 3.9),
        Life(5, 6.7, 6.9),
    ]  # fmt: skip
    expects = ("losses", "start", "stall", "overlap")
    stories = (Story("uvicorn", both, workers=2), Story("hypercorn", apart, workers=2))
    found = ratios(recycled(tmp_path, *stories, expects=expects), "hypercorn")
    assert set(found) == {"lost", *expects[1:]}
    assert found["start"].ratio == pytest.approx(0.2 / (0.4 * 0.4 * 0.3) ** (1 / 3), rel=0.02)
    assert found["stall"].ratio < 0.1 and found["overlap"].ratio == 0


def test_the_cpu_time_of_replacing_workers_is_compared_where_it_is_expected(tmp_path):
    stories = [
        Story(name, generation(11, 1.0), repeat=repeat, seconds=11, cpu_s=(start_s, 0.0002))
        for name, start_s in (("uvicorn", 0.2), ("hypercorn", 0.4))
        for repeat in (1, 2)
    ]
    found = ratios(recycled(tmp_path, *stories, expects=("replacing", "losses")), "hypercorn")
    assert set(found) == {"cpu_replacing", "lost"}
    assert 1.2 < found["cpu_replacing"].ratio < 2 and found["cpu_replacing"].rounds == 2


def test_servers_that_lose_nothing_are_told_so(tmp_path):
    found = recycled(tmp_path, lost("uvicorn", 0), lost("hypercorn", 0))
    (judged,) = found.judged
    assert judged.fate == judged.claim == "not shown"
    assert "neither lost a request in 10 replacements or more" in judged.figure
    assert judged.lacking == []


def test_a_control_of_recycling_weighs_and_waits_as_any_open_loop(tmp_path):
    steady = [
        Story(name, [Life(1000, -2, -1)], "control", repeat=repeat, seconds=11)
        for name in ("uvicorn", "hypercorn")
        for repeat in (1, 2)
    ]
    found = recycled(tmp_path, *steady)
    known = ratios(found, "hypercorn")
    assert set(known) == {"p99", "pss_bytes"}
    assert known["p99"].ratio == pytest.approx(1) and known["pss_bytes"].ratio == pytest.approx(1)
