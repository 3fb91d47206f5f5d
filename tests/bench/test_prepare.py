import json

import pytest

from bench import cpus, launchers, prepare
from bench.errors import UsageError
from bench.prepare import Environments, Request
from bench.stacks import UnavailableError
from targets.configurations import CONFIGURATIONS, ConfigurationError

LOCAL, _ = launchers.choose("processes")
SPLIT = cpus.CpuSplit((0,), (1,), (), trusted=True, note=None)


@pytest.fixture
def aliased(make_plan):
    return make_plan("sanic", "again", aliases={"again": "sanic"})


def test_a_run_lists_the_catalogue_and_then_the_aliases(aliased, catalogue):
    described = prepare.describe("mine", aliased, catalogue, SPLIT, Environments({}, []))
    entries = {entry["name"]: entry for entry in described["configurations"]}
    assert list(entries) == [*catalogue.configurations, "again"]
    assert entries["again"]["summary"] == "the same as sanic, under another name (A/A)"
    rest = {key: value for key, value in entries["sanic"].items() if key not in ("name", "summary")}
    assert rest.items() <= entries["again"].items()
    assert entries["gunicorn-uvicorn-preload"]["variant_of"] == "gunicorn-uvicorn"
    assert described["ceilings"] == []
    assert (described["schema"], described["methodology"]) == (3, 2)


def test_a_recorded_plan_is_gone_on_with(tmp_path, aliased, catalogue):
    described = prepare.describe("mine", aliased, catalogue, SPLIT, Environments({}, []))
    folder = tmp_path / "20260101-000000-mine"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(described))
    request = Request(tmp_path, resume=folder.name)
    assert prepare.chosen_plan(request) == ("mine", aliased)
    assert prepare.plan_file(request) == str(folder / "run.json")
    again = prepare.describe("mine", aliased, catalogue, SPLIT, Environments({}, []))
    assert json.loads((folder / "run.json").read_text()) == again
    with pytest.raises(UsageError, match="it cannot change: rates_per_s"):
        prepare.chosen_plan(Request(tmp_path, resume=folder.name, changes={"rates_per_s": [10.0]}))


def test_an_alias_is_available_where_its_configuration_is(aliased, catalogue, monkeypatch):
    ensured = []
    monkeypatch.setattr(prepare.stacks, "ensure", lambda stack, say: ensured.append(stack.name))
    having = prepare.environments(aliased, catalogue, LOCAL, print)
    assert ensured == ["current"] and having.unavailable == []
    assert prepare.named(aliased, catalogue)["again"] is catalogue.get("sanic")

    def missing(stack, say):
        raise UnavailableError("it is not there", "get it")

    monkeypatch.setattr(prepare.stacks, "ensure", missing)
    having = prepare.environments(aliased, catalogue, LOCAL, print)
    assert [entry["configuration"] for entry in having.unavailable] == ["sanic", "again"]


def test_a_plan_chooses_from_its_own_catalogue_and_scenarios(tmp_path, make_plan):
    own = tmp_path / "own.toml"
    text = CONFIGURATIONS.read_text().replace("[configuration.sanic]", "[configuration.mine]")
    own.write_text(text.replace('requirements = "', f'requirements = "{CONFIGURATIONS.parent}/'))
    (tmp_path / "my_load.py").write_text('"""Asks for something."""\n')
    chosen = make_plan("mine", catalogue=str(own), locustfiles=str(tmp_path))
    assert "mine" in prepare.catalogue(chosen).configurations
    assert list(prepare.scenarios(chosen)) == ["my-load"]
    own.write_text("nonsense")
    with pytest.raises(ConfigurationError, match="not TOML"):
        prepare.catalogue(chosen)
    suite = make_plan("sanic")
    assert "sanic" in prepare.catalogue(suite).configurations and "index" in prepare.scenarios(suite)
