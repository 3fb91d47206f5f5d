import shutil
from pathlib import Path

import pytest

from analysis.charts import overview as overviewchart
from analysis.charts.drawing import style
from analysis.documents.tables import rankings
from analysis.rankings.overview import FEW, overview
from analysis.report.build import _tables
from analysis.study import study
from analysis.words import MISSING, with_workers
from tests.fixtures.make_run import Search, Spec, make_run

SCENARIOS = {"index": (64,), "json": (64,), "sleep": (64,)}


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Six rankings, two of them by CPU time; sanic-single was not measured with two workers."""
    names = ("uvicorn", "sanic-single", "sanic", "hypercorn")
    spec = Spec(
        configurations=names, scenarios=SCENARIOS, workers=(1, 2), searches={"index": Search(50)}, noise=0.001
    )
    folder = make_run(tmp_path_factory.mktemp("results") / "run", spec)
    for cells in (folder / "sanic-single").glob("*/*-w2"):
        shutil.rmtree(cells)
    return folder


@pytest.fixture(scope="module")
def analysed(many):
    return study(many)


def test_shares_are_of_the_best_by_what_ranks(analysed):
    glance = overview(analysed.verdict.tables)
    assert list(glance.shares.index) == ["sanic-single", "sanic", "uvicorn", "hypercorn"]
    by_metric = {table.metric for table in glance.tables}
    assert by_metric == {"throughput", "cpu_us"}
    for place, table in enumerate(glance.tables):
        assert glance.shares[place].max() == 1
        # 35 µs against 70 µs, and 160 µs, by throughput and by CPU time alike.
        assert glance.shares[place]["sanic"] / glance.shares[place]["uvicorn"] == pytest.approx(2, rel=0.05)
        assert glance.shares[place]["sanic"] / glance.shares[place]["hypercorn"] == pytest.approx(
            160 / 35, rel=0.05
        )
        ranks = {row.configuration: row.rank for row in table.rows}
        assert glance.ranks[place].dropna().to_dict() == ranks
    assert glance.shares.loc["sanic-single"].isna().sum() == 3


def test_who_leads_how_often_is_the_finding_of_the_run(analysed):
    glance = overview(analysed.verdict.tables)
    leads = int((glance.ranks.loc["sanic"] == 1).sum())
    assert glance.finding.startswith("Of 6 rankings, these lead or tie for the best: ")
    assert "sanic-single in 3 of its 3" in glance.finding
    assert f"sanic in {leads}" in glance.finding and leads >= 3
    assert "hypercorn" not in glance.finding
    assert analysed.verdict.finding == f"{analysed.verdict.tables[0].finding} {glance.finding}"


def test_those_with_as_many_workers_stand_together(analysed):
    glance = overview(analysed.verdict.tables)
    workers = [[glance.tables[place].workers for place in places] for places in glance.panels()]
    assert workers == [[1, 1, 1], [2, 2, 2]]


def test_a_terminal_gets_one_table_for_all_rankings(analysed):
    glance = overview(analysed.verdict.tables)
    rows = {row.configuration: row for row in glance.rows}
    assert list(rows) == list(glance.shares.index)
    assert (rows["sanic-single"].rankings, rows["sanic"].rankings) == (3, 6)
    assert rows["hypercorn"].leads == 0 and rows["sanic"].leads >= 3
    shares = glance.shares.loc["uvicorn"]
    assert rows["uvicorn"].mean == pytest.approx(shares.prod() ** (1 / 6))
    assert rows["uvicorn"].texts() == [
        "uvicorn",
        "0",
        "6",
        f"{rows['uvicorn'].mean:.2f}",
        f"{shares.min():.2f}",
    ]
    assert all(len(row.texts()) == len(glance.columns) for row in glance.rows)
    shown = _tables(analysed)
    assert shown[0].title == "6 rankings beside each other"
    assert len(shown) == 1 + len(analysed.verdict.capacity)


def test_few_rankings_need_none(analysed):
    assert overview(analysed.verdict.tables[:FEW]) is None
    assert overview(()) is None
    assert overview(analysed.verdict.tables[: FEW + 1]) is not None


def test_the_chart_says_each_share_and_frames_the_first(analysed):
    figure = overviewchart.rankings(analysed)
    glance = overview(analysed.verdict.tables)
    assert figure.get_label() == glance.finding
    for axis, places in zip(figure.axes, glance.panels(), strict=True):
        shares, ranks = glance.shares[places], glance.ranks[places]
        written = [text.get_text() for text in axis.texts]
        expected = [f"{share:.2f}" for share in shares.to_numpy().flatten() if share == share]
        assert [text for text in written if text != MISSING] == expected
        assert written.count(MISSING) == shares.isna().to_numpy().sum()
        assert len(axis.patches) == (ranks == 1).to_numpy().sum()
        heads = [label.get_text() for label in axis.get_xticklabels()]
        for head, place in zip(heads, places, strict=True):
            assert ("per CPU" in head) == (glance.tables[place].metric == "cpu_us")
    looks = style.looks(analysed.results.configurations)
    drawn = {line.get_color() for line in figure.axes[0].get_lines()}
    assert drawn == {looks[name].colour for name in glance.shares.index}


def test_in_markdown_every_ranking_is_a_row_beside_every_configuration(many):
    analysed = study(many)
    lines = list(rankings(analysed))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head, by_load = rows[0], {row[0]: row for row in rows}
    assert head[:2] == ["load", "ranked by"] and MISSING in by_load["index, 64 users, 2 workers"]
    for table in analysed.verdict.tables:
        shown = by_load_first(rows, f"{table.scenario}, {table.users} users, {with_workers(table.workers)}")
        for row in table.rows:
            cells = dict(zip(table.columns, row.cells(), strict=True))
            ranked_by = "requests/s" if table.metric == "throughput" else "CPU µs/request"
            ratio = cells["ratio to best"]
            told = ratio if ratio.detail else cells[ranked_by]  # the best has no interval beside itself
            assert shown[head.index(row.configuration)] == f"{row.rank}: {told.text}"
    assert {row[1] for row in rows[2:] if row[0] in by_load} >= {"requests/s", "CPU µs/request"}
    for table in analysed.verdict.capacity:
        (shown,) = [
            row for row in rows if row[1] == "highest rate/s" and row[0].endswith(with_workers(table.workers))
        ]
        for row in table.rows:
            assert row.texts()[2] in shown[head.index(row.configuration)]


def by_load_first(rows, load):
    """The first row of a load: that of what it is ranked by."""
    return next(row for row in rows if row[0] == load)
