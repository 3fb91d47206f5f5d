"""What settings do to each load by itself."""

import pandas as pd
import pytest

from analysis.documents import tables
from analysis.report import exports
from analysis.settings.loads import FRAME, by_load


def cells(configuration, scenario, throughput, cpu_us, *, rotated=True):
    """A cell for each of two sittings."""
    rows = pd.DataFrame({"repeat": [1, 2], "throughput": [throughput, 2 * throughput]})
    return rows.assign(
        configuration=configuration, scenario=scenario, workers=1, users=64, rotated=rotated,
        cpu_us=cpu_us, p99_us=1000.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def summary():
    return pd.concat(
        [
            cells("uvicorn", "index", 1000.0, 50.0),
            cells("uvicorn", "index-close", 500.0, 100.0),
            cells("uvicorn-access-log", "index", 900.0, 60.0),
            cells("uvicorn-access-log", "index-close", 100.0, 400.0),
            cells("sanic", "index", 2000.0, 25.0),
            cells("granian", "index", 1.0, 1.0),  # no variant, and nothing's parent
        ]
    )


def test_each_load_stands_by_itself_and_parents_are_beside_their_own_variants(tried, summary):
    found = by_load(tried.settings, summary, ["sanic", "uvicorn", "uvicorn-access-log", "granian"])
    assert [(row.configuration, row.scenario) for row in found.rows] == [
        ("uvicorn-access-log", "index"),
        ("uvicorn-access-log", "index-close"),
    ]
    index, close = found.rows
    assert index.throughput.mean == pytest.approx(0.9) and index.cpu.mean == pytest.approx(1.2)
    assert close.throughput.mean == pytest.approx(0.2) and close.cpu.mean == pytest.approx(4)
    assert list(found.frame) == FRAME
    assert found.frame["throughput_parent"].tolist() == pytest.approx([2**0.5 * 1000, 2**0.5 * 500])
    assert len(index.texts()) == len(found.columns)
    assert "uvicorn-access-log changes throughput: 0.200 (0.200 to 0.200)x in index-close" in found.finding


def test_a_document_has_a_row_for_each_setting_and_the_tails_that_are_certain(tried, summary):
    order = ["sanic", "uvicorn", "uvicorn-access-log", "granian"]
    told = list(tables._answer(by_load(tried.settings, summary, order)))
    assert told[2].endswith("All at 64 users, 1 worker. No p99 is certainly another.")
    assert told[4:7] == [
        "| configuration | index: requests/s | index: CPU | index-close: requests/s | index-close: CPU |",
        "|---|--:|--:|--:|--:|",
        "| uvicorn-access-log | 0.900 (0.900 to 0.900) | 1.20 (1.20 to 1.20) | 0.200 (0.200 to 0.200) | "
        "4.00 (4.00 to 4.00) |",
    ]
    close = (summary["configuration"] == "uvicorn-access-log") & (summary["scenario"] == "index-close")
    slower = summary.assign(p99_us=summary["p99_us"].mask(close, 3000.0))
    assert any(
        "certainly another with uvicorn-access-log in index-close 3.00x (3.00 to 3.00)." in line
        for line in tables._answer(by_load(tried.settings, slower, order))
    )


def test_what_was_not_rotated_on_both_sides_is_left_out(tried, summary):
    blocks = summary.assign(rotated=False)
    names = ["sanic", "uvicorn", "uvicorn-access-log", "granian"]
    assert by_load(tried.settings, blocks, names) is None
    parents = summary[summary["configuration"] != "uvicorn-access-log"]
    assert by_load(tried.settings, parents, names) is None
    unknown = by_load(tried.settings, summary.assign(throughput=float("nan")), names)
    assert "is not known" in unknown.finding


def test_the_csv_is_there_without_rows_where_no_load_was_rotated(tried):
    kept = exports.settings_by_load(tried)
    assert list(kept) == FRAME and len(kept) == (
        0 if tried.settings_by_load is None else len(tried.settings_by_load.rows)
    )
