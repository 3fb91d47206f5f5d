import math

import pytest

from analysis.recommend.judging import judge, overall, within
from bench.model.requirements import Requirements
from tests.analysis.recommend.builders import (
    CATALOGUE,
    NO,
    YES,
    both,
    known,
    latency,
    losses,
    price,
    recycled,
    unrecycled,
)


def judged(configuration, requirement, **asked):
    found = [each for each in judge(configuration, Requirements(**asked)) if each.requirement == requirement]
    assert len(found) == 1, f"{requirement} is judged {len(found)} times"
    return found[0]


@pytest.mark.parametrize(
    "recycle, restart, outcome",
    [
        ("flag", "requests", "passed"),
        ("app", "requests", "passed"),
        ("respawn", "requests", "passed"),
        ("rss", "requests", "failed"),
        ("none", "requests", "failed"),
        ("flag", "memory", "failed"),
        ("rss", "memory", "passed"),
        ("none", "memory", "failed"),
        ("flag", "any", "passed"),
        ("rss", "any", "passed"),
        ("none", "any", "failed"),
    ],
)
def test_the_way_in_which_workers_are_replaced_must_be_the_one_required(recycle, restart, outcome):
    assert judged(known(recycle=recycle), "restart", restart=restart).outcome == outcome


@pytest.mark.parametrize(
    "outcomes, outcome, told",
    [
        (["replaced", "replaced"], "passed", "yes in index, 2 workers: as imagined (and in 1 more cell)"),
        (["replaced", "too few"], "passed", "yes in index, 2 workers: as imagined"),
        (["replaced", "broken"], "failed", "broken in index, 2 workers: as imagined"),
        (["not replaced", "replaced"], "failed", "not replaced in index, 2 workers: as imagined"),
        (["too few"], "not shown", "too few in index, 2 workers: as imagined"),
        ([], "not shown", "not measured"),
    ],
)
def test_one_cell_is_enough_to_fail_and_one_that_tells_to_pass(outcomes, outcome, told):
    found = judged(known(recycled=tuple(recycled(each) for each in outcomes)), "restart")
    assert (found.outcome, found.figure) == (outcome, told)
    deciding = {"passed": "replaced", "not shown": "too few"}.get(outcome)
    assert all(deciding is None or cell.endswith(deciding) for cell in found.cells)


def test_where_no_worker_is_to_be_replaced_nothing_is_asked_about_it():
    asked = {each.requirement for each in judge(unrecycled(), Requirements(restart="none"))}
    assert asked == {"memory_bounded", "survive_kill", "graceful_stop"}
    assert overall(judge(unrecycled(), Requirements(restart="none"))) == "passed"
    assert overall(judge(unrecycled(), Requirements())) == "failed"


@pytest.mark.parametrize(
    "workers, asked, outcome",
    [
        ([1], None, "failed"),
        ([1, 2], None, "passed"),
        ([2], None, "passed"),
        ([1, 2], 1, "failed"),
        ([1, 2], 4, "passed"),
        ([], None, "not shown"),
    ],
)
def test_a_server_that_only_ends_needs_a_process_manager(workers, asked, outcome):
    cells = tuple(recycled(workers=each) for each in workers)
    server = known("uvicorn", "respawn", recycled=cells)
    assert judged(server, "process_manager", process_manager=False, workers=asked).outcome == outcome
    assert judged(server, "process_manager", workers=asked).outcome is None


def test_what_gets_no_more_fixes_fails_unless_that_is_said_not_to_matter():
    old = known("gunicorn-sanic", ended=(why := CATALOGUE.get("gunicorn-sanic").ended))
    assert why and overall(judge(old, Requirements())) == "failed"
    found = judged(old, "maintained")
    assert (found.outcome, found.figure, found.unwanted) == ("failed", f"no: {why}", False)
    told = judged(old, "maintained", maintained=False)
    assert (told.outcome, told.unwanted) == (None, True)
    assert not [each for each in judge(known(), Requirements()) if each.requirement == "maintained"]


def test_who_replaces_workers_itself_needs_no_process_manager():
    assert judged(known(), "process_manager", process_manager=False).outcome == "passed"


def test_no_loss_is_shown_by_enough_recycles():
    twelve = judged(known(prices=both(recycles=12)), "lost_per_1000")
    assert twelve.outcome == "likely"
    assert twelve.figure == (
        "0 of 12 recycles (up to 307 per 1000) with 2 workers, keep-alive; "
        "20 recycles without a loss would show it"
    )
    assert judged(known(prices=both(recycles=12)), "lost_per_1000", enough_recycles=12).outcome == "passed"
    assert judged(known(prices=both(recycles=20)), "lost_per_1000").outcome == "passed"
    assert judged(known(prices=both(recycles=4)), "lost_per_1000").outcome == "not shown"


def test_one_loss_in_a_few_recycles_is_enough_to_know():
    assert judged(known(prices=both(ran=1, recycles=9)), "lost_per_1000").outcome == "failed"
    # A limit above zero is another question, which so few recycles do not answer.
    assert (
        judged(known(prices=both(ran=1, recycles=9)), "lost_per_1000", lost_per_1000=50).outcome
        == "not shown"
    )


def test_the_interval_decides_about_a_limit():
    server = known(prices=both(ran=4, recycles=40))
    rate = losses(4, 40)
    assert 20 < rate.low < 100 < rate.high < 300
    assert judged(server, "lost_per_1000", lost_per_1000=0).outcome == "failed"
    assert judged(server, "lost_per_1000", lost_per_1000=0).figure.endswith("; allowed: 0")
    # Above the lower end of the interval and below the figure itself.
    assert judged(server, "lost_per_1000", lost_per_1000=60).outcome == "not shown"
    assert judged(server, "lost_per_1000", lost_per_1000=100).outcome == "not shown"
    assert judged(server, "lost_per_1000", lost_per_1000=300).outcome == "passed"


def test_an_unknown_interval_shows_nothing():
    unknown = losses(1, 40).__class__(1, math.nan, math.nan, math.nan)
    assert within(unknown, 40, 10.0, 20) == "not shown"


def test_losses_whose_handler_ran_and_those_that_may_be_sent_again_are_apart():
    server = known(prices=both(retryable=40))
    assert judged(server, "lost_per_1000").outcome == "passed"
    told = judged(server, "retryable_per_1000")
    assert told.outcome is None and told.figure.startswith("1,000 per 1000 recycles (")
    assert judged(server, "retryable_per_1000", retryable_per_1000=500).outcome == "failed"


def test_both_kinds_of_connections_count_unless_one_is_said_to():
    kept = known(prices=(price(),))
    assert judged(kept, "lost_per_1000").outcome == "likely"
    assert judged(kept, "lost_per_1000").figure.endswith("; not measured with a connection per request")
    assert judged(known(prices=()), "lost_per_1000").figure == (
        "not measured with keep-alive or not measured with a connection per request"
    )
    assert judged(kept, "lost_per_1000", connections="keep-alive").outcome == "passed"
    assert judged(kept, "lost_per_1000", connections="per-request").outcome == "not shown"
    assert judged(kept, "retryable_per_1000").figure.startswith("0 of 40 recycles")
    closing = known(prices=(price(ran=40), price(connections="per-request")))
    assert judged(closing, "lost_per_1000").outcome == "failed"
    assert judged(closing, "lost_per_1000").cells == ("r/keep-alive-w2",)
    assert judged(closing, "lost_per_1000", connections="per-request").outcome == "passed"


def test_the_worst_number_of_workers_decides_unless_it_is_given():
    server = known(prices=(*both(workers=2, ran=40), *both(workers=1)))
    assert judged(server, "lost_per_1000").outcome == "failed"
    assert judged(server, "lost_per_1000", workers=1).outcome == "passed"
    assert judged(server, "lost_per_1000", workers=8).outcome == "failed"


def test_the_longest_stall_decides():
    server = known(recycled=(recycled(stall_s=0.02), recycled(scenario="slow", stall_s=1.2)))
    assert judged(server, "stall_s").outcome is None
    assert judged(server, "stall_s", stall_s=1.2).outcome == "passed"
    failed = judged(server, "stall_s", stall_s=1)
    assert failed.outcome == "failed"
    assert failed.figure == "1.20 s at the longest, in slow, 2 workers; allowed: 1.00 s"
    assert failed.cells == ("r/slow-w2-replaced",)
    broken = known(recycled=(recycled("broken", stall_s=0.01), recycled(stall_s=math.nan)))
    assert judged(broken, "stall_s", stall_s=1).outcome == "not shown"


@pytest.mark.parametrize(
    "loads, outcome, figure",
    [
        ([latency(10)], "passed", "10.0 ms (9.09 to 11.0)"),
        ([latency(10), latency(30, rate_per_s=3000)], "not shown", "30.0 ms (27.3 to 33.0)"),
        ([latency(10), latency(40, rate_per_s=3000)], "failed", "40.0 ms (36.4 to 44.0)"),
        (
            [latency(10, low_ms=math.nan, high_ms=math.nan)],
            "not shown",
            "a p99 with an interval takes more repeats",
        ),
        ([latency(90, achieved=0.9, busy=0.99)], "failed", "only 90% of the arrivals were served"),
        ([latency(90, achieved=0.9, busy=0.5)], "not shown", "only 90% of the arrivals were served"),
        ([latency(10, error_rate=0.02)], "failed", "2.00% of the requests failed"),
        ([latency(10, scenario="sleep")], "not shown", "index was not measured in an open loop"),
    ],
)
def test_the_p99_must_keep_its_limit_at_every_rate(loads, outcome, figure):
    found = judged(known(latencies=tuple(loads)), "p99_ms", p99_ms={"index": 30})
    assert found.outcome == outcome
    assert found.figure.startswith(figure)


def test_a_limit_for_each_scenario_is_a_requirement_of_its_own():
    server = known(latencies=(latency(10), latency(60, scenario="sleep")))
    asked = Requirements(p99_ms={"index": 30, "sleep": 30})
    outcomes = [each.outcome for each in judge(server, asked) if each.requirement == "p99_ms"]
    assert outcomes == ["passed", "failed"]


@pytest.mark.parametrize(
    "key, requirement",
    [("memory", "memory_bounded"), ("killed", "survive_kill"), ("terminated", "graceful_stop")],
)
def test_answers_of_the_deciding_table_count_where_they_are_required(key, requirement):
    for seen, outcome in ((YES, "passed"), (NO, "failed")):
        server = known(**{key: seen})
        found = judged(server, requirement, **{requirement: True})
        assert (found.outcome, found.figure, found.cells) == (outcome, seen.text, seen.cells)
        assert judged(server, requirement).outcome is None
        assert judged(server, requirement).figure == seen.text
    assert judged(known(), requirement, **{requirement: True}).outcome == "not shown"


def test_the_worst_judgement_is_the_whole():
    assert overall(judge(known(), Requirements())) == "passed"
    assert overall(judge(known(), Requirements(survive_kill=True))) == "not shown"
    assert overall(judge(known(memory=NO), Requirements(survive_kill=True, memory_bounded=True))) == "failed"
