import json
from dataclasses import replace

import pytest

from analysis.recommend.decision import decide
from bench.model.requirements import Requirements
from tests.analysis.recommend.builders import (
    NO,
    YES,
    both,
    evidence,
    known,
    latency,
    performance,
    price,
    recycled,
    unrecycled,
)

SANIC = known("sanic", "app")
TWINS = evidence(
    SANIC,
    unrecycled(),
    known("uvicorn", "respawn"),
    performance=[performance({"sanic": 200, "sanic-single": 200, "uvicorn": 100})],
)


def why(verdict):
    return {each.configuration: each.why for each in verdict.candidates}


def test_the_requirement_decides_between_twins_of_which_one_cannot_recycle():
    verdict = decide(TWINS, Requirements())
    assert (verdict.decision, verdict.recommended) == ("recommended", ("sanic",))
    assert verdict.finding == (
        "Use sanic: it meets the requirements; uvicorn, the next that does, has 0.500x (0.500 to 0.500) the "
        "requests per second of sanic over index."
    )
    assert why(verdict) == {
        "sanic": "recommended",
        "uvicorn": "0.500x (0.500 to 0.500) the requests per second of sanic",
        "sanic-single": "restart: has no way to replace workers",
    }
    assert [each.configuration for each in verdict.candidates] == ["sanic", "uvicorn", "sanic-single"]
    assert [each.rank for each in verdict.candidates] == [1, 2, None]


def test_what_is_better_and_gets_no_more_fixes_is_named_beside_the_answer():
    old = known("gunicorn-sanic", ended="an end")
    figures = performance({"sanic": 200, "uvicorn": 100, "gunicorn-sanic": 250})
    known_of = evidence(SANIC, known("uvicorn", "respawn"), old, performance=[figures])
    verdict = decide(known_of, Requirements())
    assert verdict.recommended == ("sanic",)
    assert verdict.finding.endswith(
        "gunicorn-sanic has 1.25x (1.25 to 1.25) the requests per second of sanic, and gets no more fixes "
        "(--no-maintained leaves that out)."
    )
    assert decide(known_of, Requirements(maintained=False)).recommended == ("gunicorn-sanic",)
    slower = evidence(SANIC, old, performance=[performance({"sanic": 200, "gunicorn-sanic": 190})])
    assert "fixes" not in decide(slower, Requirements()).finding


def test_what_comes_first_decides_which_is_best():
    memory = performance({"sanic": 80, "uvicorn": 40}, metric="MiB")
    verdict = decide(replace(TWINS, memory=(memory,)), Requirements(first="memory"))
    assert verdict.finding == (
        "Use uvicorn: it meets the requirements; sanic, the next that does, has 2.00x (1.98 to 2.02) the "
        "memory of uvicorn over index."
    )
    assert verdict.columns[3] == "memory" and "ranked by memory" in verdict.requirements.text
    assert [each.rank for each in verdict.candidates] == [1, 2, None]


def test_a_tail_that_no_open_loop_shows_ranks_nothing_and_says_which_plan_does():
    verdict = decide(TWINS, Requirements(first="tail"))
    assert verdict.decision == "none" and why(verdict)["sanic"] == "not ranked: its p99 was not measured"
    assert verdict.measure == ("make bench PLAN=full CONFIGURATIONS=sanic,uvicorn REPEATS=10",)


def test_without_the_requirement_they_tie():
    verdict = decide(TWINS, Requirements(restart="none"))
    assert (verdict.decision, verdict.recommended) == ("tie", ("sanic", "sanic-single"))
    assert verdict.finding.startswith(
        "Nothing is clearly best: sanic and sanic-single meet the requirements and tie; uvicorn, the next"
    )
    assert [each.rank for each in verdict.candidates] == [1, 1, 3]
    assert [each.configuration for each in verdict.commands] == ["sanic", "sanic-single"]
    assert "make bench CONFIGURATIONS=sanic,sanic-single SCENARIOS=index REPEATS=10" in verdict.measure


def test_what_to_measure_next_is_of_the_app_that_was_measured():
    own = ("APP=shop:app", "APP_DIR=/srv/shop", "SCENARIO=/srv/shop/locustfile.py")
    runs = [replace(run, own=own) if run.kind == "performance" else run for run in TWINS.runs]
    verdict = decide(replace(TWINS, runs=tuple(runs)), Requirements(restart="none"))
    assert f"make bench {' '.join(own)} CONFIGURATIONS=sanic,sanic-single REPEATS=10" in verdict.measure
    verdict = decide(replace(TWINS, runs=tuple(runs[:1])), Requirements())
    assert f"make recycle {' '.join(own)}" in verdict.measure


def test_the_fastest_is_not_the_best_if_it_fails_and_its_figure_is_told():
    lossy = known("hypercorn", prices=both(ran=400))
    verdict = decide(
        evidence(known(), lossy, performance=[performance({"gunicorn-uvicorn": 100, "hypercorn": 300})]),
        Requirements(),
    )
    assert verdict.recommended == ("gunicorn-uvicorn",)
    assert verdict.finding == "Use gunicorn-uvicorn: it alone is shown to meet the requirements."
    _, failed = verdict.candidates
    assert failed.outcome == "failed" and failed.rank is None
    assert failed.why.startswith("lost although the handler ran: 10,000 per 1000 recycles (9,")
    assert failed.performance.of == "gunicorn-uvicorn" and failed.performance.ratio == pytest.approx(3, 0.01)


def test_who_alone_passes_needs_no_rank():
    verdict = decide(evidence(known(), kinds=("recycling",)), Requirements())
    assert verdict.recommended == ("gunicorn-uvicorn",) and verdict.decision == "recommended"
    assert verdict.candidates[0].rank is None
    assert "nothing is known of speed" in " ".join(verdict.not_covered)
    assert verdict.measure == ("make bench",)


def test_several_that_pass_and_are_not_measured_are_no_recommendation():
    verdict = decide(evidence(known("a"), known("b"), kinds=("recycling",)), Requirements())
    assert (verdict.decision, verdict.recommended, verdict.commands) == ("none", (), ())
    assert verdict.finding == "a and b meet the requirements, but nothing ranks them."
    assert why(verdict)["a"] == "not ranked: its performance was not measured"


def test_one_that_is_compared_with_none_is_not_the_best():
    verdict = decide(evidence(known("a"), known("b"), performance=[performance({"a": 1})]), Requirements())
    assert verdict.decision == "none"
    assert why(verdict) == {
        "a": "not ranked: there is nothing to compare it with",
        "b": "not ranked: its performance was not measured in index",
    }
    assert verdict.measure == ("make bench CONFIGURATIONS=a,b SCENARIOS=index REPEATS=10",)


def test_nothing_passes():
    verdict = decide(evidence(unrecycled(), known(killed=NO)), Requirements(survive_kill=True))
    assert (verdict.decision, verdict.commands) == ("none", ())
    assert verdict.finding == "No configuration meets the requirements."


def test_everything_is_not_shown():
    verdict = decide(evidence(known("a"), known("b", killed=YES)), Requirements(graceful_stop=True))
    assert verdict.decision == "none"
    assert verdict.finding == "No configuration is shown to meet the requirements; a and b may."
    assert why(verdict)["a"] == "stopped under load: not measured"
    assert verdict.measure == ("make recycle CONFIGURATIONS=a,b",)


def test_what_is_not_shown_does_not_stand_in_the_way_and_is_not_forgotten():
    few = known("b", prices=both(recycles=8))
    verdict = decide(
        evidence(known("a"), few, performance=[performance({"a": 100, "b": 300})]), Requirements()
    )
    assert verdict.recommended == ("a",)
    assert why(verdict)["b"].startswith("lost although the handler ran: 0 of 8 recycles (up to 461 per 1000)")
    assert "These may meet the requirements as well, which is not shown: b." in verdict.not_covered
    assert verdict.measure == ("make recycle CONFIGURATIONS=b",)


def test_who_passed_without_a_rank_is_named_beside_the_best():
    table = performance({"a": 200, "b": 100}, left_out={"c": "4.00% of its requests failed in index"})
    verdict = decide(evidence(known("a"), known("b"), known("c"), performance=[table]), Requirements())
    assert verdict.recommended == ("a",)
    assert why(verdict)["c"] == "not ranked: 4.00% of its requests failed in index"
    assert any("could not be ranked, and may perform better: c" in text for text in verdict.not_covered)
    assert [each.configuration for each in verdict.candidates] == ["a", "b", "c"]


def test_a_scenario_with_a_weight_that_was_not_measured_ranks_nobody():
    table = performance({"a": 200, "b": 100})
    verdict = decide(
        evidence(known("a"), known("b"), performance=[table]), Requirements(weights={"sleep": 3, "index": 1})
    )
    assert verdict.decision == "none"
    assert why(verdict)["a"] == "not ranked: sleep was not measured"
    assert verdict.measure == ("make bench CONFIGURATIONS=a,b SCENARIOS=sleep,index REPEATS=10",)


def test_a_p99_that_is_not_shown_is_measured_with_the_plan_that_has_open_loops():
    table = performance({"a": 200})
    verdict = decide(evidence(known("a"), performance=[table]), Requirements(p99_ms={"sleep": 50}))
    assert verdict.finding.endswith("; a may.")
    assert verdict.measure == ("make bench PLAN=full CONFIGURATIONS=a SCENARIOS=sleep,index",)
    shown = known("a", latencies=(latency(20, scenario="sleep"),))
    assert decide(evidence(shown, performance=[table]), Requirements(p99_ms={"sleep": 50})).measure == ()


def test_as_many_replacements_are_asked_for_as_it_takes():
    none_seen = known("a", prices=both(recycles=30))
    verdict = decide(evidence(none_seen), Requirements(enough_recycles=60))
    assert verdict.measure[0] == "make recycle CONFIGURATIONS=a REPLACEMENTS=60 DURATION=360"
    some_seen = known("a", prices=both(ran=4, recycles=40))
    verdict = decide(evidence(some_seen), Requirements(lost_per_1000=100))
    assert verdict.measure[0] == "make recycle CONFIGURATIONS=a REPLACEMENTS=160 DURATION=960"


def test_what_speaks_against_the_best_is_told_though_nobody_requires_it():
    alone = evidence(known("a", killed=NO, terminated=YES), known("b", memory=NO, recycle="rss"))
    verdict = decide(alone, Requirements())
    assert verdict.recommended == ("a",)
    assert verdict.caveats == (
        "a: a worker killed: no (not one of your requirements; --survive-kill makes it one)",
    )
    assert [each.unwanted for each in verdict.candidates[0].judgements].count(True) == 1
    required = decide(alone, Requirements(survive_kill=True))
    assert required.recommended == required.caveats == ()


def test_what_is_lost_before_handlers_run_is_told_of_all_that_pass():
    lossy = known("b", prices=both(retryable=400))
    table = performance({"a": 200, "b": 100})
    verdict = decide(evidence(known("a"), lossy, performance=[table]), Requirements())
    lost = "lost before the handler ran: 10,000 per 1000 recycles (9,"
    assert why(verdict)["b"].startswith(f"0.500x (0.495 to 0.505) the requests per second of a; {lost}")
    (caveat,) = decide(evidence(lossy), Requirements()).caveats
    assert caveat.startswith(f"b: {lost}") and "--retryable-per-1000" in caveat


def test_what_the_command_has_and_nobody_measured_is_told():
    often = known("a", recycled=(replace(recycled(), max_requests=500),))
    gaps = decide(evidence(often), Requirements()).not_covered
    assert any("replaced after 500 requests" in text and "the 10,000 of the command" in text for text in gaps)
    assert any("choose yours with --workers" in text for text in gaps)
    gaps = decide(evidence(often), Requirements(workers=2, max_requests=500)).not_covered
    assert not any("the command" in text.lower() for text in gaps)


def test_gaps_of_the_runs_are_told():
    verdict = decide(evidence(known(), gaps=("Not measured: granian.",)), Requirements())
    assert "Not measured: granian." in verdict.not_covered
    assert any(text.startswith("Workers were replaced with 2 workers;") for text in verdict.not_covered)
    assert any("no other handlers, and not your app" in text for text in verdict.not_covered)


def test_the_document_says_all_of_it():
    verdict = decide(TWINS, Requirements())
    document = json.loads(verdict.json_text())
    assert document["schema"] == 1 and document["decision"] == "recommended"
    assert set(document) == {
        "schema", "decision", "provisional", "finding", "sure", "longer", "recommended",
        "commands", "caveats", "candidates", "method",
        "not_covered", "measure", "requirements", "runs", "behind",
    }  # fmt: skip
    assert document["requirements"]["lost_per_1000"] == 0
    sanic, uvicorn, _ = document["candidates"]
    assert sanic["performance"] is None and uvicorn["performance"]["of"] == "sanic"
    assert sanic["judgements"][0]["cells"] == ["r/index-w2-replaced"]
    assert [run["kind"] for run in document["runs"]] == ["performance", "recycling"]


def test_it_is_a_listing_like_every_other_table():
    verdict = decide(TWINS, Requirements())
    assert all(len(row.texts()) == len(verdict.columns) for row in verdict.rows)
    assert verdict.rows[0].texts()[:4] == ["1", "sanic", "passed", "\N{EN DASH}"]
    assert verdict.rows[1].texts()[:4] == ["2", "uvicorn", "passed", "0.50x"]
    assert verdict.title and verdict.basis == verdict.method


FEW = {"prices": (price(recycles=9, workers=1),)}


def test_where_nothing_is_shown_the_likely_are_ranked_and_the_answer_is_provisional():
    table = performance({"a": 200, "b": 100, "c": 300})
    lossy = known("c", prices=(price(ran=2, recycles=9),))
    verdict = decide(
        evidence(known("a", **FEW), known("b", **FEW), lossy, performance=[table]), Requirements()
    )
    assert (verdict.decision, verdict.provisional, verdict.recommended) == ("recommended", True, ("a",))
    assert verdict.finding.startswith(
        "Use a, provisionally: it is likely to meet the requirements; b, the next"
    )
    assert why(verdict)["a"] == "recommended, provisionally"
    assert why(verdict)["c"].startswith("lost although the handler ran: 222 per 1000")
    assert verdict.sure[0] == (
        "a: requests lost although their handler ran: none in 9 recycles, which leaves up to 410 per 1000 "
        "possible (1 worker, keep-alive)."
    )
    assert verdict.longer == (
        "A run of recycling would add: 20 recycles of a kind instead of 9, a connection per request, several "
        "workers, whether memory stays bounded, a worker killed and a stop under load.",
    )
    assert verdict.measure[0] == "make recycle CONFIGURATIONS=a"


def test_what_is_shown_goes_before_what_is_likely_and_performs_better():
    table = performance({"a": 100, "b": 300})
    verdict = decide(evidence(known("a"), known("b", **FEW), performance=[table]), Requirements())
    assert (verdict.recommended, verdict.provisional) == (("a",), False)
    assert "These may meet the requirements as well, which is not shown: b." in verdict.not_covered


def test_of_equals_those_that_lost_nothing_at_all_are_named():
    table = performance({"a": 200, "b": 200})
    again = known("b", prices=(price(retryable=40, recycles=9),))
    verdict = decide(evidence(known("a", **FEW), again, performance=[table]), Requirements())
    assert verdict.decision == "tie" and len(verdict.commands) == 2
    assert verdict.finding == (
        "Nothing is clearly best so far: a and b are likely to meet the requirements and tie. "
        "Of those that tie, only a lost no request when workers were replaced."
    )


def test_where_all_lose_the_least_loss_and_the_best_without_recycling_are_told():
    table = performance({"a": 200, "b": 100, "sanic-single": 300})
    lossy = [known(name, prices=(price(ran=ran, recycles=9),)) for name, ran in (("a", 9), ("b", 2))]
    verdict = decide(evidence(*lossy, unrecycled(), performance=[table]), Requirements())
    assert verdict.decision == "none"
    assert verdict.finding == (
        "No configuration meets the requirements. b loses least when workers are replaced: 2 requests whose "
        "handler ran in 9 recycles, which is 222 per 1000 (26.9 to 803; 2 workers, keep-alive). "
        "Where no worker need be replaced, sanic-single performs best."
    )
