import json
import shutil

import pytest

from analysis.recommend import judge, latest, stated
from analysis.recommend.selection import counterpart
from analysis.study import study
from bench.model.errors import UserError
from bench.model.records import schema
from bench.model.records.run import Run
from bench.model.requirements import Requirements
from tests.fixtures.make_recycling import Lost, Story, generation, make_recycling
from tests.fixtures.make_run import Spec, make_run

SMALL = {"configurations": ("sanic", "uvicorn"), "scenarios": {"index": (64,)}}


@pytest.fixture
def root(tmp_path):
    """A run of each kind."""
    make_run(tmp_path / "quick", Spec(**SMALL))
    make_recycling(tmp_path / "recycle", [Story("sanic", generation(11, 1.0))])
    return tmp_path


def changed(folder, **changes):
    """Change keys of a run.json; those of its plan and host are added to what is there."""
    path = folder / "run.json"
    run = json.loads(path.read_text())
    for key, value in changes.items():
        run[key] = run[key] | value if isinstance(value, dict) and key in run else value
    path.write_text(json.dumps(run))
    return folder


def names(folders):
    return [folder.name for folder in folders]


def test_the_latest_of_each_kind(root):
    assert names(latest(root, "0")) == ["quick", "recycle"]
    changed(make_run(root / "another", Spec(**SMALL)), started=1_800_000_000)
    assert names(latest(root, "0")) == ["another", "recycle"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "interrupted"},
        {"schema": 2},
        {"host": {"machine_id": "1"}},
        {"plan": {"catalogue": "tests/other.toml"}},
        {"plan": {"external": {"url": "http://127.0.0.1:80", "name": "external"}, "workers": None}},
        {"plan": {"own_app": {"app": "shop:app", "folder": "../shop"}}},
        {"database": {"where": "private", "version": "1", "cpus": None, "scenarios": ["index"]}},
    ],
)
def test_runs_that_say_nothing_of_this_machine_are_left_out(root, changes):
    changed(make_run(root / "another", Spec(**SMALL)), **({"started": 1_800_000_000} | changes))
    assert names(latest(root, "0")) == ["quick", "recycle"]


def test_there_may_be_none(root, tmp_path):
    assert latest(root, "another machine") == latest(tmp_path / "nowhere", "0") == []


def test_two_runs_of_a_kind_are_one_too_many(root):
    quick = study(root / "quick")
    with pytest.raises(UserError, match="quick and quick are both runs of performance"):
        judge([quick, quick], Requirements())


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"host": {"machine_id": "1", "hostname": "other"}}, "host synthetic and other"),
        ({"host": {"cpu": "Faster CPU"}}, "CPU Imagined CPU and Faster CPU"),
        ({"methodology": 5}, "methodology 4 and 5"),
    ],
)
def test_unlike_runs_are_refused_unless_one_insists(root, changes, told):
    changed(root / "recycle", **changes)
    studies = [study(root / "quick"), study(root / "recycle")]
    with pytest.raises(UserError, match=rf"unlike conditions: {told}\. .* --across"):
        judge(studies, Requirements())
    judged = judge(studies, Requirements(), across=True)
    assert f"The runs were measured under unlike conditions: {told}." in judged.not_covered


def test_unlike_versions_and_launchers_are_told(root):
    run = json.loads((root / "recycle" / "run.json").read_text())
    stacks = {
        "current": {"python": "3.13.0", "packages": run["stacks"]["current"]["packages"] | {"sanic": "26"}}
    }
    changed(root / "recycle", stacks=stacks, launcher="compose")
    judged = judge([study(root / "quick"), study(root / "recycle")], Requirements())
    assert "The runs had different launchers: processes and compose." in judged.not_covered
    versions = "different versions in the stack current: Python 3.11.7 and 3.13.0, sanic 25.12.1 and 26."
    assert f"The runs had {versions}" in judged.not_covered


def test_what_plans_state_is_read_with_the_name_of_the_run(root):
    changed(root / "quick", plan={"requirements": {"restart": "none"}})
    studies = [study(root / "quick"), study(root / "recycle")]
    assert stated(studies) == {"quick": {"restart": "none"}, "recycle": {}}


def test_the_order_of_the_runs_is_the_same_to_it(root):
    studies = [study(root / "quick"), study(root / "recycle")]
    one, other = (judge(each, Requirements()) for each in (studies, studies[::-1]))
    assert one.json_text() == other.json_text()


def planned(folder, name, configurations, started, **plan):
    """Make it a run of a plan: which configurations it was to measure, and when."""
    return changed(
        folder, started=started, plan={"name": name, "configurations": configurations.split()} | plan
    )


def a_run(root, folder, *plan, **keys):
    return planned(make_run(root / folder, Spec(**SMALL)), *plan, **keys)


def test_a_narrowed_run_gives_way_to_a_whole_one_of_its_plan(tmp_path):
    a_run(tmp_path, "whole", "quick", "sanic uvicorn granian", 1.0)
    a_run(tmp_path, "narrow", "quick", "sanic uvicorn", 2.0)
    a_run(tmp_path, "one-load", "quick", "sanic uvicorn granian", 3.0, scenarios={})
    a_run(tmp_path, "once", "quick", "sanic uvicorn granian", 4.0, repeats=1)
    assert names(latest(tmp_path, "0")) == ["whole"]
    a_run(tmp_path, "again", "quick", "sanic uvicorn granian", 5.0, repeats=10)
    assert names(latest(tmp_path, "0")) == ["again"]


def test_of_several_plans_the_one_with_most_configurations_and_enough_repeats(tmp_path):
    a_run(tmp_path, "quick", "quick", "sanic uvicorn granian", 1.0)
    a_run(tmp_path, "aa", "aa", "sanic sanic-again uvicorn uvicorn-again", 2.0, aliases={
        "sanic-again": "sanic", "uvicorn-again": "uvicorn",
    })  # fmt: skip
    a_run(tmp_path, "smoke", "smoke", "sanic uvicorn granian", 3.0, repeats=1)
    assert names(latest(tmp_path, "0")) == ["quick"]
    a_run(tmp_path, "full", "full", "sanic uvicorn granian", 4.0)
    assert names(latest(tmp_path, "0")) == ["full"]


def test_a_variant_makes_a_plan_no_wider(tmp_path):
    full = a_run(tmp_path, "full", "full", "sanic uvicorn granian", 1.0)
    run = json.loads((full / "run.json").read_text())
    for entry in run["configurations"]:
        entry["variant_of"] = "sanic" if entry["name"] == "granian" else None
    (full / "run.json").write_text(json.dumps(run))
    a_run(tmp_path, "quick", "quick", "sanic uvicorn", 2.0)
    assert names(latest(tmp_path, "0")) == ["quick"]


def test_an_experiment_with_fewer_configurations_does_not_stand_for_recycling(root):
    for name, configurations, started in (("recycle", "sanic uvicorn", 1.0), ("recycle-busy", "sanic", 2.0)):
        folder = root / name
        if not folder.exists():
            make_recycling(folder, [Story("sanic", generation(11, 1.0))])
        planned(folder, name, configurations, started)
    assert names(latest(root, "0")) == ["quick", "recycle"]


def test_the_run_of_recycling_is_like_that_of_performance(root):
    changed(root / "recycle", methodology=1)
    assert names(latest(root, "0")) == ["quick"]
    make_recycling(root / "like", [Story("sanic", generation(11, 1.0))])
    assert names(latest(root, "0")) == ["quick", "like"]


SHOP = {"plan": {"own_app": {"app": "shop:app", "folder": "../shop"}}}


def beside(root, folder):
    found = counterpart(root / folder, schema.read(root / folder / "run.json", Run))
    return None if found is None else found.name


def test_an_app_of_ones_own_goes_by_its_own_recycling_before_that_of_the_suites(root):
    changed(make_run(root / "mine", Spec(**SMALL)), **SHOP)
    assert (beside(root, "mine"), beside(root, "quick"), beside(root, "recycle")) == (
        "recycle",
        "recycle",
        "quick",
    )
    changed(make_recycling(root / "mine-too", [Story("sanic", generation(11, 1.0))]), **SHOP)
    assert (beside(root, "mine"), beside(root, "mine-too"), beside(root, "quick")) == (
        "mine-too",
        "mine",
        "recycle",
    )


def test_what_recycling_of_another_app_says_is_told_to_be_another_apps(root):
    changed(make_run(root / "mine", Spec(**SMALL)), **SHOP)
    gaps = judge([study(root / "mine"), study(root / "recycle")], Requirements()).not_covered
    assert any("no app but shop:app of ../shop" in text for text in gaps)
    assert any("The run of recycling measured the suite's own app" in text for text in gaps)


def both(root, folder, *configurations, **plan):
    """A run that compared servers and replaced their workers."""
    scenarios = {"index": {"users": [64], "open": [{"rates_per_s": [800.0]}]}}
    make_run(root / folder, Spec(configurations=configurations, scenarios={"index": (64,)}))
    other = make_recycling(
        root / f"{folder}-other", [Story(name, generation(11, 1.0)) for name in configurations]
    )
    shutil.copytree(other, root / folder, dirs_exist_ok=True, ignore=lambda *_: ["run.json"])
    shutil.rmtree(other)
    table = {"max_requests": 500, "replacements": 10, "requests": 10}
    return planned(
        root / folder, "both", " ".join(configurations), 5.0, recycling=table, rotation={"sittings": 5},
        scenarios=scenarios, **plan,
    )  # fmt: skip


def test_one_run_is_evidence_of_both_kinds(tmp_path):
    both(tmp_path, "one", "sanic", "uvicorn")
    assert names(latest(tmp_path, "0")) == ["one"] and beside(tmp_path, "one") is None
    judged = judge([study(tmp_path / "one")], Requirements())
    assert [run.kind for run in judged.runs] == ["performance and recycling"]
    assert {each.configuration for each in judged.candidates} == {"sanic", "uvicorn"}
    told = {each.requirement: each for each in judged.candidates[0].judgements}
    assert told["restart"].outcome == "passed" and told["lost_per_1000"].outcome == "likely"
    assert judged.decision != "none" and judged.provisional
    assert not any("No run of" in text for text in judged.not_covered)


def test_a_run_of_recycling_alone_goes_before_for_what_it_measured(tmp_path):
    both(tmp_path, "one", "sanic", "uvicorn")
    make_recycling(tmp_path / "more", [Story("sanic", generation(41, 0.5))])
    assert names(latest(tmp_path, "0")) == ["one", "more"]
    assert (beside(tmp_path, "one"), beside(tmp_path, "more")) == ("more", "one")
    judged = judge([study(tmp_path / "one"), study(tmp_path / "more")], Requirements())
    cells = {
        each.configuration: [cell for one in each.judgements for cell in one.cells]
        for each in judged.candidates
    }
    assert cells["sanic"] and all(cell.startswith("more/") for cell in cells["sanic"])
    assert cells["uvicorn"] and all(cell.startswith("one/") for cell in cells["uvicorn"])


def test_two_runs_of_both_kinds_are_too_many(tmp_path):
    one = study(both(tmp_path, "one", "sanic"))
    with pytest.raises(UserError, match="one and one are both runs of performance and recycling"):
        judge([one, one], Requirements())


def test_losses_are_those_of_clients_that_come_the_way_that_is_asked_for(root):
    ten = generation(11, 1.0)
    lossy = [Story("sanic", ten, lost=[Lost(0.5)]), Story("sanic", ten, proxy="nginx")]
    behind = make_recycling(root / "behind", lossy)
    changed(behind, started=1_800_000_000)
    assert names(latest(root, "0")) == ["quick", "recycle"], "nobody asked for a proxy"
    assert names(latest(root, "0", "nginx")) == ["quick", "behind"]
    assert names(latest(root, "0", "haproxy")) == ["quick"]
    assert counterpart(behind, study(behind).results.run).name == "quick"
    verdict = judge([study(root / "quick"), study(behind)], Requirements())
    (sanic,) = (each for each in verdict.candidates if each.configuration == "sanic")
    assert sanic.outcome == "likely" or sanic.outcome == "passed", "what direct clients lost does not count"
    assert (verdict.behind.proxy, verdict.behind.version) == ("nginx", "1.2.3")
    assert verdict.behind.configuration == "upstream app {\n}"
    assert any("behind nginx" in source.text for source in verdict.runs)
    assert any("measured in different ways" in text for text in verdict.not_covered)


def test_one_verdict_is_behind_one_proxy(root):
    for kind in ("nginx", "haproxy"):
        story = Story("sanic", generation(11, 1.0), proxy=kind)
        make_recycling(root / kind, [story])
    changed(root / "nginx", plan={"recycling": None})
    with pytest.raises(UserError, match="behind nginx and haproxy: give runs behind one of them"):
        judge([study(root / "nginx"), study(root / "haproxy")], Requirements())
