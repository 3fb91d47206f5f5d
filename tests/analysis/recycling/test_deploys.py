"""What a deploy cost, from runs whose true answers are known."""

import math
from dataclasses import replace
from functools import cached_property

import pytest

from analysis.charts import probes
from analysis.documents.deploys import by_scenario
from analysis.recommend import selection
from analysis.recycling.deploys import FRAME
from analysis.study import Study
from tests.fixtures.make_recycling import Life, Lost, Story

OLD = [Life(1, -2, -1, died=3.9), Life(2, -2, -1, died=4.4)]
NEW = [Life(3, 3.1, 3.4), Life(4, 3.1, 3.6)]


def deploy(configuration, lives, *, renewed=(3, 4), **changes):
    """Two workers that are told of a new release at 3.0."""
    fields = {"workers": 2, "probe": (3.0, 99), "renewed": renewed} | changes
    return Story(configuration, lives, "deploy", **fields)


def test_a_deploy_is_complete_when_the_last_old_worker_has_begun_its_last_request(cell):
    row = cell(
        deploy("gunicorn-uvicorn", [*OLD, *NEW], lost=(Lost(1.0), Lost(3.5), Lost(4.0, far="started", pid=1)))
    )
    assert (row["verdict"], row["renewed"]) == ("deploys", 2)
    assert row["renewed_s"] == pytest.approx(1.4, abs=0.04)
    assert (row["lost"], row["lost_not_handled"], row["lost_started"]) == (2, 1, 1)  # after the signal
    assert row["reason"].startswith("only the new release served after 1.3")


def test_or_when_the_last_new_worker_is_ready(cell):
    gone = [Life(1, -2, -1, died=3.0), Life(2, -2, -1, died=3.0)]
    row = cell(deploy("uvicorn", [*gone, *NEW]))
    assert row["renewed_s"] == pytest.approx(0.6) and row["gap_s"] == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("lives", "renewed", "changes", "verdict"),
    [
        ([*OLD, *NEW], (), {}, "old code"),
        ([Life(1, -2, -1), Life(2, -2, -1)], (), {}, "ignores"),
        ([OLD[0], Life(2, -2, -1), *NEW], (3, 4), {}, "in part"),
        ([*OLD, NEW[0]], (3,), {}, "in part"),
        (OLD, (), {}, "ends"),
        ([*OLD, *NEW], (3, 4), {"server_ended": (5.0, 0)}, "ends"),
        ([*OLD, *NEW], (3, 4), {"probe": None}, "unknown"),
    ],
)
def test_or_it_is_not(cell, lives, renewed, changes, verdict):
    row = cell(deploy("gunicorn-uvicorn", lives, renewed=renewed, **changes))
    assert row["verdict"] == verdict, row["reason"]
    assert math.isnan(row["renewed_s"]) or "server_ended" in changes


@pytest.fixture
def deployed(told):
    """A run of nothing but deploys, one of them twice."""
    stories = [
        deploy("sanic", [*OLD, *NEW]),
        deploy("uvicorn", [*OLD, *NEW], lost=(Lost(3.5), Lost(3.6, far="started", pid=3))),
        deploy("uvicorn", [*OLD, *NEW], repeat=2, lost=(Lost(3.5),)),
        deploy("hypercorn", [*OLD, *NEW], renewed=()),
    ]
    return told(*stories, plan={"scenarios": {}, "probes": [{"kind": "deploy", "scenario": "index"}]})


def test_the_table_has_a_row_for_each_load(deployed):
    rows = {row.configuration: row for row in deployed.deploys.rows}
    assert list(rows) == [name for name in deployed.results.configurations if name in rows]
    assert rows["sanic"].texts()[3:8] == ["direct", "SIGHUP", "yes", "1.37 s", "0"]
    uvicorn = rows["uvicorn"]
    assert (uvicorn.lost.mean, uvicorn.ran) == (1.5, 0.5) and uvicorn.lost.low < 1.5 < uvicorn.lost.high
    assert rows["hypercorn"].texts()[5:7] == ["no: the old one", "\N{EN DASH}"]
    frame = deployed.deploys.frame.set_index("configuration")
    assert list(deployed.deploys.frame) == FRAME
    assert frame.loc["uvicorn", ["deploys", "lost", "lost_started", "lost_per_deploy"]].tolist() == [
        2,
        3,
        1,
        1.5,
    ]


def test_its_sentence_opens_the_report_of_a_run_of_deploys(deployed):
    sentence = (
        "A deploy loses no request with sanic; at most 1.50 with uvicorn; hypercorn does not serve the new "
        "release alone."
    )
    assert deployed.deploys.finding == deployed.verdict.finding == sentence
    assert deployed.recycling.rows == () and not selection.asks(deployed.results.run)


def test_its_chart_has_a_panel_for_each_deploy(deployed):
    figure = probes.deploys(deployed)
    assert len(figure.axes) == 3 and probes.probes(deployed) is None
    assert figure.axes[0].get_title(loc="left").startswith("index\nsanic: deploys, 0 lost")


def test_both_ways_and_two_copies_stand_side_by_side(told):
    lost = (Lost(3.5, "http_5xx"), Lost(3.6, "http_5xx", far="started", pid=3), Lost(3.7))
    behind = told(
        deploy("uvicorn", [*OLD, *NEW], lost=(Lost(3.5),)),
        deploy("uvicorn", [*OLD, *NEW], lost=lost, twice=[4.0], proxy="nginx"),
        replace(deploy("uvicorn", [*OLD, *NEW], proxy="nginx"), treatment="swap"),
        plan={"scenarios": {}, "probes": [{"kind": "deploy", "scenario": "index"}]},
    )
    told_by = [(row.proxy, row.texts()[4], row.lost.mean, row.twice) for row in behind.deploys.rows]
    assert told_by == [
        ("direct", "SIGHUP", 1, 0),
        ("nginx", "SIGHUP", 3, 1),
        ("nginx", "a second copy", 0, 0),
    ]
    frame = behind.deploys.frame
    assert frame[["proxy", "answers_5xx", "lost_started", "ran_twice"]].to_numpy().tolist() == [
        ["direct", 0, 0, 0],
        ["nginx", 2, 1, 1],
        ["nginx", 0, 0, 0],
    ]
    assert behind.deploys.finding == (
        "A deploy behind nginx loses up to 3 with uvicorn. A swap of two copies behind nginx loses no "
        "request with uvicorn. Without the proxy a deploy loses up to 1 with uvicorn."
    )
    assert behind.direct.direct is None and len(probes.deploys(behind).axes) == 1
    assert set(behind.results.cells["treatment"]) == {"deploy", "swap"}  # loads of their own, however grouped
    for name, part in vars(Study).items():
        if isinstance(part, cached_property):
            getattr(behind, name)  # raises nothing


def test_a_document_has_a_row_for_each_way_and_a_column_for_each_scenario(deployed):
    _, _, head, _, *lines = by_scenario(deployed.deploys)
    assert head == "| configuration | workers | told by | index |" and len(lines) == 3
    assert lines[0].startswith("| sanic | 2 | SIGHUP | 0; 1.37 s; ")
    told = "\n".join(lines)
    assert "| hypercorn | 2 | SIGHUP | 0; no: the old one; " in told and " (0.500 ran); 1.37 s; " in told


@pytest.mark.parametrize("kinds", [["deploy"], ["swap"], ["deploy", "swap"]])
def test_a_run_that_only_deploys_does_not_ask_which_configuration_to_use(told, kinds):
    only = told(
        deploy("uvicorn", [*OLD, *NEW]),
        plan={"scenarios": {}, "probes": [{"kind": kind, "scenario": "index"} for kind in kinds]},
    )
    assert not selection.asks(only.results.run)


def test_a_run_without_deploys_says_nothing_of_them(told):
    other = told(Story("sanic", [Life(1, -2, -1)], "control"))
    assert other.deploys is None and probes.deploys(other) is None and other.recycling.rows
