"""What clients lose behind a proxy and past it: the counts, the table, and the two views of a run."""

import pytest

from analysis.charts.proxied import behind_proxy
from analysis.proxy.losses import COUNTS
from analysis.report import exports
from analysis.study import study
from tests.fixtures.make_recycling import Lost, Story, generation, make_recycling

# Ten replacements, one a second.
TEN = generation(11, 1.0)
STORIES = (
    Story("sanic", TEN, lost=[Lost(0.5), Lost(1.5, far="started", pid=1001), Lost(2.5)]),
    Story(
        "sanic", TEN, proxy="nginx", twice=[3.2, 4.2],
        lost=[Lost(0.5, "http_5xx"), Lost(1.5, "http_5xx", far="finished", pid=1002), Lost(2.5)],
    ),
    Story("sanic", TEN, "control"),
    Story("sanic", TEN, "control", proxy="nginx", answer_s=0.004),
    Story("uvicorn", TEN, lost=[Lost(0.5)]),
    Story("uvicorn", TEN, proxy="nginx"),
)  # fmt: skip


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    return study(make_recycling(tmp_path_factory.mktemp("results") / "run", STORIES))


def test_a_run_behind_a_proxy_is_read_as_its_clients_saw_it(analysed):
    """The other cells are a run of their own, so that no figure mixes the two."""
    assert set(analysed.results.cells["path"].str.contains("nginx")) == {True}
    assert set(analysed.direct.results.cells["path"].str.contains("nginx")) == {False}
    assert list(analysed.recycling.cells["lost"]) == [0, 3, 0]


def test_the_counts(analysed):
    frame = exports.proxy(analysed)
    assert list(frame.columns) == list(COUNTS)
    rows = frame.set_index(["configuration", "proxy"])
    direct, behind = rows.loc[("sanic", "direct")], rows.loc[("sanic", "nginx")]
    shared = {"workers": 1, "scenario": "index", "method": "GET", "connections": "kept", "replacements": 10}
    for row in (direct, behind):
        assert {key: row[key] for key in shared} == shared and row["requests"] == 1000
    assert (direct["answers_5xx"], direct["lost"], direct["ran_unanswered"], direct["ran_twice"]) == (
        0,
        3,
        1,
        0,
    )
    assert (behind["answers_5xx"], behind["lost"], behind["ran_unanswered"], behind["ran_twice"]) == (
        2,
        1,
        1,
        2,
    )
    assert direct["p50_ms"] == pytest.approx(2, abs=0.01) and behind["p50_ms"] == pytest.approx(4, abs=0.01)
    assert rows.loc[("uvicorn", "nginx"), ["answers_5xx", "lost"]].sum() == 0
    assert list(frame["proxy"]) == ["direct", "nginx"] * 2, "side by side"


def test_the_table_and_its_sentence(analysed):
    table = analysed.proxied
    assert table.title == "What clients lose behind nginx"
    first = dict(zip(table.columns, table.rows[0].texts(), strict=True))
    assert (first["configuration"], first["method"], first["connections"]) == ("sanic", "GET", "kept")
    assert first["lost, direct"].startswith("300 (") and "100 whose handler ran" in first["lost, direct"]
    assert (first["of these 5xx"], first["ran twice"]) == ("200", "200")
    assert (first["latency, direct"], first["latency, behind nginx"]) == ("2.00 ms", "4.00 ms")
    assert table.finding == (
        "Lost per 1000 recycles behind nginx: 0 with uvicorn (direct 100) and 300 with sanic (direct 300). "
        "Handlers ran twice, per 1000 recycles: 200 with sanic."
    )


def test_the_chart_shows_both_ways(analysed):
    figure = behind_proxy(analysed)
    (panel,) = figure.axes
    assert panel.get_title(loc="left") == "GET" and figure.get_label() == analysed.proxied.finding
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["sanic", "uvicorn"]
    assert [text.get_text() for text in panel.texts] == ["300, 200 ran twice", "0"]


def test_a_run_without_a_proxy_has_no_such_table(tmp_path):
    plain = study(make_recycling(tmp_path / "run", [Story("sanic", TEN)]))
    assert plain.direct is None and plain.proxied is None and exports.proxy(plain).empty
    assert behind_proxy(plain) is None


def test_without_a_cell_beside_it_there_is_nothing_to_compare(tmp_path):
    failed = Story("sanic", TEN, failed="it did not start")
    alone = study(make_recycling(tmp_path / "run", [failed, Story("sanic", TEN, proxy="nginx")]))
    assert alone.direct is None and alone.proxied is None and alone.recycling is not None
