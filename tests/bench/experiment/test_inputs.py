import json

import pytest

from bench.experiment import environments, inputs
from bench.experiment.environments import Environments
from bench.experiment.inputs import Inputs
from bench.experiment.record import begin, describe
from bench.experiment.results import RunFolder
from bench.launch import stacks
from bench.launch.selection import choose_launcher
from bench.launch.stacks import UnavailableError
from bench.machine import cpus
from bench.model.errors import UsageError
from bench.model.records.run import Configuration
from targets.catalogue.configurations import CONFIGURATIONS
from targets.catalogue.tables import ConfigurationError

LOCAL, _ = choose_launcher("processes")
SPLIT = cpus.CpuSplit((0,), (1,), (), trusted=True, note=None)


@pytest.fixture
def aliased(make_plan):
    return make_plan("sanic", "again", aliases={"again": "sanic"})


def test_a_run_lists_the_catalogue_and_then_the_aliases(aliased, catalogue):
    described = describe(Inputs("mine", aliased, catalogue, {}), SPLIT, Environments({}, []))
    entries = {entry["name"]: entry for entry in described["configurations"]}
    assert list(entries) == [*catalogue.declared, "again"]
    assert entries["again"]["summary"] == "the same as sanic, under another name (A/A)"
    rest = {key: value for key, value in entries["sanic"].items() if key not in ("name", "summary")}
    assert rest.items() <= entries["again"].items()
    assert described["ceilings"] == []
    assert (described["schema"], described["methodology"]) == (3, 4)


def test_a_run_lists_the_variants_that_it_measures(make_plan, catalogue):
    """The others, of which there are many, would fill its report."""
    name = "gunicorn-uvicorn-preload"
    chosen = make_plan("sanic", name, "again", aliases={"again": "uvicorn-asyncio"})
    described = describe(Inputs("mine", chosen, catalogue, {}), SPLIT, Environments({}, []))
    entries = {entry["name"]: entry for entry in described["configurations"]}
    assert set(entries) == {*catalogue.declared, name, "uvicorn-asyncio", "again"}
    assert (entries[name]["variant_of"], entries[name]["variant"]["varies"]) == (
        "gunicorn-uvicorn",
        "preload",
    )
    assert "variant" not in entries["sanic"]
    read = Configuration.model_validate(entries[name]).variant
    assert read.of == "gunicorn-uvicorn" and read.change == "--preload" and "memory" in read.expects
    assert Configuration.model_validate(entries["sanic"]).variant is None


def test_a_variant_with_the_python_of_its_parent_is_unavailable(make_plan, catalogue, monkeypatch, tmp_path):
    newest = catalogue.stacks["current"].pythons[0]
    own = tmp_path / "mine.toml"
    own.write_text(
        '[variant.sanic-other]\nof = "sanic"\nvaries = "Python"\npython = ["3.11"]\n'
        f'[variant.sanic-same]\nof = "sanic"\nvaries = "Python"\npython = ["{newest}"]\n'
    )
    chosen = make_plan("sanic", "sanic-other", "sanic-same", catalogue=str(own))
    ensured = []

    def ensure(stack, say):
        ensured.append(stack.name)
        return stacks.Environment(tmp_path, f"{stack.pythons[0]}.7", {})

    monkeypatch.setattr(stacks, "ensure", ensure)
    found = Inputs("mine", chosen, inputs.catalogue(chosen), {})
    having = environments.make_environments(found, LOCAL, print)
    assert ensured == ["current", "current+python-3.11"]
    (entry,) = having.unavailable
    assert entry["configuration"] == "sanic-same" and f"served by Python {newest} here" in entry["reason"]
    assert own in found.files([])


@pytest.mark.parametrize(
    ("packages", "lacking", "why"),
    [
        ({"gunicorn": "27.0.1"}, "gunicorn-asgi-python", "lacks gunicorn_h1c here as well"),
        ({"gunicorn-h1c": "0.6.14"}, "gunicorn-asgi-fast", "has gunicorn_h1c>=0.6.10 here as well"),
        ({"gunicorn-h1c": "0.5"}, None, None),
    ],
)
def test_a_package_that_its_parent_has_or_lacks_is_nothing_to_compare(
    make_plan, catalogue, monkeypatch, packages, lacking, why
):
    chosen = make_plan("gunicorn-asgi", "gunicorn-asgi-python", "gunicorn-asgi-fast")
    monkeypatch.setattr(
        stacks, "ensure", lambda stack, _: stacks.Environment(stack.requirements, "3.13.1", packages)
    )
    having = environments.make_environments(Inputs("mine", chosen, catalogue, {}), LOCAL, print)
    assert [each["configuration"] for each in having.unavailable] == ([lacking] if lacking else [])
    assert all(why in each["reason"] for each in having.unavailable)


def test_a_number_of_workers_that_its_parent_has_is_unavailable(make_plan, catalogue, monkeypatch):
    chosen = make_plan("sanic", "sanic-workers-cpus", "sanic-workers-twice")
    monkeypatch.setattr(stacks, "ensure", lambda stack, _: stacks.Environment(stack.requirements, "3.14", {}))
    for servers, lacking in ((1, ["sanic-workers-cpus"]), (2, [])):
        found = Inputs("mine", chosen, catalogue, {}).on(servers)
        having = environments.make_environments(found, LOCAL, print)
        assert [each["configuration"] for each in having.unavailable] == lacking
        assert {"sanic", "sanic-workers-twice"} <= set(having.available(found))
        assert ("sanic-workers-cpus" in having.available(found)) is not bool(lacking)
        assert all("its parent has 1 worker(s) here as well" in each["reason"] for each in having.unavailable)


def test_a_recorded_plan_is_gone_on_with(tmp_path, aliased, catalogue):
    described = describe(Inputs("mine", aliased, catalogue, {}), SPLIT, Environments({}, []))
    folder = tmp_path / "20260101-000000-mine"
    folder.mkdir()
    begun = begin(RunFolder(folder), described, None)
    (folder / "run.json").write_text(json.dumps(begun))
    recorded = inputs.recorded(tmp_path, folder.name, {})
    assert (recorded.name, recorded.plan) == ("mine", aliased)
    again = describe(Inputs("mine", aliased, catalogue, {}), SPLIT, Environments({}, []))
    assert json.loads((folder / "run.json").read_text()) == begun | again
    with pytest.raises(UsageError, match="it cannot change: rates_per_s"):
        inputs.recorded(tmp_path, folder.name, {"rates_per_s": [10.0]})


def test_an_alias_is_available_where_its_configuration_is(aliased, catalogue, monkeypatch):
    ensured = []
    monkeypatch.setattr(stacks, "ensure", lambda stack, say: ensured.append(stack.name))
    having = environments.make_environments(Inputs("mine", aliased, catalogue, {}), LOCAL, print)
    assert ensured == ["current"] and having.unavailable == []
    assert inputs.configurations(aliased, catalogue)["again"] is catalogue.get("sanic")

    def missing(stack, say):
        raise UnavailableError("it is not there", "get it")

    monkeypatch.setattr(stacks, "ensure", missing)
    having = environments.make_environments(Inputs("mine", aliased, catalogue, {}), LOCAL, print)
    assert [entry["configuration"] for entry in having.unavailable] == ["sanic", "again"]


def test_a_plan_chooses_from_its_own_catalogue_and_scenarios(tmp_path, make_plan):
    own = tmp_path / "own.toml"
    text = CONFIGURATIONS.read_text().replace("[configuration.sanic]", "[configuration.mine]")
    own.write_text(text.replace('"stacks/', f'"{CONFIGURATIONS.parent}/stacks/'))
    (tmp_path / "my_load.py").write_text('"""Asks for something."""\n')
    chosen = make_plan("mine", catalogue=str(own), locustfiles=str(tmp_path))
    assert "mine" in inputs.catalogue(chosen).configurations
    assert list(inputs.scenarios(chosen)) == ["my-load"]
    own.write_text("nonsense")
    with pytest.raises(ConfigurationError, match="not TOML"):
        inputs.catalogue(chosen)
    suite = make_plan("sanic")
    assert "sanic" in inputs.catalogue(suite).configurations and "index" in inputs.scenarios(suite)
