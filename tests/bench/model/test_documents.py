from dataclasses import replace

import pytest

from bench.model import documents
from bench.model.errors import UserError


def test_only_what_stands_between_markers_is_replaced(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("by hand\n<!-- measured: a b -->\nold\n<!-- /measured: a b -->\nby hand, too\n")
    documents.replace(path, {"a b": "new\n"})
    documents.replace(path, {"a b": "newer"})
    assert path.read_text() == (
        "by hand\n<!-- measured: a b -->\nnewer\n<!-- /measured: a b -->\nby hand, too\n"
    )
    with pytest.raises(UserError, match="measured: other"):
        documents.replace(path, {"a b": "x", "other": "y"})
    assert "newer" in path.read_text()


def test_a_part_may_end_without_its_name(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("<!-- measured: a -->\nold\n<!-- /measured -->\nby hand\n<!-- /measured: a -->\n")
    documents.replace(path, {"a": "new"})
    assert path.read_text() == (
        "<!-- measured: a -->\nnew\n<!-- /measured -->\nby hand\n<!-- /measured: a -->\n"
    )


def test_a_document_has_what_is_brief_and_no_remarks_on_rows():
    headings = ["run", "ratio", documents.NOTES]
    rows = [["1", "0.95", "slow"], ["2", "0.96", ""]]
    whole = documents.ShownTable("", headings, rows, ["two runs"])
    assert documents.markdown([whole], "Measured.").splitlines() == [
        "| run | ratio |", "|---|--:|", "| 1 | 0.95 |", "| 2 | 0.96 |", "", "* two runs", "", "Measured.",
    ]  # fmt: skip
    brief = [replace(whole, brief=("ratio",)), replace(whole, brief=())]
    assert documents.markdown(brief, "Measured.").splitlines() == [
        "| ratio |", "|---|", "| 0.95 |", "| 0.96 |", "", "* two runs", "", "* two runs", "", "Measured.",
    ]  # fmt: skip


def test_a_command_with_many_names_is_shown_by_their_ends():
    few, many = (f"make x A={','.join(map(str, range(count)))} B=1" for count in (8, 9))
    assert documents.shown_command(few) == few
    assert documents.shown_command(many) == "make x A=0,…,8 B=1"


def test_a_table_is_aligned_and_its_bars_are_no_columns():
    lines = documents.markdown_table(["what", "a | b", "why"], [["x", "1|2", "y"]], left=("what", "why"))
    assert lines == [r"| what | a \| b | why |", "|---|--:|---|", r"| x | 1\|2 | y |"]
