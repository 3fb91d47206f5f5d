"""A run of a server that nobody metered: what is unknown is shown as unknown, and as nothing else."""

import json

import matplotlib.pyplot as plt
import pytest

from analysis.charts import closed_loop as charts
from analysis.charts import open_loop as ratecharts
from analysis.charts import timelines
from analysis.compare import compare
from analysis.findings import completeness
from analysis.findings.finding import Measurements
from analysis.findings.open_loop import cause, unreached
from analysis.reading.results import NothingFinished
from analysis.recommend import judge, latest
from analysis.recommend.selection import of_run
from analysis.report import exports
from analysis.report.digest import asked, machine
from analysis.report.page import page
from analysis.reproduction import command
from analysis.study import study
from analysis.words import MISSING
from bench.model.errors import UserError
from bench.model.requirements import Requirements
from tests.fixtures.make_run import Open, Search

URL = "http://127.0.0.1:8123"


def unmetered(folder):
    """Make a run one of an external server, in place."""
    path = folder / "run.json"
    run = json.loads(path.read_text())
    run["launcher"] = "external"
    run["plan"] |= {"external": {"url": URL, "name": "sanic"}, "workers": None, "configurations": ["sanic"]}
    run["stacks"], run["cpu_split"]["server"] = {}, []
    (entry,) = [entry for entry in run["configurations"] if entry["name"] == "sanic"]
    unknown = dict.fromkeys(("stack", "recycle", "keep_alive_s", "backlog", "variant_of"))
    run["configurations"] = [entry | unknown]
    path.write_text(json.dumps(run))
    for cell in folder.rglob("cell.json"):
        record = json.loads(cell.read_text())
        known = {"configuration": "sanic", "url": URL}
        record["server"] = dict.fromkeys(record["server"]) | known
        record["workers"] = None
        cell.write_text(json.dumps(record))
        for name in ("processes.csv", "workers.csv", "server.log"):
            (cell.parent / name).unlink(missing_ok=True)
    return folder


@pytest.fixture
def external(run):
    """Makes a run of an external server: keys as those of `run`."""

    def make(**changes):
        return unmetered(run(configurations=("sanic",), **changes))

    return make


@pytest.fixture
def analysed(external):
    return study(
        external(
            scenarios={"index": (8, 64)},
            open={"index": (Open((1000, 4000)),)},
            searches={"index": Search(5.0)},
            ceilings={"index": 160_000.0},
        )
    )


def test_what_the_generator_met_is_known_and_the_rest_is_not(analysed):
    summary = analysed.summary
    for column in ("throughput", "p50_us", "p99_us", "error_rate", "generator_busy", "ceiling_share"):
        assert summary.loc[summary["load_kind"] == "closed", column].notna().all(), column
    assert summary["steal"].notna().all()
    for column in ("cpu_s", "cpu_us", "busy", "pss_bytes", "rss_bytes"):
        assert summary[column].isna().all(), column
    assert set(summary["workers"]) == {"unknown"}
    assert analysed.results.processes.empty and analysed.results.workers.empty


def test_it_is_ranked_by_nothing_and_saturated_is_unknown(analysed):
    (table,) = analysed.verdict.tables
    (row,) = table.rows
    assert (row.rank, row.saturated) == (None, None)
    shown = dict(zip(table.columns, row.texts(), strict=True))
    assert shown["CPU µs/request"] == shown["PSS MiB"] == shown["rank"] == MISSING
    assert "≥" not in shown["requests/s"] and float(shown["requests/s"].split()[0].replace(",", "")) > 0
    assert "saturated: unknown" in shown["notes"]
    assert table.title == "index: 64 users, workers unknown" and table.basis.startswith("Not ranked: ")
    assert analysed.verdict.finding.endswith("whether that is all they can is unknown.")
    assert exports.ranking(analysed)["saturated"].isna().all()


def test_open_loops_and_searches_need_no_process(analysed):
    (ladder,) = analysed.verdict.rates
    assert ladder.title == "index: constant arrivals, workers unknown"
    (limit,) = analysed.verdict.capacity
    assert limit.rows[0].rate_per_s.mean > 0 and "workers unknown" in limit.title


def test_the_findings_say_so_once(analysed):
    kinds = [finding.kind for finding in analysed.findings]
    assert kinds.count("external") == 1 and not {"unmetered", "unsaturated", "waiting"} & set(kinds)
    (finding,) = analysed.found("external")
    assert URL in finding.text and "unknown" in finding.text
    assert not any("nan" in each.text for each in analysed.findings)


def test_a_generator_at_its_limit_is_found_all_the_same(external):
    bound = study(external(ceilings={"index": 1000.0}))
    (finding,) = bound.found("generator-bound")
    assert "not metered, under a generator" in finding.message and "nan" not in finding.text


def test_a_rate_that_was_not_reached_is_blamed_on_the_server_only_where_it_was_metered(analysed):
    rows = analysed.summary[analysed.summary["load_kind"] == "open"].head(2).assign(ceiling_share=0.0)
    assert list(cause(rows.assign(throughput=1.0, busy=[float("nan"), 1.0]))) == ["unmetered", "server"]
    missed = rows.head(1).assign(throughput=1.0, achieved=0.5)
    (finding,) = unreached(Measurements(analysed.results, missed, None))
    assert "whether the server was saturated is unknown: " in finding.message


def test_others_on_the_generators_cpus_may_be_the_server(external):
    (finding,) = study(external(others=0.2)).found("others")
    assert "the server perhaps" in finding.message and "of the CPUs of the generator" in finding.message


@pytest.mark.parametrize(
    "chart",
    [
        charts.throughput,
        charts.throughput_by_concurrency,
        charts.latency_by_throughput,
        charts.percentiles,
        timelines.over_time,
        ratecharts.latency_by_rate,
        ratecharts.hidden_latency,
    ],
    ids=lambda chart: chart.__name__,
)
def test_charts_of_what_is_known_are_drawn(analysed, chart):
    figure = chart(analysed)
    texts = [text.get_text() for text in figure.findobj(plt.Text)]
    assert texts and not any("nan" in text for text in texts)
    assert not any("was not saturated" in text for text in texts)
    if chart is charts.throughput:
        assert any("nobody knows whether the server was saturated" in text for text in texts)


def test_no_chart_is_drawn_of_what_nobody_metered(analysed):
    assert charts.cpu_per_request(analysed) is None and timelines.memory(analysed) is None


def test_the_page_says_what_is_unknown(analysed, tmp_path):
    text = page(analysed, tmp_path, None)
    assert f"what ran at {URL} was neither started nor metered" in text
    assert "server on CPUs that are unknown" in text and "Stack unknown" in text
    run, cells = analysed.results.run, analysed.results.cells
    assert any(f"at {URL}" in line.text for line in asked(run, cells))
    assert any(URL in line.text for line in machine(run))


def test_the_command_names_the_url(analysed):
    assert f" URL={URL}" in command(analysed.results.run)


def test_two_runs_compare_by_what_both_know(external, tmp_path):
    one = external()
    one = one.rename(tmp_path / "one")
    compared = compare(one, external())
    by_metric = {each.metric: each for each in compared.differences}
    assert by_metric["throughput"].reason == "whether a server was saturated is unknown"
    assert by_metric["cpu_us"].verdict is None and by_metric["p99_us"].verdict == "same"
    assert "workers unknown" in by_metric["p99_us"].key.text


def test_a_cell_that_failed_points_to_no_log_of_ours(external):
    folder = external()
    for path in folder.rglob("cell.json"):
        cell = json.loads(path.read_text()) | dict.fromkeys(("window", "generator", "measured"))
        path.write_text(json.dumps(cell | {"status": "failed", "reason": "it takes no connections"}))
    with pytest.raises(NothingFinished) as failed:
        study(folder)
    (finding,) = completeness.failures(failed.value)
    assert "what that server itself has logged" in finding.advice and "server.log" not in finding.text


def test_it_is_no_candidate_for_a_command(analysed):
    with pytest.raises(UserError, match="Its command is unknown, so it cannot be recommended"):
        judge([analysed], Requirements())
    assert of_run(analysed, lambda _: None) is None
    results = analysed.results
    assert latest(results.directory.parent, results.run.host.machine_id) == []
