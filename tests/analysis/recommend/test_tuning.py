"""What a recommended command has of settings: those found worth it, a figure for each, and what is open."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from analysis.recommend import judge, reading, runs_of_settings
from analysis.recommend.advice import command
from analysis.recommend.evidence import Tuned, Tuning
from analysis.recommend.tuning import tuning
from analysis.study import study
from bench.model.records import schema
from bench.model.records.run import Run
from bench.model.requirements import Requirements
from targets.catalogue import configurations
from targets.catalogue.variants import Changes, combined
from tests.analysis.recommend.builders import CATALOGUE
from tests.analysis.recommend.test_commands import measured
from tests.fixtures.make_run import Spec, make_run
from tests.fixtures.make_settings import SETTINGS, VARIED, facts, make_settings

WORTH, KEPT, LOG = "uvicorn-c-parser", "uvicorn-keep-alive-5", "uvicorn-access-log"
CACHE, BOTH = "uvicorn-cache", "uvicorn-combined"
FEW = replace(
    SETTINGS, configurations=("uvicorn",), variants={name: VARIED[name] for name in (WORTH, KEPT, LOG)},
    aliases={}, repeats=3,
)  # fmt: skip
TWO = replace(FEW, variants={name: VARIED[name] for name in (WORTH, CACHE)})
TOGETHER = facts("uvicorn", "all that is worth it", "--http c, CACHE=1", "", "", ("throughput", "cpu"))
CHANGES = {WORTH: Changes(replace={"--http": "c"}), CACHE: Changes(environment={"CACHE": "1"})}
FILTER = {"of": "uvicorn", "varies": "event loop", "change": "--loop x", "claim": "", "source": ""}


def entry(name, said, *more, **changes):
    base = CATALOGUE.get("uvicorn")
    about = SimpleNamespace(**{key: said[key] for key in ("of", "varies", "change")}, default=False)
    return replace(base, name=name, argv=(*base.argv, *more), variant=about, **changes)


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch):
    """The suite's variants are many, and change."""
    known = {
        "uvicorn": CATALOGUE.get("uvicorn"),
        WORTH: entry(WORTH, VARIED[WORTH], "--http", "c", parser="c"),
        KEPT: entry(KEPT, VARIED[KEPT]),
        CACHE: entry(CACHE, VARIED[CACHE]),
        BOTH: entry(BOTH, TOGETHER, "--http", "c", parser="c"),
        "uvicorn-x": entry("uvicorn-x", FILTER),
    }
    changes = CHANGES | {BOTH: combined([CHANGES[WORTH], CHANGES[CACHE]])}
    monkeypatch.setattr(configurations, "load", lambda *_: configurations.Catalogue(known, {}, changes))


def tried(root):
    like = next(schema.read(path, Run) for path in root.glob("*/run.json"))
    return runs_of_settings(root, like)


def test_the_one_setting_that_is_worth_it_is_carried_with_its_figure(tmp_path):
    make_settings(tmp_path / "settings", FEW)
    found = tuning("uvicorn", "respawn", tried(tmp_path))
    assert found.tuned.entry.name == WORTH
    assert found.tuned.figure.startswith("--http c, 0.7")
    assert found.tuned.figure.endswith("the p99 (settings)")
    kept, log = found.figures
    assert kept.startswith("keep-alive as it is: --timeout-keep-alive 5, ")
    assert "(makes no difference; " in kept
    assert log.startswith("access log as it is: without --no-access-log, 1.8")
    assert "(costs; settings)" in log
    assert found.untried == ("cache", "all that is worth it", "event loop", "jitter")


def second(folder, **facts):
    """A second run of both that are worth it, together."""
    return make_settings(folder / "combined" / "second", replace(TWO, variants={BOTH: TOGETHER | facts}))


def test_what_was_worth_it_together_is_carried_with_the_figure_of_each_alone(tmp_path):
    second(make_settings(tmp_path / "settings", TWO))
    found = tuning("uvicorn", "respawn", tried(tmp_path))
    assert found.tuned.entry.name == BOTH
    assert found.tuned.figure.startswith("--http c, CACHE=1, ") and "(second)" in found.tuned.figure
    assert "; costs 1.40x" in found.tuned.figure and "the memory" in found.tuned.figure
    parser, cache = found.tuned.parts
    assert parser.startswith("HTTP parser alone: --http c, 0.7") and parser.endswith("(settings)")
    assert cache.startswith("cache alone: CACHE=1, ") and "costs 1.40x" in cache
    assert found.figures == ()


def test_what_together_is_not_worth_it_leaves_the_command_as_it_is(tmp_path):
    # It is expected to save memory, and takes some.
    second(make_settings(tmp_path / "settings", TWO), expects=["throughput", "memory"])
    found = tuning("uvicorn", "respawn", tried(tmp_path))
    assert found.tuned is None
    assert all(
        "(worth it alone, and not shown together with the others; settings)" in each for each in found.figures
    )


def test_without_a_finished_run_of_just_these_together_the_best_alone_is_carried(tmp_path):
    folder = second(make_settings(tmp_path / "settings", TWO))
    (folder / "run.json").write_text(
        json.dumps(json.loads((folder / "run.json").read_text()) | {"status": "interrupted"})
    )
    found = tuning("uvicorn", "respawn", tried(tmp_path))
    assert found.tuned.entry.name == WORTH and found.tuned.parts == ()
    (cache,) = found.figures
    assert cache.startswith("cache as it is: CACHE=1, ") and "not shown together with the others" in cache


def test_a_second_run_whose_catalogue_says_otherwise_today_tells_nothing(tmp_path):
    second(make_settings(tmp_path / "settings", TWO), change="--http c, CACHE=2")
    assert tuning("uvicorn", "respawn", tried(tmp_path)).tuned.entry.name == WORTH


def test_a_second_run_has_its_catalogue_beside_it_wherever_the_results_are(tmp_path):
    folder = second(make_settings(tmp_path / "settings", TWO))
    record = json.loads((folder / "run.json").read_text())
    record["plan"]["catalogue"] = "where/they/were/combined/combined.toml"
    (folder / "run.json").write_text(json.dumps(record))
    assert tuning("uvicorn", "respawn", tried(tmp_path)).tuned.entry.name == WORTH, "it is lost"
    (folder.parent / "combined.toml").write_text("")  # what is in it does not matter here
    assert tuning("uvicorn", "respawn", tried(tmp_path)).tuned.entry.name == BOTH


def test_the_settings_of_a_command_follow_what_comes_first(tmp_path):
    second(make_settings(tmp_path / "settings", TWO))
    runs = tried(tmp_path)
    # Both are faster; a cache takes memory.
    assert tuning("uvicorn", "respawn", runs, "throughput").tuned.entry.name == BOTH
    light = tuning("uvicorn", "respawn", runs, "memory")
    assert light.tuned.entry.name == WORTH
    (cache,) = light.figures
    assert "(worth it, but not where memory comes first; settings)" in cache
    assert tuning("uvicorn", "respawn", runs, "tail").tuned.entry.name == BOTH


def test_a_later_run_of_a_single_setting_leaves_the_command_what_a_wider_one_found(tmp_path):
    make_settings(tmp_path / "settings", FEW)
    later = make_settings(tmp_path / "single", replace(FEW, variants={CACHE: VARIED[CACHE]}))
    (later / "run.json").write_text(
        json.dumps(json.loads((later / "run.json").read_text()) | {"started": 2e9})
    )
    assert [each.results.run.run for each in tried(tmp_path)] == ["single", "settings"]
    found = tuning("uvicorn", "respawn", tried(tmp_path))
    assert found.tuned.entry.name == WORTH
    assert any(each.startswith("cache as it is: CACHE=1, ") and "; single)" in each for each in found.figures)


def test_a_verdict_asks_for_settings_by_what_it_ranks_by(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(reading, "tuning", lambda *given, **_: asked.append(given[-1]) or Tuning())
    spec = Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, repeats=2)
    run = study(make_run(tmp_path / "quick", spec))
    judge([run], Requirements(restart="none"))
    judge([run], Requirements(restart="none", first="memory"))
    assert set(asked[:2]) == {None} and set(asked[2:]) == {"memory"} and len(asked) == 4


def test_nothing_is_carried_that_replaces_workers_in_another_way(tmp_path):
    make_settings(tmp_path / "settings", FEW)
    assert tuning("uvicorn", "flag", tried(tmp_path)).tuned is None


def test_without_a_run_every_setting_of_the_catalogue_is_untried():
    every = ("HTTP parser", "keep-alive", "cache", "all that is worth it", "event loop", "jitter")
    assert tuning("uvicorn", "respawn", ()) == Tuning(untried=every)
    assert tuning("granian", "rss", ()) == Tuning()


@pytest.mark.parametrize(
    ("name", "recycle", "stated"),
    [
        ("gunicorn-sanic", "flag", ["--backlog", "SANIC_KEEP_ALIVE_TIMEOUT", "SANIC_ACCESS_LOG", "jitter"]),
        ("granian", "rss", ["--http", "--respawn-failed-workers"]),
        ("uvicorn", "respawn", []),
    ],
)
def test_what_a_command_states_and_no_variant_tries_is_marked(name, recycle, stated):
    untried = tuning(name, recycle, (), suites=CATALOGUE).untried
    assert list(untried[len(untried) - len(stated) :]) == stated
    assert [each for each in untried if each.startswith("-")] == [word for word in stated if word[0] == "-"]
    assert len(set(untried)) == len(untried)


def test_settings_of_somebodys_own_app_say_nothing_of_the_suites(tmp_path):
    make_settings(tmp_path / "settings", FEW, own_app={"app": "shop:app", "folder": "/shop"})
    run = schema.read(tmp_path / "settings" / "run.json", Run)
    assert [each.results.run.run for each in runs_of_settings(tmp_path, run)] == ["settings"]
    suites = run.model_copy(update={"plan": {}})
    assert runs_of_settings(tmp_path, suites) == []


def test_the_command_has_what_is_worth_it_and_says_what_else_is_known():
    better = entry(WORTH, VARIED[WORTH], "--http", "c", parser="c", backlog=100, stack="current+c")
    known = replace(
        measured("uvicorn"),
        tuning=Tuning(
            Tuned(better, "--http c, 0.8x", ("HTTP parser alone: 0.9x",)),
            ("access log as it is: 0.7x",),
            ("backlog", "loop"),
        ),
    )
    found = command(known, Requirements())
    assert found.configuration == "uvicorn" and " --http c --limit-max-requests" in found.line
    assert (found.settings["parser"], found.settings["backlog"]) == ("c", 100)
    assert found.tuning == (
        "carries what was found worth it: --http c, 0.8x",
        "HTTP parser alone: 0.9x",
        "access log as it is: 0.7x",
        "settings that were not measured: backlog and loop",
    )
    assert any(need.startswith("an environment with other packages") for need in found.needs)


def test_what_an_app_does_itself_is_lines_for_it_and_no_variable_of_the_suites():
    told = {"WHICHWORKER_BACKLOG": "2048", "WHICHWORKER_GC_FREEZE": "1", "WHICHWORKER_MINIMUM_AGE_S": "5"}
    base = CATALOGUE.get("sanic")
    about = SimpleNamespace(of="sanic", varies="x", change="x", default=False)
    better = replace(base, name="sanic-x", environment={**base.environment, **told}, variant=about)
    found = command(replace(measured("sanic"), tuning=Tuning(Tuned(better, "0.8x"))), Requirements(workers=2))
    assert (
        found.line.startswith("SANIC_KEEP_ALIVE_TIMEOUT=75 sanic app:app ")
        and "WHICHWORKER" not in found.line
    )
    text = "\n".join(found.app_lines)
    assert "recycle_after(app, max_requests=10_000, jitter=1_000, minimum_age_s=5)" in text
    assert 'server_info[0].settings["backlog"] = 2048' in text and "    gc.freeze()" in text
    compile(text, "app.py", "exec")


def test_what_the_kernel_must_do_is_named():
    better = replace(CATALOGUE.get("granian"), sysctls={"net.ipv4.tcp_migrate_req": 1})
    asked = Requirements(restart="memory")
    found = command(replace(measured("granian"), tuning=Tuning(Tuned(better, "fewer lost"))), asked)
    assert "as root: sysctl -w net.ipv4.tcp_migrate_req=1" in found.needs


def test_a_command_of_which_no_setting_is_known_says_nothing_of_it():
    assert command(measured("uvicorn"), Requirements()).tuning == ()
