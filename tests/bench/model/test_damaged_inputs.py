"""Plans, catalogues and what else people write or earlier runs left: an error that names the file."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.experiment.ceilings import Cache
from bench.experiment.inputs import recorded
from bench.launch.own.own_packages import check_lines
from bench.launch.stacks import requirements_hash
from bench.machine import loopback, network
from bench.model import scenarios
from bench.model.errors import UserError
from bench.model.plans import plan
from bench.model.records import replay
from bench.studies.rotation.series import Series
from bench.studies.settings import servers
from targets.catalogue import configurations
from targets.catalogue.tables import ConfigurationError
from tests.bench.variants import KNOWN
from tests.damage import damaged, damaged_json, damaged_toml, examples
from tests.fixtures.make_replay import replayed
from tests.fixtures.make_run import EPOCH, Spec, run_record

PLANS = sorted(plan.PLANS.glob("*.toml"))
CATALOGUES = [configurations.CONFIGURATIONS, configurations.CONFIGURATIONS.with_name("variants.toml")]


def refused(read, path):
    """Whether a file is refused, with a message of a line or two that names it."""
    try:
        read(path)
    except (UserError, ConfigurationError) as error:
        said = str(error)
        assert path.name in said and len(said.splitlines()) <= 2 and len(said) < 2000, said
        return True
    return False


@examples(60)
@given(st.data())
def test_a_fuzzed_plan_is_refused_in_a_line(tmp_path_factory, data):
    content = data.draw(st.sampled_from(PLANS), label="plan").read_bytes()
    path = tmp_path_factory.getbasetemp() / "fuzzed-plan.toml"
    path.write_bytes(data.draw(st.one_of(damaged(content), damaged_toml(content))))
    refused(lambda path: plan.load(str(path)), path)


@examples(40)
@given(st.data())
def test_a_fuzzed_catalogue_is_refused_in_a_line(tmp_path_factory, data):
    content = data.draw(st.sampled_from(CATALOGUES), label="catalogue").read_bytes()
    path = tmp_path_factory.getbasetemp() / "fuzzed-catalogue.toml"
    path.write_bytes(data.draw(st.one_of(damaged(content), damaged_toml(content))))
    refused(configurations.load, path)


@pytest.mark.parametrize(
    "content", [b"a = " + b"[" * 100_000, b"a = " + b"{a=" * 100_000, b"a" + b".a" * 2_000]
)
def test_toml_that_is_nested_too_deeply_is_refused(tmp_path, content):
    path = tmp_path / "deep.toml"
    path.write_bytes(content)
    assert refused(lambda path: plan.load(str(path)), path) and refused(configurations.load, path)


@examples(30)
@given(st.one_of(damaged(b"sanic==25.12.1\n-r other.txt\n"), st.binary(max_size=300)))
def test_fuzzed_requirements_are_refused_or_hashed(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed.txt"
    path.with_name("other.txt").write_text("uvicorn\n")
    path.write_bytes(content)
    try:
        check_lines(path, "it need not")
        assert len(requirements_hash(path)) == 64
    except UserError as error:
        assert len(str(error).splitlines()) <= 2


@examples(30)
@given(damaged(b'"""Load."""\nNEEDS = ("database",)\nROTATES = False\n'))
def test_a_fuzzed_locustfile_is_refused_in_a_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzzed_load.py"
    path.write_bytes(content)
    refused(scenarios.load, path)


SERIES = {"question": "planted", "settings": {"runs": 3}, "runs": {"pilot": "20261130-080000-planted"}}
REPLAY = replayed(0.5).model_dump_json(by_alias=True).encode()
RECORDS = {
    "replay.json": (REPLAY, replay.Replay.read),
    "series.json": (json.dumps(SERIES).encode(), Series.read),
}


@examples(40)
@given(st.data())
def test_fuzzed_records_of_other_studies_are_refused_in_a_line(tmp_path_factory, data):
    name = data.draw(st.sampled_from(sorted(RECORDS)), label="file")
    content, read = RECORDS[name]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(st.one_of(damaged(content), damaged_json(content))))
    refused(lambda path: read(path.parent), path)
    path.write_bytes(content)
    assert not refused(lambda path: read(path.parent), path)


@pytest.mark.parametrize("run", ["../elsewhere", "/etc", "..", "a/b", ""])
def test_a_series_has_no_runs_but_its_own(tmp_path, run):
    (tmp_path / "series.json").write_text(json.dumps(SERIES | {"runs": {"pilot": run}}))
    assert refused(lambda path: Series.read(path.parent), tmp_path / "series.json")


@examples(30)
@given(st.data())
def test_a_run_with_a_fuzzed_record_goes_on_or_is_refused_in_a_line(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "going-on"
    folder.mkdir(exist_ok=True)
    run = run_record(folder.name, Spec(), EPOCH + 9.0, 8)
    run["plan"] = {"name": "smoke", **plan.load("smoke").model_dump(mode="json")}
    content = json.dumps(run).encode()
    (folder / "run.json").write_bytes(data.draw(st.one_of(damaged(content), damaged_json(content))))
    try:
        recorded(folder.parent, str(folder), {})
    except (UserError, ConfigurationError) as error:
        assert len(str(error).splitlines()) <= 2, error


VERDICT = {
    "schema": 1, "decision": "recommended", "finding": "Use a.", "recommended": ["a"], "commands": [],
    "caveats": [], "method": "", "not_covered": [], "measure": [], "requirements": {}, "runs": [],
    "candidates": [
        {
            "configuration": name, "outcome": outcome, "rank": None, "performance": None, "why": "",
            "judgements": [],
        }
        for name, outcome in (("a", "passed"), ("b-preload", "likely"))
    ],
}  # fmt: skip


@examples(40)
@given(st.data())
def test_a_fuzzed_verdict_names_known_configurations_or_none(tmp_path_factory, data):
    """Its names choose what is measured."""
    folder = tmp_path_factory.getbasetemp() / "verdicts"
    folder.mkdir(exist_ok=True)
    content = json.dumps(VERDICT).encode()
    (folder / "verdict.json").write_bytes(data.draw(st.one_of(damaged(content), damaged_json(content))))
    found = servers.chosen(folder, KNOWN)
    assert found is None or set(found[0]) <= set(KNOWN)
    (folder / "verdict.json").write_bytes(content)
    assert servers.chosen(folder, KNOWN)[0] == ["a", "b"]


def test_a_verdict_elsewhere_is_not_read(tmp_path):
    (tmp_path / "elsewhere.json").write_text(json.dumps(VERDICT))
    results = tmp_path / "results"
    results.mkdir()
    (results / "verdict.json").symlink_to(tmp_path / "elsewhere.json")
    assert servers.chosen(results, KNOWN) is None
    (results / "verdict.json").unlink()
    os.mkfifo(results / "verdict.json")
    assert servers.chosen(results, KNOWN) is None


@examples(20)
@given(st.data())
def test_fuzzed_notes_of_steering_end_no_run(tmp_path_factory, data):
    """A killed run has left them; what they say is written to the device of this machine."""
    folder = tmp_path_factory.getbasetemp()
    state, device = folder / "loopback.json", folder / "rps_cpus"
    content = json.dumps({**network._here(), "value": "0"}).encode()
    state.write_bytes(data.draw(st.one_of(damaged(content), damaged_json(content))))
    device.write_text("3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loopback, "STEERING", device)
        said = network.put_back(state)
    assert int(device.read_text().replace(",", ""), 16) >= 0
    if said is not None and "is damaged" in said:
        assert state.exists() and "sudo tee" in said


@examples(20)
@given(damaged(b'{"version": 1, "ceilings": {}}'))
def test_a_fuzzed_cache_of_ceilings_is_made_anew(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "ceilings.json"
    path.write_bytes(content)
    told = []
    assert Cache(told.append, path).read() == {}
