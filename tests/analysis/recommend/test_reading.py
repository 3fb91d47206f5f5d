"""From runs whose answers are known to evidence, and from there to a verdict."""

import json
from dataclasses import replace

import pytest

from analysis.recommend import judge
from analysis.recommend.reading import read
from analysis.recycling.requests import rate
from analysis.study import study
from bench.model.requirements import Requirements
from tests.fixtures.make_recycling import Life, Lost, Story, generation, make_recycling
from tests.fixtures.make_run import ROTATED, Open, Rotating, Spec, make_run

EVEN = generation(11, 1.0)
ALONE = [Life(1, -2, -1)]
PAIR = [Life(1, -2, -1, died=2.0), Life(2, -2, -1), Life(3, 2.1, 2.4)]


@pytest.fixture
def told(tmp_path):
    """What a run of some stories shows, by configuration: `told(Story(...))`."""

    def make(*stories):
        analysed = study(make_recycling(tmp_path / "results" / "20261122-090000-recycle", stories))
        return {each.name: each for each in read(None, analysed).configurations}

    return make


@pytest.fixture
def measured(tmp_path):
    """What a run of performance shows: `measured(configurations=...)`."""

    def make(**changes):
        fields = {"configurations": ("sanic", "uvicorn"), "scenarios": {"index": (64,)}} | changes
        return read(study(make_run(tmp_path / "results" / "20261122-080000-quick", Spec(**fields))), None)

    return make


def test_losses_are_counted_apart_by_connections_workers_and_whether_the_handler_ran(told):
    lost = (Lost(2.0), Lost(2.01), Lost(5.0, far="finished", pid=1005), Lost(6.0, far="started", pid=1006))
    prices = told(
        Story("sanic", EVEN, lost=lost),
        Story("sanic", PAIR, workers=2),
        Story("sanic", EVEN, scenario="index-close", keep_alive=False, lost=(Lost(3.0),)),
    )["sanic"].prices
    found = {(each.connections, each.workers): each for each in prices}
    assert set(found) == {("keep-alive", 1), ("keep-alive", 2), ("per-request", 1)}
    kept = found["keep-alive", 1]
    assert (kept.recycles, kept.ran.lost, kept.retryable.lost) == (10, 2, 2)
    expected = [1000 * each for each in rate([0] * 8 + [1, 1])]
    assert [kept.ran.per_1000, kept.ran.low, kept.ran.high] == pytest.approx(expected)
    assert kept.cells == ("20261122-090000-recycle/sanic/index/o100-constant-w1-n100/r1",)
    assert (found["keep-alive", 2].recycles, found["keep-alive", 2].ran.lost) == (1, 0)
    assert (found["per-request", 1].ran.lost, found["per-request", 1].retryable.lost) == (0, 1)


def test_a_loss_in_no_replacement_counts_as_well(told):
    slow = generation(2, 6.0)
    (found,) = told(Story("sanic", slow, max_requests=300, lost=(Lost(1.0),)))["sanic"].prices
    assert (found.recycles, found.retryable.lost, found.retryable.per_1000) == (1, 1, 1000.0)


def test_repeats_are_counted_together(told):
    again = Story("sanic", EVEN, repeat=2, lost=(Lost(2.0, far="started", pid=1002),))
    (found,) = told(Story("sanic", EVEN), again)["sanic"].prices
    assert (found.recycles, found.ran.lost, found.ran.per_1000) == (20, 1, 50.0)
    assert len(found.cells) == 2


def test_a_cell_in_which_nobody_was_replaced_tells_if_it_served_enough(told):
    enough, few = Story("sanic", ALONE), Story("uvicorn", ALONE, max_requests=5000)
    heavy = Story("granian", ALONE, max_requests=None, max_rss_mib=30)
    light = Story("hypercorn", ALONE, max_requests=None, max_rss_mib=300)
    found = told(enough, few, heavy, light)
    outcomes = {name: each.recycled[0].outcome for name, each in found.items()}
    assert outcomes == {
        "sanic": "not replaced", "uvicorn": "too few", "granian": "not replaced", "hypercorn": "too few",
    }  # fmt: skip


def test_broken_and_failed_cells_are_broken(told):
    ends = Story("sanic", [Life(1, -2, -1, died=2.0)], server_ended=(2.0, 0))
    failed = Story("uvicorn", ALONE, failed="it keeps starting workers that die\nits log follows")
    found = told(Story("granian", EVEN), ends, failed)
    (broken,), (never,) = found["sanic"].recycled, found["uvicorn"].recycled
    assert broken.outcome == never.outcome == "broken"
    assert broken.reason.startswith("the server ended by itself")
    assert never.reason == "it keeps starting workers that die"
    assert found["sanic"].prices == found["uvicorn"].prices == ()
    assert found["sanic"].served == found["uvicorn"].served == ()


def test_answers_of_the_deciding_table_are_taken_over(told):
    leaking = {"scenario": "leak", "leak_mib": 0.5}
    killed = Life(1, -2, -1, died=3.0, exit_status=-9)
    shared = {"workers": 2, "probe": (3.0, 1)}
    stopped = {"answer_s": 2.0, "probe": (3.0, 99), "rate": 10}
    found = told(
        Story("sanic", EVEN, **leaking),
        Story("sanic", ALONE, "control", **leaking),
        Story("sanic", [killed, Life(2, -2, -1)], "kill", **shared),
        Story("sanic", [Life(1, -2, -1, died=5.1)], "terminate", **stopped),
        Story("uvicorn", [killed, Life(2, -2, -1), Life(3, 3.1, 3.4)], "kill", **shared),
        Story("uvicorn", [Life(1, -2, -1, died=4.0)], "terminate", **stopped),
    )
    sanic, uvicorn = found["sanic"], found["uvicorn"]
    assert (sanic.memory.outcome, sanic.killed.outcome, sanic.terminated.outcome) == (
        "passed", "failed", "passed",
    )  # fmt: skip
    assert sanic.memory.text.startswith("yes: ") and len(sanic.memory.cells) == 2
    assert sanic.killed.cells == ("20261122-090000-recycle/sanic/index/o100-constant-w2-kill/r1",)
    assert (uvicorn.memory.outcome, uvicorn.killed.outcome, uvicorn.terminated.outcome) == (
        "not shown", "passed", "failed",
    )  # fmt: skip
    assert uvicorn.memory.text == "not measured"


def test_every_cell_that_is_named_is_a_folder(told, tmp_path):
    found = told(Story("sanic", EVEN, lost=(Lost(2.0),)), Story("sanic", ALONE, "control"))["sanic"]
    cells = {*(each.cell for each in found.recycled), *found.prices[0].cells}
    assert cells and all((tmp_path / "results" / cell / "cell.json").is_file() for cell in cells)


def test_commands_of_cells_that_worked_are_kept_by_workers_and_treatment(told):
    found = told(
        Story("sanic", EVEN), Story("sanic", PAIR, workers=2), Story("sanic", ALONE, "control"),
        Story("sanic", ALONE, scenario="slow"),
    )["sanic"]  # fmt: skip
    kinds = [(each.workers, each.replacing) for each in found.served]
    assert kinds == [(1, False), (1, True), (2, True)]
    assert found.served[2].words == ("sanic", "app:app", "--workers", "2")
    assert found.served[2].environment == {"SERVED_BY": "sanic"}
    assert found.versions == {"python": "3.11.7", "sanic": "25.12.1", "uvicorn": "0.54.0"}
    assert (found.keep_alive_s, found.backlog, found.recycle) == (75.0, 2048, "app")


def test_performance_is_that_of_the_ranking_in_each_repeat(measured):
    found = measured()
    (table,) = found.performance
    assert (table.scenario, table.workers, table.users, table.metric) == ("index", 1, 64, "second")
    assert set(table.values) == {"sanic", "uvicorn"} and set(table.values["sanic"]) == {1, 2, 3}
    for repeat in (1, 2, 3):
        ratio = table.values["sanic"][repeat] / table.values["uvicorn"][repeat]
        assert ratio == pytest.approx(2, rel=0.1)
    assert found.server_cpus == 1 and found.tail == ()
    assert {each.name for each in found.configurations} == {"sanic", "uvicorn"}
    assert found.configurations[0].recycled == found.configurations[0].prices == ()


def test_where_servers_were_not_saturated_cpu_time_counts(measured):
    (table,) = measured(scenarios={"sleep": (64,)}).performance
    assert table.metric == "CPU-second"
    # 35 µs of CPU time for each request.
    assert table.values["sanic"][1] == pytest.approx(1e6 / 35, rel=0.1)


def test_who_fails_requests_is_left_out_with_the_reason(measured):
    (table,) = measured(configurations=("gunicorn-asgi", "uvicorn")).performance
    assert set(table.values) == {"uvicorn"}
    assert table.left_out == {"gunicorn-asgi": "0.40% of its requests failed in index"}


def test_aliases_are_no_choice(measured):
    found = measured(aliases={"sanic-again": "sanic"})
    assert [each.name for each in found.configurations] == ["sanic", "uvicorn"]
    assert set(found.performance[0].values) == {"sanic", "uvicorn"}
    assert not any("sanic-again" in text for text in found.gaps)


def test_open_loops_have_their_p99_and_its_interval(measured):
    found = measured(open={"index": (Open((1000, 4000)),)})
    sanic = next(each for each in found.configurations if each.name == "sanic")
    assert [each.rate_per_s for each in sanic.latencies] == [1000.0, 4000.0]
    for each in sanic.latencies:
        assert 0 < each.low_ms <= each.p99_ms <= each.high_ms and each.achieved > 0.99
        assert len(each.cells) == 3 and all("/o" in cell for cell in each.cells)
    assert (sanic.latencies[0].scenario, sanic.latencies[0].workers) == ("index", 1)


def test_memory_is_that_of_all_processes_in_each_repeat(measured):
    (table,) = measured(configurations=("sanic", "gunicorn-asgi", "uvicorn")).memory
    assert (table.scenario, table.metric, table.manners) == ("index", "MiB", ())
    assert set(table.values) == {"sanic", "uvicorn"} and set(table.left_out) == {"gunicorn-asgi"}
    assert [table.values["uvicorn"][repeat] for repeat in (1, 2, 3)] == pytest.approx([30] * 3, rel=0.1)


def test_the_tail_is_read_where_most_kept_up_and_the_others_say_why_they_have_none(measured):
    # hypercorn does 6156 requests/s at most, uvicorn 14 071.
    names = ("sanic", "uvicorn", "hypercorn")
    (table,) = measured(configurations=names, open={"index": (Open((1000, 4000)),)}).tail
    assert (table.rate_per_s, table.metric, set(table.values)) == (4000.0, "ms", set(names))
    assert table.values["sanic"][1] < table.values["uvicorn"][1] < table.values["hypercorn"][1]


def test_what_did_not_keep_up_has_no_tail(measured):
    found = measured(configurations=("sanic", "uvicorn", "hypercorn"), open={"index": (Open((8000,)),)})
    (table,) = found.tail
    assert set(table.values) == {"sanic", "uvicorn"}
    assert table.left_out == {"hypercorn": "it did not keep up with 8,000 requests/s in index"}


def test_a_variant_that_was_not_measured_has_what_was_measured_of_its_base(tmp_path):
    folder = make_run(
        tmp_path / "quick", Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (64,)})
    )
    recycling = make_recycling(tmp_path / "recycle", [Story("granian", EVEN), Story("hypercorn", EVEN)])
    run = json.loads((folder / "run.json").read_text())
    for entry in run["configurations"]:
        entry["variant_of"] = "uvicorn" if entry["name"] in ("granian", "gunicorn-asgi") else None
    (folder / "run.json").write_text(json.dumps(run))
    found = read(study(folder), study(recycling))
    (table,) = found.performance
    assert set(table.values) == {"sanic", "uvicorn", "granian"}
    assert table.values["granian"] == table.values["uvicorn"]
    # It may be one that changes nothing but memory.
    assert set(found.memory[0].values) == {"sanic", "uvicorn"}


def test_gaps_name_what_was_not_measured_and_under_which_conditions(measured):
    found = measured(configurations=("sanic", "uvicorn", "gunicorn-sanic"), steal=0.1)
    text = "\n".join(found.gaps)
    assert "20261122-080000-quick: synthetic, Imagined CPU, 2 CPUs (1 for the server)" in text
    assert "over loopback" in text
    assert "gunicorn-sanic could not be measured: no Python 3.9 here" in text
    assert "Not measured: sanic-single, gunicorn-uvicorn-worker," in text
    assert "other guests of this host took up to 10% of the CPU time" in text


def test_from_two_runs_to_a_recommendation(tmp_path):
    """sanic replaces its workers without a loss; uvicorn, half as fast, too; sanic-single never."""
    names = ("sanic", "sanic-single", "uvicorn")
    fast = study(make_run(tmp_path / "quick", Spec(configurations=names, scenarios={"index": (64,)})))
    stories = [
        Story(name, EVEN, scenario=scenario, keep_alive=not scenario.endswith("close"), repeat=repeat)
        for name in ("sanic", "uvicorn")
        for scenario in ("index", "index-close")
        for repeat in (1, 2)
    ]
    recycling = study(make_recycling(tmp_path / "recycle", stories))
    verdict = judge([fast, recycling], Requirements())
    assert verdict.decision == "recommended" and verdict.recommended == ("sanic",)
    assert verdict.finding.startswith(
        "Use sanic: it meets the requirements; uvicorn, the next that does, has 0.5"
    )
    assert [each.configuration for each in verdict.candidates] == ["sanic", "uvicorn", "sanic-single"]
    assert verdict.candidates[2].why == "restart: has no way to replace workers"
    (command,) = verdict.commands
    assert command.line == (
        "SANIC_KEEP_ALIVE_TIMEOUT=75 sanic app:app --host 127.0.0.1 --port 8000 --workers 1 --no-motd "
        "--no-access-logs"
    )
    # The imagined run was not measured with what the catalogue says.
    measured = "another command than the catalogue has today: SERVED_BY=sanic sanic app:app --workers 1"
    assert any(text.endswith(measured) for text in verdict.not_covered)
    assert command.app_lines[-1] == "recycle_after(app, max_requests=10_000, jitter=1_000)"
    without = judge([fast, recycling], Requirements(restart="none"))
    assert without.decision == "tie" and set(without.recommended) == {"sanic", "sanic-single"}


def test_a_rotation_is_read_by_sitting_in_both_manners_and_without_its_control(tmp_path):
    spec = replace(
        ROTATED,
        configurations=("sanic", "uvicorn"),
        scenarios={"index": (64,)},
        repeats=5,
        rotation=Rotating(manners=("polls", "sleeps"), asleep={"sanic": 0.5}, network=None),
    )
    (table,) = read(study(make_run(tmp_path / "rotated", spec)), None).performance
    assert set(table.values) == {"sanic", "uvicorn"}
    assert all(sorted(values) == [1, 2, 3, 4, 5] for values in table.values.values())
    polls, sleeps = table.manners
    assert sleeps["sanic"][1] == pytest.approx(polls["sanic"][1] / 2, rel=0.01)
    assert sleeps["uvicorn"][1] == pytest.approx(polls["uvicorn"][1])
