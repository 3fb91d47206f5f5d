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


def test_a_table_is_aligned_and_its_bars_are_no_columns():
    lines = documents.markdown_table(["what", "a | b", "why"], [["x", "1|2", "y"]], left=("what", "why"))
    assert lines == [r"| what | a \| b | why |", "|---|--:|---|", r"| x | 1\|2 | y |"]
