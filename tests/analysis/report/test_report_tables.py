"""Tables: what a cell shows, the number behind it, and how page and Markdown put them in order."""

import math
from dataclasses import dataclass

import pytest

from analysis.report.tabular import shown
from analysis.table import Cell, TableRow, markdown, measured, number, places, words
from analysis.words import MISSING, Value


@dataclass(frozen=True)
class Row(TableRow):
    held: tuple[Cell, ...]

    def cells(self):
        return self.held


def row(*held):
    return Row(tuple(words(each) if isinstance(each, str) else each for each in held))


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: list[Row]
    title: str = "A table"
    finding: str = "It says something."
    basis: str = "By what."


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (measured(Value(28_100, 27_900, 28_300), before="≥ "), "≥ 28,100 (27,900 to 28,300)"),
        (measured(Value(450), scale=1e-3, mark=" †"), "0.450 †"),
        (measured(Value(math.nan), before="≥ ", mark=" †"), MISSING),
        (number(None), MISSING),
        (number(math.nan, ".2%"), MISSING),
        (number(0.0012, ".2%"), "0.12%"),
        (number(1_000_000), "1,000,000"),
        (number(2.5, ".2f", "x"), "2.50x"),
        (words(None), MISSING),
    ],
)
def test_a_cell_shows_its_number_in_words(cell, text):
    assert cell.text == text and cell.missing == (text == MISSING)
    assert (cell.value is None) == cell.missing


@pytest.mark.parametrize(
    "ascending",
    [
        [number(9.5, ".1f"), measured(Value(10, 9, 11), before="≥ "), measured(Value(28_100))],
        [Cell("40 ms", 0.04), Cell("5.06 s", 5.06)],
        [number(0.0), number(0.0012, ".2%"), number(0.034, ".1%")],
        [number(2), words("98% served"), words("all failed")],
    ],
)
def test_cells_are_put_in_order_by_their_numbers(ascending):
    assert places(ascending) == list(range(len(ascending)))
    assert places(ascending[::-1]) == list(range(len(ascending)))[::-1]


def test_equal_cells_share_a_place_and_missing_ones_have_none():
    cells = [Cell("2", 2), words(None), Cell("1", 1), words(""), Cell("2.0", 2)]
    assert places(cells) == [1, None, 0, None, 1]


def test_verdicts_go_before_words_and_not_before_numbers():
    yes, broken, fair = (
        Cell("yes", verdict="good"),
        Cell("broken: a", verdict="bad"),
        Cell("only by RSS", verdict="fair"),
    )
    assert places([yes, broken, fair]) == [0, 2, 1]
    assert places([Cell("2 ms", 0.002, verdict="good"), Cell("1 ms", 0.001, verdict="bad")]) == [1, 0]


RANKING = Table(
    ("rank", "configuration", "requests/s", "notes"),
    [
        row(number(1), "sanic", number(28_100), ""),
        row(number(2), "uvicorn", measured(Value(9000), before="≥ "), "drifted"),
        row(number(None), "granian", number(None), "drifted"),
    ],
)


def test_a_table_knows_its_heads():
    table = shown(RANKING)
    assert [column.text for column in table.columns] == ["rank", "configuration", "requests/s"]
    assert [column.number for column in table.columns] == [True, False, True]
    assert [column.ascending for column in table.columns] == [True, False, False]
    assert table.head == 1 and table.leads == (True, False, False) and not table.judged
    assert table.places[2] == (None, 0, None)


def test_notes_go_below_the_table_once_each():
    table = shown(RANKING)
    assert table.notes == {"1": "drifted"} and table.marks == ("", "1", "1")


def test_a_table_that_is_not_sorted_by_its_first_column_does_not_say_so():
    rows = [row(number(2), "a"), row(number(1), "b")]
    assert [column.ascending for column in shown(Table(("users", "what"), rows)).columns] == [False, False]
    missing_first = [row(number(None), "a"), row(number(1), "b")]
    assert not shown(Table(("rank", "what"), missing_first)).columns[0].ascending
    # Names are in the catalogue's order, whatever letters they begin with.
    assert not shown(Table(("configuration",), [row("a"), row("b")])).columns[0].ascending


def test_an_empty_table_is_a_table():
    assert shown(Table(("rank", "what"), [])).rows == ()


def test_in_markdown_figures_are_aligned_by_their_ends_and_bars_are_text():
    table = Table(("configuration", "requests/s", "notes"), [row("a|b", number(1200), "left out")])
    assert list(markdown(table)) == ["| configuration | requests/s |", "|---|--:|", "| a\\|b | 1,200 |"]
    assert list(markdown(table, ["configuration"])) == ["| configuration |", "|---|", "| a\\|b |"]
