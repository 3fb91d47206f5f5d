"""Each claim on runs whose answers are known, with the outcome that follows and others that could."""

import json
from types import SimpleNamespace

import pytest

from analysis.claims import Material, answers, claims, model, speed
from analysis.study import study
from tests.analysis.recommend.builders import evidence, known, performance, price
from tests.fixtures.make_recycling import Life, Story, generation, make_recycling
from tests.fixtures.make_replay import replayed
from tests.fixtures.make_run import Spec, make_run

EVEN = generation(11, 1.0)
ALONE = [Life(1, -2, -1)]
PAIR = [Life(1, -2, -1, died=2.0), Life(2, -2, -1), Life(3, 2.1, 2.4)]
LEGACY, OLD = model.UVICORN_WORKER, model.SANIC_WORKER
UVICORN = (
    Story("uvicorn", EVEN),
    Story("uvicorn", PAIR, workers=2),
)
SANIC = (Story("sanic", EVEN), Story("sanic", ALONE, "control"))


def nothing(**changes) -> Material:
    """No run at all, but for what `changes` say."""
    empty = {"performance": None, "recycling": None, "replay": None, "evidence": evidence(kinds=())}
    return Material(**(empty | changes))


@pytest.fixture
def recycled(tmp_path):
    """From a run of recycling with some stories; one configuration has the name that the claims use."""

    def make(*stories):
        folder = make_recycling(tmp_path / "recycle", stories)
        run = json.loads((folder / "run.json").read_text())
        for entry in run["configurations"]:
            if entry["name"] == "gunicorn-uvicorn-worker":
                entry["name"] = LEGACY
        (folder / "run.json").write_text(json.dumps(run))
        return Material.of([study(folder)], None)

    return make


def fast(*tables, configurations=(), recycling=None):
    """From rankings that nobody measured."""
    run = SimpleNamespace(results=SimpleNamespace(run=SimpleNamespace(run="quick", unavailable=())))
    return nothing(
        performance=run,
        recycling=recycling,
        evidence=evidence(*configurations, performance=tables, kinds=("performance",)),
    )


def test_of_two_runs_of_recycling_the_one_with_more_configurations_answers(tmp_path):
    few = study(make_recycling(tmp_path / "few", SANIC))
    more = study(make_recycling(tmp_path / "more", (*SANIC, *UVICORN)))
    assert Material.of([few, more], None).recycling is more
    again = study(make_recycling(tmp_path / "again", (*SANIC, *UVICORN)))
    assert Material.of([more, again], None).recycling is more  # as before: the first, which replaces more


def test_what_was_not_measured_says_which_command_does():
    for claim in claims(nothing()).rows:
        assert claim.answer.outcome == "not measured" and claim.answer.runs == ()
    figures = " ".join(claim.answer.figure for claim in claims(nothing()).rows)
    assert all(f"`make {word}`" in figures for word in ("bench", "recycle", "replay"))


def test_uvicorn_restarts_several_workers_and_sanic_none_by_itself(recycled):
    answer = answers.servers_restart_nothing(recycled(*UVICORN, *SANIC))
    assert answer.outcome == "holds in part" and answer.runs == ("recycle",)
    assert "Uvicorn with several workers: 1 workers replaced" in answer.figure
    assert "with one worker it ends" in answer.figure
    assert "Sanic by itself replaced 0 in 1 cell, in which a worker served up to 1,1" in answer.figure
    assert "with `recycle_after` in the app: 10 workers replaced, after 100 requests" in answer.figure


def test_without_several_workers_uvicorn_is_not_seen_to_restart_any(recycled):
    assert answers.servers_restart_nothing(recycled(UVICORN[0], *SANIC)).outcome == "holds"


def test_a_server_that_replaces_workers_unasked_proves_the_claim_wrong(recycled):
    unasked = Story("sanic", PAIR, "control", workers=2)
    assert answers.servers_restart_nothing(recycled(*UVICORN, unasked)).outcome == "does not hold"


def test_both_gunicorn_workers_restart(recycled):
    answer = answers.gunicorn_restarts(recycled(Story(LEGACY, EVEN), Story(OLD, EVEN)))
    assert answer.outcome == "holds"
    assert answer.figure == (
        f"{LEGACY}: 10 workers replaced, after 100 requests (median; 100); "
        f"{OLD}: 10 workers replaced, after 100 requests (median; 100)."
    )


def test_one_cell_without_restarts_makes_it_true_in_part(recycled):
    stays = Story(OLD, ALONE, scenario="slow")
    answer = answers.gunicorn_restarts(recycled(Story(LEGACY, EVEN), Story(OLD, EVEN), stays))
    assert answer.outcome == "holds in part" and "in 1 of 2 cells" in answer.figure


def test_one_that_could_not_be_measured_is_named(recycled):
    answer = answers.gunicorn_restarts(recycled(Story(LEGACY, EVEN)))
    assert (answer.outcome, answer.figure) == ("not measured", f"{OLD} was not measured.")


@pytest.mark.parametrize(
    "index, sleep, outcome",
    [
        (200, 150, "holds"),
        (200, 100, "holds in part"),
        (50, 60, "does not hold"),
        (100, 100, "not shown"),
    ],
)
def test_the_sanic_worker_against_the_uvicorn_worker(index, sleep, outcome):
    tables = performance({OLD: index, LEGACY: 100}), performance({OLD: sleep, LEGACY: 100}, "sleep")
    old = known(OLD, versions={"sanic": "21.12.2"})
    answer = speed.sanic_worker_is_faster(fast(*tables, configurations=(old,)))
    assert answer.outcome == outcome and answer.runs == ("quick",)
    assert (
        f"index, 1 worker: {OLD} " in answer.figure
        and f"the requests per second of {LEGACY}" in answer.figure
    )
    assert "Sanic 21.12.2 against unknown" in answer.figure


@pytest.mark.parametrize(
    "old, ran, outcome",
    [
        (200, 0, "does not hold"),  # slower, and loses as much
        (200, 400, "holds in part"),  # slower, and loses less
        (50, 0, "holds in part"),  # faster, and loses as much
        (50, 400, "holds"),
    ],
)
def test_the_uvicorn_worker_is_better_by_speed_and_by_what_is_lost(old, ran, outcome):
    servers = known(LEGACY, prices=(price(),)), known(OLD, prices=(price(ran=ran), price(workers=1)))
    run = SimpleNamespace(results=SimpleNamespace(run=SimpleNamespace(run="recycle")))
    table = performance({OLD: old, LEGACY: 100})
    answer = speed.uvicorn_worker_is_much_better(fast(table, configurations=servers, recycling=run))
    assert answer.outcome == outcome and answer.runs == ("quick", "recycle")
    lost = "10,000 (9," if ran else "0 of 40 replacements"
    assert f"0 of 40 replacements (up to 92.2) with {LEGACY}, {lost}" in answer.figure


def test_without_recycling_speed_alone_answers():
    answer = speed.uvicorn_worker_is_much_better(fast(performance({OLD: 200, LEGACY: 100})))
    assert answer.outcome == "does not hold" and "was not measured" in answer.figure


def test_no_worker_of_the_old_stack_is_no_answer():
    answer = speed.sanic_worker_is_faster(fast(performance({LEGACY: 100})))
    assert (answer.outcome, answer.figure) == ("not measured", f"{OLD} was not measured.")


@pytest.mark.parametrize("other, outcome", [(100, "holds"), (300, "does not hold"), (200, "not shown")])
def test_sanics_own_server_against_the_best_of_the_others(other, outcome):
    table = performance({"sanic": 150, "granian": other, "sanic-single": 200, "uvicorn": 50})
    answer = speed.sanic_is_the_fastest(fast(table))
    assert answer.outcome == outcome
    assert (
        answer.figure.startswith("index, 1 worker: sanic-single ") and "of granian; 2 other" in answer.figure
    )


def test_many_rankings_are_counted_and_their_extremes_told():
    rates = {"a": 300, "b": 200, "c": 50, "d": 100.1, "e": 250}
    tables = [performance({OLD: rate, LEGACY: 100}, name) for name, rate in rates.items()]
    answer = speed.sanic_worker_is_faster(fast(*tables))
    assert answer.outcome == "holds in part"
    counted, most, least = answer.figure.split("; ")[:3]
    assert counted == "certainly ahead in 3 of 5 rankings, certainly behind in 1"
    assert most.startswith(f"furthest ahead in a, 1 worker: {OLD} 3.0")
    assert least.startswith(f"least in c, 1 worker: {OLD} 0.5")
    listed = speed.sanic_worker_is_faster(fast(*tables[: speed.FEW])).figure
    assert all(f"{name}, 1 worker: {OLD} " in listed for name in "abcd")


@pytest.mark.parametrize(
    "together, most, outcome",
    [(0.9, 1, "holds in part"), (0.1, 1, "holds"), (0.1, 2, "does not hold")],
)
def test_a_client_is_one_and_many_are_not(together, most, outcome):
    answer = answers.clients_are_not_simultaneous(nothing(replay=replayed(together, most)))
    assert answer.outcome == outcome and answer.runs == ("again",)
    assert "30.0 called and 8.0 sent and unanswered on average" in answer.figure
    assert answer.figure.startswith(f"A client had at most {most} request")
    assert f"for {together:.0%} of the time (medians of 2 executions)" in answer.figure


def test_a_replay_in_which_nothing_was_recorded_says_so():
    bare = replayed(0.9).model_copy(update={"executions": ()})
    answer = answers.clients_are_not_simultaneous(nothing(replay=bare))
    assert answer.outcome == "not measured" and "was recorded" in answer.figure


def called(folder, name, command):
    """Give the cells of a configuration another command."""
    for path in folder.glob(f"{name}/*/*/*/cell.json"):
        cell = json.loads(path.read_text())
        cell["server"]["command"] = command.split()
        path.write_text(json.dumps(cell))


def test_a_call_that_served_is_a_valid_one(tmp_path):
    folder = make_run(
        tmp_path / "quick", Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (8,)})
    )
    called(folder, "sanic", "/venv/bin/sanic shop.server:app --host 127.0.0.1 --port 8000")
    called(folder, "uvicorn", "/venv/bin/uvicorn shop.server:app")
    analysed = study(folder)
    answer = answers.sanic_app_is_no_call(Material.of([analysed], None))
    assert answer.outcome == "does not hold" and answer.runs == ("quick",)
    window = analysed.results.seconds
    window = window[window["in_window"] & (window["configuration"] == "sanic")]
    assert (
        f"`sanic shop.server:app …` answered {window['requests'].sum():,} requests in 3 cells"
        in answer.figure
    )
    assert "of sanic, with Sanic 25.12.1" in answer.figure


@pytest.mark.parametrize("command", ["uvicorn app:app", "sanic app.app", "sanic --version", "sanic"])
def test_other_calls_say_nothing_of_it(tmp_path, command):
    folder = make_run(
        tmp_path / "quick", Spec(configurations=("sanic",), scenarios={"index": (8,)}, repeats=1)
    )
    called(folder, "sanic", command)
    answer = answers.sanic_app_is_no_call(Material.of([study(folder)], None))
    assert answer.outcome == "not measured"


def test_they_are_counted_and_listed_as_every_other_table():
    answered = claims(nothing(replay=replayed(0.9)))
    others = len(answered.rows) - 1
    assert answered.finding == f"Of {others + 1} claims: 1 true in part, {others} not measured."
    assert all(len(row.texts()) == len(answered.columns) for row in answered.rows)
