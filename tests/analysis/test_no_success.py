"""Runs in which requests got no success at all: told as what it is, and no figure is made of nothing.

Two that were asked for in public: a run in which each request was refused with 401 ends as if all were well
(locustio/locust#152), and servers that close connections without an answer, of which there is no status
(locustio/locust#2236).
"""

import math

import pytest

from analysis.charts import closed_loop as charts
from analysis.charts import open_loop as ratecharts
from analysis.charts import overview as overviewchart
from analysis.charts import timelines
from analysis.charts.drawing import style
from analysis.compare import compare
from analysis.recommend import of_run
from analysis.report import exports
from analysis.report.page import page as page_of
from analysis.study import study
from tests.analysis.report_page import Page
from tests.fixtures.make_recycling import Life, Lost, Story, make_recycling
from tests.fixtures.make_run import Open, Search, Spec, make_run
from tests.fixtures.spoil import refuse

# Nothing that numpy, pandas or matplotlib warn of goes to a terminal.
pytestmark = pytest.mark.filterwarnings("error")

CHARTS = (
    charts.throughput, charts.throughput_by_concurrency, charts.latency_by_throughput, charts.percentiles,
    charts.cpu_per_request, timelines.over_time, timelines.memory, ratecharts.latency_by_rate,
    ratecharts.hidden_latency, overviewchart.rankings,
)  # fmt: skip
TABLES = (
    exports.ranking, exports.cells, exports.loads, exports.percentiles, exports.costs, exports.rates,
    exports.capacity, exports.alike, exports.exceptions,
)  # fmt: skip
BOTH = ("sanic", "uvicorn")
RUNS = {
    "closed": Spec(configurations=BOTH, scenarios={"index": (8, 64), "sleep": (8,)}, repeats=2),
    # Long enough for trends, with a ceiling and an alias.
    "long": Spec(
        configurations=BOTH, scenarios={"index": (8,)}, seconds=6, ceilings={"index": 160_000.0},
        aliases={"sanic-again": "sanic"},
    ),
    # So many rankings that they have an overview.
    "many": Spec(
        configurations=BOTH, scenarios=dict.fromkeys(("index", "json", "sleep", "cpu"), (8,)), workers=(1, 2),
        repeats=2,
    ),
    "open": Spec(
        configurations=BOTH, scenarios={}, open={"index": (Open((1000, 4000)),)}, repeats=2,
        searches={"index": Search(5.0, resolution=1.0)},
    ),
}  # fmt: skip
WHICH = {"all": "*", "one configuration": "sanic/*", "one cell": "sanic/*/*/r1"}


def analysed(folder):
    """The study of a run of which everything was made that a report is made of; what it draws by name."""
    made = study(folder)
    drawn = {chart.__name__: chart(made) for chart in CHARTS}
    with style.styled():
        for figure in drawn.values():
            if figure is not None:
                figure.draw_without_rendering()
    for table in TABLES:
        table(made)
    judged = of_run(made, lambda _: None)
    assert judged is None or judged.json_text()
    page = Page(page_of(made, folder, judged))
    return made, {name: figure for name, figure in drawn.items() if figure is not None}, page, judged


def cells_of(folder, which):
    return [path.parent for path in folder.glob(f"{WHICH[which]}/**/cell.json")]


@pytest.mark.parametrize(
    ("name", "which", "successes"),
    [
        ("closed", "all", 0),
        ("closed", "one configuration", 0),
        ("closed", "one cell", 0),
        ("closed", "all", 1),
        ("long", "all", 0),
        ("long", "one configuration", 30),
        ("many", "all", 0),
        ("many", "one configuration", 0),
        ("open", "all", 0),
        ("open", "one configuration", 0),
        ("open", "all", 1),
    ],
)
def test_the_whole_analysis_goes_through(tmp_path, name, which, successes):
    folder = make_run(tmp_path / "results" / "run", RUNS[name])
    for cell in cells_of(folder, which):
        refuse(cell, successes=successes)
    _, drawn, page, _ = analysed(folder)
    told = "No request succeeded" in page.all("h1")[0].text
    assert told == (which == "all" and not successes)
    if told:
        # What the server used is known, and so is nothing else.
        assert set(drawn) == {"memory"}
    assert ("no request succeeded: sanic in " in page.text) == (not successes)


def test_a_run_without_any_success_says_how_it_failed(tmp_path):
    """Every answer is 401, as in locustio/locust#152."""
    folder = make_run(tmp_path / "results" / "run", RUNS["closed"])
    for cell in cells_of(folder, "all"):
        refuse(cell, detail="status 401")
    made, _, _, judged = analysed(folder)
    total = int(made.summary["failures"].sum())
    assert made.verdict.finding == (
        f"No request succeeded: all {total:,} in 12 cells failed, most often with http_4xx (“status 401”) at "
        "“GET /index”."
    )
    first, second = (finding for finding in made.findings if finding.kind == "no-success")
    assert (first.scenario, second.scenario) == ("index", "sleep") and first.severity == "warning"
    assert first.message.startswith("no request succeeded: sanic in 4 of 4 cells, uvicorn in 4 of 4 cells; ")
    assert second.message.endswith(" failed, most often with http_4xx (“status 401”) at “GET /sleep”")
    assert {table.finding for table in made.verdict.tables} == {
        "No request succeeded in index at 64 users.",
        "No request succeeded in sleep at 8 users.",
    }
    assert "sanic/index/c64-w1/r1/failures.csv" in first.advice
    assert not [finding for finding in made.findings if finding.kind == "errors"]
    assert judged.decision == "none" and {each.outcome for each in judged.candidates} == {"failed"}
    assert all(math.isnan(row.throughput.mean) for table in made.verdict.tables for row in table.rows)


def test_one_configuration_without_a_success_is_named_and_never_recommended(tmp_path):
    """It closes each connection without an answer, as in locustio/locust#2236."""
    folder = make_run(tmp_path / "results" / "run", RUNS["closed"])
    for cell in cells_of(folder, "one configuration"):
        refuse(cell, kind="closed_unanswered", detail="")
    made, drawn, _, _ = analysed(folder)
    (index, _) = (finding for finding in made.findings if finding.kind == "no-success")
    assert index.configurations == ("sanic",)
    assert index.message.startswith("no request succeeded: sanic in 4 of 4 cells; ")
    assert index.message.endswith(" failed, most often with closed_unanswered at “GET /index”")
    row = made.verdict.tables[0].rows[-1]
    assert (row.configuration, row.notes) == ("sanic", ("every request failed",))
    said = [text.get_text() for axis in drawn["throughput"].axes for text in axis.texts]
    assert said.count("every request failed") == 2
    # Even where nothing else is asked of it.
    run = folder / "run.json"
    run.write_text(run.read_text().replace('"plan": {', '"plan": {"requirements": {"restart": "none"}, '))
    judged = of_run(study(folder), lambda _: None)
    outcomes = {each.configuration: each.outcome for each in judged.candidates}
    assert judged.recommended == ("uvicorn",) and outcomes["sanic"] == "failed"
    (refused,) = [each for each in judged.candidates if each.configuration == "sanic"]
    assert refused.why.startswith("answers: all ") and refused.judgements[0].cells


def test_a_server_that_fails_every_request_keeps_up_with_no_rate(tmp_path):
    folder = make_run(tmp_path / "results" / "run", RUNS["open"])
    for cell in cells_of(folder, "one configuration"):
        refuse(cell)
    (table,) = study(folder).verdict.rates
    assert [row.texts()[0] for row in table.rows] == ["uvicorn", "sanic"]
    assert table.rows[1].texts()[1:] == ["all failed", "all failed"]
    assert "1 of 2 servers kept up" in table.finding


def test_a_server_that_stops_serving_within_the_window_is_no_warm_up(tmp_path):
    spec = Spec(configurations=("sanic",), scenarios={"index": (8,)}, seconds=6, repeats=2)
    folder = make_run(tmp_path / "results" / "run", spec)
    for cell in cells_of(folder, "all"):
        served = 28_000 * 2
        refuse(cell, successes=served)
    made, *_ = analysed(folder)
    kinds = {finding.kind for finding in made.findings}
    assert "errors" in kinds and "warm-up" not in kinds and kinds & {"step", "unsteady"}


def test_recycling_in_which_every_request_is_lost(tmp_path):
    lost = [Lost(second / 100 - 1, "http_5xx", "finished", 1000) for second in range(1100)]
    stories = [
        Story("sanic", [Life(1000, -2, -1)], treatment, lost=lost) for treatment in ("recycled", "control")
    ]
    folder = make_recycling(tmp_path / "results" / "recycle", stories)
    made, *_ = analysed(folder)
    assert made.verdict.finding.startswith("No request succeeded: all ")
    assert "http_5xx" in made.verdict.finding


def test_such_a_run_can_be_compared(tmp_path):
    sound = make_run(tmp_path / "sound", RUNS["closed"])
    refused = make_run(tmp_path / "refused", RUNS["closed"])
    for cell in cells_of(refused, "all"):
        refuse(cell)
    assert compare(sound, refused).regressions
    compare(refused, refused)
