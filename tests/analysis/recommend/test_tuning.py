"""What a recommended command has of settings: those found worth it, a figure for each, and what is open."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from analysis.recommend import runs_of_settings
from analysis.recommend.advice import command
from analysis.recommend.evidence import Tuned, Tuning
from analysis.recommend.tuning import tuning
from bench.model.records import schema
from bench.model.records.run import Run
from bench.model.requirements import Requirements
from targets import configurations
from tests.analysis.recommend.builders import CATALOGUE
from tests.analysis.recommend.test_commands import measured
from tests.fixtures.make_settings import SETTINGS, VARIED, make_settings

WORTH, KEPT, LOG = "uvicorn-c-parser", "uvicorn-keep-alive-5", "uvicorn-access-log"
FEW = replace(
    SETTINGS, configurations=("uvicorn",), variants={name: VARIED[name] for name in (WORTH, KEPT, LOG)},
    aliases={}, repeats=3,
)  # fmt: skip
FILTER = {"of": "uvicorn", "varies": "event loop", "change": "--loop x", "claim": "", "source": ""}


def entry(name, facts, *more, **changes):
    base = CATALOGUE.get("uvicorn")
    about = SimpleNamespace(**{key: facts[key] for key in ("of", "varies", "change")})
    return replace(base, name=name, argv=(*base.argv, *more), variant=about, **changes)


@pytest.fixture(autouse=True)
def _catalogue(monkeypatch):
    """The suite's variants are many, and change."""
    known = {
        "uvicorn": CATALOGUE.get("uvicorn"),
        WORTH: entry(WORTH, VARIED[WORTH], "--http", "c", parser="c"),
        KEPT: entry(KEPT, VARIED[KEPT]),
        "uvicorn-x": entry("uvicorn-x", FILTER),
    }
    monkeypatch.setattr(configurations, "load", lambda *_: configurations.Catalogue(known, {}))


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
    assert found.untried == ("event loop",)


def test_what_was_worth_it_together_decides_where_it_was_measured(tmp_path):
    folder = make_settings(tmp_path / "settings", FEW)
    again = {"uvicorn-cache": VARIED["uvicorn-cache"] | {"expects": ["throughput"]}}
    make_settings(folder / "combined" / "second", replace(FEW, variants=again, open={}))
    # It costs memory, so the command stays as it is.
    assert tuning("uvicorn", "respawn", tried(tmp_path)).tuned is None
    run = json.loads((folder / "combined" / "second" / "run.json").read_text()) | {"status": "interrupted"}
    (folder / "combined" / "second" / "run.json").write_text(json.dumps(run))
    assert tuning("uvicorn", "respawn", tried(tmp_path)).tuned.entry.name == WORTH


def test_nothing_is_carried_that_replaces_workers_in_another_way(tmp_path):
    make_settings(tmp_path / "settings", FEW)
    assert tuning("uvicorn", "flag", tried(tmp_path)).tuned is None


def test_without_a_run_every_setting_of_the_catalogue_is_untried():
    assert tuning("uvicorn", "respawn", ()) == Tuning(untried=("HTTP parser", "keep-alive", "event loop"))
    assert tuning("granian", "rss", ()) == Tuning()


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
        tuning=Tuning(Tuned(better, "--http c, 0.8x"), ("access log as it is: 0.7x",), ("backlog", "loop")),
    )
    found = command(known, Requirements())
    assert found.configuration == "uvicorn" and " --http c --limit-max-requests" in found.line
    assert (found.settings["parser"], found.settings["backlog"]) == ("c", 100)
    assert found.tuning == (
        "carries what was found worth it: --http c, 0.8x",
        "access log as it is: 0.7x",
        "settings that were not measured: backlog and loop",
    )
    assert any(need.startswith("an environment with other packages") for need in found.needs)


def test_a_command_of_which_no_setting_is_known_says_nothing_of_it():
    assert command(measured("uvicorn"), Requirements()).tuning == ()
