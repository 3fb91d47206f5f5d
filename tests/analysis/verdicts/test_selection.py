import json

import pytest

from analysis.errors import AnalysisError
from analysis.study import study
from analysis.verdicts import Requirements, judge, latest, stated
from tests.fixtures.make_recycling import Story, generation, make_recycling
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
        run[key] = run[key] | value if isinstance(value, dict) else value
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
    ],
)
def test_runs_that_say_nothing_of_this_machine_are_left_out(root, changes):
    changed(make_run(root / "another", Spec(**SMALL)), **({"started": 1_800_000_000} | changes))
    assert names(latest(root, "0")) == ["quick", "recycle"]


def test_there_may_be_none(root, tmp_path):
    assert latest(root, "another machine") == latest(tmp_path / "nowhere", "0") == []


def test_two_runs_of_a_kind_are_one_too_many(root):
    quick = study(root / "quick")
    with pytest.raises(AnalysisError, match="quick and quick are both runs of performance"):
        judge([quick, quick], Requirements())


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"host": {"machine_id": "1", "hostname": "other"}}, "host synthetic and other"),
        ({"host": {"cpu": "Faster CPU"}}, "CPU Imagined CPU and Faster CPU"),
        ({"methodology": 3}, "methodology 2 and 3"),
    ],
)
def test_unlike_runs_are_refused_unless_one_insists(root, changes, told):
    changed(root / "recycle", **changes)
    studies = [study(root / "quick"), study(root / "recycle")]
    with pytest.raises(AnalysisError, match=rf"unlike conditions: {told}\. .* --across"):
        judge(studies, Requirements())
    judged = judge(studies, Requirements(), across=True)
    assert f"The runs were measured under unlike conditions: {told}." in judged.not_covered


def test_unlike_versions_and_launchers_are_told(root):
    run = json.loads((root / "recycle" / "run.json").read_text())
    stacks = {
        "current": {"python": "3.11.7", "packages": run["stacks"]["current"]["packages"] | {"sanic": "26"}}
    }
    changed(root / "recycle", stacks=stacks, launcher="compose")
    judged = judge([study(root / "quick"), study(root / "recycle")], Requirements())
    assert "The runs had unlike launchers: processes and compose." in judged.not_covered
    versions = "The runs had unlike versions in the stack current: sanic 25.12.1 and 26."
    assert versions in judged.not_covered


def test_what_plans_state_is_read_with_the_name_of_the_run(root):
    changed(root / "quick", plan={"requirements": {"restart": "none"}})
    studies = [study(root / "quick"), study(root / "recycle")]
    assert stated(studies) == {"quick": {"restart": "none"}, "recycle": {}}


def test_the_order_of_the_runs_is_the_same_to_it(root):
    studies = [study(root / "quick"), study(root / "recycle")]
    one, other = (judge(each, Requirements()) for each in (studies, studies[::-1]))
    assert one.json_text() == other.json_text()
