"""Tables and charts of open loops, searches, aliases and ceilings."""

import matplotlib.colors as colours
import pytest

from analysis.charts import closed_loop as charts
from analysis.charts import open_loop as ratecharts
from analysis.charts import timelines
from analysis.charts.drawing import style
from analysis.rankings.aliases import alike
from analysis.report import exports
from analysis.report.build import render
from analysis.report.page import THRESHOLDS
from analysis.study import study
from tests import notebooks
from tests.fixtures.make_run import Open, Search, Spec, make_run

SPEC = Spec(
    configurations=("sanic", "uvicorn"),
    scenarios={"index": (8, 64)},
    open={"index": [Open((1000, 4000, 18000)), Open((4000,), "poisson")]},
    searches={"index": Search(5.0)},
    aliases={"sanic-again": "sanic"},
    ceilings={"index": 150_000.0},
    thresholds={"index": ["p99_ms < 7"]},
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("results") / "open", SPEC)


@pytest.fixture(scope="module")
def opened(folder):
    return study(folder)


@pytest.fixture
def only_open(run):
    return study(run(scenarios={}, open={"index": [Open((1000, 4000))]}))


def test_a_table_per_scenario_and_kind_of_arrivals(opened):
    constant, poisson = opened.verdict.rates
    assert constant.title == "index: constant arrivals, 1 worker"
    assert constant.columns == ("configuration", "1,000/s", "4,000/s", "18,000/s")
    assert poisson.columns == ("configuration", "4,000/s")
    rows = {row.configuration: row.texts() for row in constant.rows}
    assert rows["uvicorn"][3].endswith("% served") and " (service " in rows["sanic"][3]
    assert constant.rows[-1].configuration == "uvicorn"
    assert constant.finding.startswith("At 4,000 requests/s (constant) in index 3 of 3 servers kept up; p99")


def test_rates_are_those_of_the_merged_histograms(opened):
    rates = opened.rates.set_index(["configuration", "arrivals", "rate_per_s"])
    (row,) = [row for row in opened.verdict.rates[0].rows if row.configuration == "sanic"]
    assert row.rungs[1].p99_us == rates.loc[("sanic", "constant", 4000.0), "merged_schedule_p99_us"]


def test_the_capacity_table_ranks_and_ties(opened):
    (table,) = opened.verdict.capacity
    assert {row.configuration: row.rank for row in table.rows} == {"sanic": 1, "sanic-again": 1, "uvicorn": 3}
    assert table.title == "index: highest rate with p99 within 5 ms, constant arrivals, 1 worker"
    assert " tie: they serve index within a p99 of 5 ms up to " in table.finding
    assert "as many as uvicorn, the next" in table.finding


def test_without_a_closed_loop_the_open_one_speaks(only_open):
    assert only_open.verdict.tables == ()
    assert only_open.verdict.finding == only_open.verdict.rates[0].finding
    for chart in (charts.throughput, charts.latency_by_throughput, charts.percentiles, timelines.over_time):
        assert chart(only_open) is None
    assert exports.ranking(only_open).empty
    style.png(timelines.memory(only_open))


def test_aliases_are_compared_with_what_they_stand_for(opened):
    pairs = opened.alike.pairs
    # Two closed loads with four metrics each, four open ones with three.
    assert len(pairs) == 2 * 4 + 4 * 3
    assert {(pair.alias, pair.original) for pair in pairs} == {("sanic-again", "sanic")}
    by_throughput = [pair for pair in pairs if pair.metric == "requests/s"]
    called = sum(pair.different for pair in by_throughput)
    assert opened.alike.title == f"A/A: {called} of 2 comparisons of requests/s called different"
    assert [len(row.pairs) for row in opened.alike.rows] == [2, 6, 6, 6]
    assert all(len(row.texts()) == len(opened.alike.columns) for row in opened.alike.rows)


def test_a_difference_between_two_names_is_called_one(opened):
    summary = opened.summary.copy()
    summary.loc[summary["configuration"] == "sanic-again", "throughput"] *= 2
    pairs = alike(opened.results, summary).pairs
    assert {pair.metric for pair in pairs if pair.different} == {"requests/s"}
    tally = alike(opened.results, summary).rows[0]
    assert tally.texts()[:4] == ["requests/s", "2", "2", "2"]
    assert "sanic-again" in tally.texts()[5]


def test_without_aliases_there_is_nothing_to_compare(analysed):
    assert analysed.alike.rows == () and exports.alike(analysed).empty


def test_every_throughput_chart_tells_the_ceiling(opened):
    for chart in (charts.throughput, charts.throughput_by_concurrency, charts.latency_by_throughput):
        axis = chart(opened).axes[0]
        words = [text.get_text() for text in axis.texts] + [axis.get_xlabel()]
        assert any("generator's ceiling 150,000" in text for text in words), chart.__name__
    assert any(
        "150,000 ↑" in text.get_text() for text in timelines.over_time(opened).axes[0].texts
    )  # fmt: skip


def test_a_ceiling_within_reach_is_a_dashed_line(run):
    near = study(run(scenarios={"index": (8, 64)}, ceilings={"index": 35_000.0}))
    (line,) = [line for line in charts.throughput(near).axes[0].get_lines() if line.get_linestyle() == "--"]
    assert set(line.get_xdata()) == {35_000.0}
    axis = charts.throughput_by_concurrency(near).axes[0]
    grey = [line for line in axis.get_lines() if line.get_color() == style.FAINT]
    assert [list(line.get_ydata()) for line in grey] == [[35_000.0, 35_000.0]]


def test_without_a_ceiling_none_is_drawn(analysed):
    figure = charts.throughput(analysed)
    assert "ceiling" not in " ".join(text.get_text() for text in figure.texts)


def test_latency_by_rate_shows_every_configuration_and_the_limit(opened):
    figure = ratecharts.latency_by_rate(opened)
    assert figure.get_label() == opened.verdict.capacity[0].finding
    axis = figure.axes[0]
    texts = [text.get_text() for text in axis.texts]
    assert "p99 within 5 ms" in texts and texts.count("▼") == 3
    looks = style.looks(opened.results.configurations)
    drawn = {colours.to_hex(line.get_color()) for line in axis.get_lines()}
    assert {looks[name].colour.lower() for name in ("sanic", "uvicorn")} <= drawn
    assert axis.get_yscale() == "log"
    style.png(figure)


def test_a_rate_that_few_searches_tried_is_left_out(opened):
    cells = opened.results.cells
    steps = cells[cells["search_p99_ms"].notna()]
    tried = steps.groupby(["configuration", "rate_per_s"])["repeat"].nunique()
    assert set(tried) == {1, 2, 3}
    ((_, ladder), _) = ratecharts._panels(opened)
    planned = {(name, rate) for name in set(cells["configuration"]) for rate in (1000.0, 4000.0, 18000.0)}
    shown = set(zip(ladder["configuration"], ladder["rate_per_s"], strict=True))
    assert shown == {*planned, *tried[tried >= 2].index}


def test_unreached_rates_are_hollow(opened):
    axis = ratecharts.latency_by_rate(opened).axes[0]
    white = [line for line in axis.get_lines() if line.get_markerfacecolor() == "white"]
    assert {float(line.get_xdata()[0]) for line in white} >= {18000.0}


def test_what_service_time_hides_is_shown_where_it_hides_something(run):
    stalled = study(
        run(configurations=("sanic",), scenarios={}, open={"index": [Open((4000,))]}, seconds=4, stall_at=1)
    )
    title = ratecharts.hidden_latency(stalled).get_label()
    assert title.startswith("At 4,000 requests/s the p99 of sanic is ") and "service time alone" in title
    calm = study(run_again(stalled.results.directory.parent / "calm"))
    assert ratecharts.hidden_latency(calm) is None


def test_rates_with_too_few_requests_for_a_percentile_are_left_out(tmp_path):
    some = rated(tmp_path / "some", 60, 4000)
    assert some.rates["schedule_p99_us"].isna().tolist() == [True, False]
    for chart in (ratecharts.latency_by_rate, ratecharts.hidden_latency):
        (p99,) = {
            tuple(line.get_xdata())
            for line in chart(some).axes[0].get_lines()
            if line.get_linestyle() == "--" and len(line.get_xdata()) > 0
        }
        assert p99 == (4000.0,)
    none = rated(tmp_path / "none", 2)
    assert none.rates["schedule_p50_us"].isna().all()
    assert ratecharts.latency_by_rate(none) is None and ratecharts.hidden_latency(none) is None


def rated(folder, *rates):
    """A stalled server at some rates."""
    opened = {"index": [Open(rates)]}
    spec = Spec(configurations=("sanic",), scenarios={}, open=opened, seconds=4, stall_at=1)
    return study(make_run(folder, spec))


def run_again(folder):
    """The same without the stall."""
    return make_run(folder, Spec(configurations=("sanic",), scenarios={}, open={"index": [Open((4000,))]}))


def test_marked_latencies_are_marked_in_table_and_legend(run):
    marked = study(run(configurations=("sanic", "hypercorn"), noise=0.005, loop_wait_us=400.0))
    texts = {row.configuration: row.texts() for row in marked.verdict.tables[0].rows}
    assert texts["sanic"][4].endswith(" †") and not texts["hypercorn"][4].endswith("†")
    figure = charts.percentiles(marked)
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == {"sanic †", "hypercorn"}
    assert "†: over 10%" in " ".join(text.get_text() for text in figure.texts)


def test_a_generator_bound_cell_ranks_nothing_by_throughput(run):
    folder = run(configurations=("sanic", "uvicorn", "hypercorn"), noise=0.005)
    # One repeat of one server: on average it was saturated, so the table goes by throughput.
    path = folder / "sanic" / "index" / "c64-w1" / "r2"
    lines = (path / "processes.csv").read_text().splitlines()
    fields = [line.split(",") for line in lines[1:]]
    scaled = [",".join([*f[:3], str(float(f[3]) * 0.88), *f[4:]]) for f in fields]
    (path / "processes.csv").write_text("\n".join([lines[0], *scaled]) + "\n")
    lines = (path / "generator.csv").read_text().splitlines()
    head = lines[0].split(",")
    cpu, spin = head.index("cpu_s"), head.index("spin_s")
    rows = [line.split(",") for line in lines[1:]]
    for second, row in enumerate(rows):
        row[cpu], row[spin] = str(0.99 * second), "0"
    (path / "generator.csv").write_text("\n".join([lines[0], *map(",".join, rows)]) + "\n")
    table = study(folder).verdict.tables[0]
    assert table.metric == "throughput"
    row = {row.configuration: row for row in table.rows}["sanic"]
    assert row.rank is None and row.texts()[3].startswith("≥ ") and "the generator was the limit" in row.notes
    assert table.leaders == ["uvicorn"]
    assert table.finding.endswith("The generator held sanic back, which ranks nothing.")


def test_the_report_holds_it_all(folder):
    with notebooks.here():
        rendered = render(folder)
    page = rendered.html.read_text(encoding="utf-8")
    for listing in rendered.ranking:
        assert listing.title in page.replace("&#39;", "'")
    assert len(rendered.ranking) == 1 + 1 + 2 + 1
    assert f">{THRESHOLDS}</h2>" in page and rendered.violations[0].path in page
    assert 'id="latency_by_rate"' in page and "closed loop and open loop" in page
