"""Plans, catalogues and what else people write or earlier runs left: an error that names the file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.experiment.ceilings import Cache
from bench.launch.own_packages import check_lines
from bench.launch.stacks import requirements_hash
from bench.model import plan, replay, scenarios
from bench.model.errors import UserError
from bench.studies.rotation.series import Series
from targets import configurations
from targets.tables import ConfigurationError
from tests.damage import damaged, damaged_json, damaged_toml, examples

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


@examples(30)
@given(st.data())
def test_fuzzed_records_of_other_studies_are_refused_in_a_line(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    content = json.dumps({"question": "planted", "settings": {"runs": 3}, "runs": {"pilot": "x"}}).encode()
    new = data.draw(st.one_of(damaged(content), damaged_json(content)))
    for name, read in (("replay.json", replay.Replay.read), ("series.json", Series.read)):
        path = folder / name
        path.write_bytes(new)
        refused(lambda path, read=read: read(path.parent), path)


@examples(20)
@given(damaged(b'{"version": 1, "ceilings": {}}'))
def test_a_fuzzed_cache_of_ceilings_is_made_anew(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "ceilings.json"
    path.write_bytes(content)
    told = []
    assert Cache(told.append, path).read() == {}
