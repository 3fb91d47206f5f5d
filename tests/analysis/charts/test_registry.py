"""The list of what was drawn: documents copy what it names, and the run may be a stranger's."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.charts import registry
from bench.model.errors import UserError
from tests.damage import damaged, damaged_json, examples

DRAWN = [
    registry.Drawn("ratios", "Ratios", 800, 400, "All rankings beside each other", 1, "what each serves"),
    registry.Drawn("price_of_n_index_w1", "The price", 800, 400, "What recycling costs", None, ""),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    for each in DRAWN:
        registry.record(folder, each)
    return folder


def test_what_was_drawn_is_listed_in_its_order(folder):
    assert registry.read(folder) == DRAWN and registry.read(folder.parent) == []


@examples(25)
@given(st.data())
def test_a_fuzzed_list_of_charts_names_files_of_its_folder_or_is_refused_in_a_line(folder, data):
    path = folder / registry.LIST
    content = path.read_bytes()
    path.write_bytes(data.draw(damaged(content) | damaged_json(content)))
    try:
        assert all((folder / f"{each.name}.png").parent == folder for each in registry.read(folder))
    except UserError as error:
        assert str(path) in str(error) and len(str(error).splitlines()) == 1 and len(str(error)) < 900
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/b", "", "a\x00b"])
def test_a_chart_is_no_file_of_another_folder(tmp_path, name):
    registry.record(tmp_path, DRAWN[0])
    listed = json.loads((tmp_path / registry.LIST).read_text())
    (tmp_path / registry.LIST).write_text(json.dumps([listed[0] | {"name": name}]))
    with pytest.raises(
        UserError, match=r"charts\.json is not as this suite writes it .*make the report again"
    ):
        registry.read(tmp_path)
