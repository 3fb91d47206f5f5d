"""The plan of the second run."""

import json

import pytest

from bench.experiment.inputs import Inputs, narrowed
from bench.model.files import ROOT
from bench.model.plans import plan
from bench.studies.settings import second
from bench.studies.settings.combination import combine
from targets.catalogue.configurations import load
from tests.fixtures.make_run import EPOCH, Spec, run_record


@pytest.fixture
def first(tmp_path):
    folder = tmp_path / "20261130-000000-settings"
    folder.mkdir()
    return folder


def combinations(catalogue):
    first = {"uvicorn": "uvicorn-asyncio", "granian": "granian-asyncio"}
    return [combine(name, [variant], catalogue) for name, variant in first.items()]


def test_it_has_the_loads_of_the_first_on_what_is_worth_it_and_what_that_changes(first):
    inputs = narrowed("settings", {"configurations": ["uvicorn", "granian"], "users": [8]})
    made = combinations(inputs.catalogue)
    path = second.prepare(first, inputs, made)
    found = plan.load(str(path))
    names = [f"{server}{kind}" for server in ("uvicorn", "granian") for kind in ("", "-combined", "-default")]
    assert found.configurations == names and found.settings
    assert found.rotation.limit_s == pytest.approx(inputs.plan.rotation.limit_s / 4)
    assert found.summary == f"what is worth it, together: {made[0].words}; {made[1].words}"
    same = ("scenarios", "recycling", "workers", "repeats", "warmup_s", "measured_s")
    assert [getattr(found, key) for key in same] == [getattr(inputs.plan, key) for key in same]
    read = Inputs.of(path.stem, found, str(path))
    assert sorted(read.plan.configurations) == sorted(names)
    assert [read.catalogue.get(name).variant.of for name in (names[1], names[4])] == ["uvicorn", "granian"]


def test_paths_of_ones_own_are_found_from_there(first, tmp_path):
    (tmp_path / "app.py").write_text("app = None\n")
    catalogue = tmp_path / "mine.toml"
    catalogue.write_text(
        '[variant.mine]\nof = "uvicorn"\nvaries = "backlog"\nreplace = { "--backlog" = "64" }\n'
    )
    own = {"app": "app:app", "folder": str(tmp_path), "environment": []}
    changes = {"configurations": ["mine"], "own_app": own, "locustfiles": "locustfiles/index.py"}
    inputs = narrowed("settings", {**changes, "catalogue": str(catalogue), "scenarios": ["index"]})
    path = second.prepare(first, inputs, [combine("uvicorn", ["mine"], inputs.catalogue)])
    found = plan.load(str(path))
    assert found.locustfiles == "locustfiles/index.py" and found.own_app.path.resolve() == tmp_path.resolve()
    combined = load(ROOT / found.catalogue)
    assert combined.get("uvicorn-combined").argv == combined.get("mine").argv


def test_what_something_else_comes_first_for_has_files_of_its_own(first):
    inputs = narrowed("settings", {"configurations": ["uvicorn", "granian"]})
    made = combinations(inputs.catalogue)
    usual, light = second.prepare(first, inputs, made), second.prepare(first, inputs, made[:1], "memory")
    assert usual != light and usual.parent == light.parent
    catalogues = [load(ROOT / plan.load(str(path)).catalogue) for path in (usual, light)]
    assert ["granian-combined" in each.configurations for each in catalogues] == [True, False]


def test_it_is_measured_once(first):
    inputs = narrowed("settings", {"configurations": ["uvicorn", "granian"]})
    made = combinations(inputs.catalogue)
    path = second.prepare(first, inputs, made)
    assert second.finished(path, made) is None
    recorded = run_record("run", Spec(), EPOCH + 9.0, 8) | {
        "status": "interrupted",
        "plan": plan.load(str(path)).model_dump(mode="json"),
    }
    run = path.parent / "20261130-000001-settings-combined"
    run.mkdir()
    (run / "run.json").write_text(json.dumps(recorded))
    assert second.finished(path, made) is None
    (run / "run.json").write_text(json.dumps(recorded | {"status": "finished"}))
    assert second.finished(path, made) == run
    assert second.finished(path, made[:1]) is None
