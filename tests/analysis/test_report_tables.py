"""How the page puts the rows of a table in order: what is written there, by what it stands for."""

from dataclasses import dataclass

import pytest

from analysis.page.tabular import places, shown
from analysis.words import MISSING


@dataclass(frozen=True)
class Row:
    cells: list[str]
    rank: int | None = None

    def texts(self):
        return self.cells


@dataclass(frozen=True)
class Table:
    columns: tuple[str, ...]
    rows: list[Row]
    title: str = "A table"
    finding: str = "It says something."
    basis: str = "By what."


@pytest.mark.parametrize(
    "ascending",
    [
        ["9.5", "≥ 10 (9 to 11)", "28,100 (27,900 to 28,300)", "1,000,000"],
        ["40 µs", "0.2 ms", "40 ms (index, 2 workers; without recycling 3 ms)", "5.06 s"],
        ["0", "0.12%", "3.4%"],
        ["0.45 †", "0.6 / 1.2 † (service 1.1)", "0.7 / 0.8 (service 0.8)"],
        ["900 KiB", "1.5 MiB", "2 GiB"],
        ["98% served", "100%"][::-1],
        ["c8", "c64", "o1000"],
        ["1 worker: 0 of 20 recycles (up to 184)", "2 workers: 750 (505 to 1,070)"],
        ["525 (500 to 560)", "1,098 (799 to 1,964)", "no: it grew"],
    ],
)
def test_texts_are_put_in_order_by_what_they_stand_for(ascending):
    assert places(ascending) == list(range(len(ascending)))
    assert places(ascending[::-1]) == list(range(len(ascending)))[::-1]


def test_alike_texts_share_a_place_and_missing_ones_have_none():
    assert places(["2", MISSING, "1", "", "2.0"]) == [1, None, 0, None, 1]


def test_weights_go_before_words_and_not_before_numbers():
    assert places(["yes", "broken: a", "only by RSS"], [0, 2, 1]) == [0, 2, 1]
    assert places(["2 ms", "1 ms"], [0, 2]) == [1, 0]


def test_a_table_knows_its_heads():
    table = shown(
        Table(
            ("rank", "configuration", "requests/s", "notes"),
            [
                Row(["1", "sanic", "28,100", ""], rank=1),
                Row(["2", "uvicorn", "≥ 9,000", "drifted"], rank=2),
                Row([MISSING, "granian", MISSING, ""]),
            ],
        )
    )
    assert [column.number for column in table.columns] == [True, False, True, False]
    assert [column.ascending for column in table.columns] == [True, False, False, False]
    assert table.head == 1 and table.leads == (True, False, False) and not table.judged
    assert [cell.place for cell in table.rows[2]] == [None, 0, None, None]


def test_a_table_that_is_not_sorted_by_its_first_column_does_not_say_so():
    rows = [Row(["2", "a"]), Row(["1", "b"])]
    assert [column.ascending for column in shown(Table(("users", "what"), rows)).columns] == [False, False]
    missing_first = [Row([MISSING, "a"]), Row(["1", "b"])]
    assert not shown(Table(("rank", "what"), missing_first)).columns[0].ascending
    # Names are in the catalogue's order, whatever letters they begin with.
    assert not shown(Table(("configuration",), [Row(["a"]), Row(["b"])])).columns[0].ascending


def test_an_empty_table_is_a_table():
    assert shown(Table(("rank", "what"), [])).rows == ()
