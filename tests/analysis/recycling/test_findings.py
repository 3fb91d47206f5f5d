import pandas as pd
import pytest

from analysis.study import study
from tests.fixtures.make_recycling import Life, Lost, Story, generation, make_recycling

EVEN = generation(11, 1.0)
ALONE = [Life(1, -2, -1)]


def kinds(analysed):
    return [finding.kind for finding in analysed.findings]


def test_losses_and_missed_rates_are_the_answer_and_no_fault(told):
    gone = Story("uvicorn", [Life(1, -2, -1, died=2.0)], server_ended=(2.0, 0))
    stuck = Story("granian", ALONE, "control", slow={5 + i / 100: 60.0 for i in range(100)})
    analysed = told(gone, stuck, Story("sanic", EVEN, lost=[Lost(2 + i / 100) for i in range(300)]))
    assert analysed.summary["failures"].sum() > 300 and analysed.summary["achieved"].min() < 0.95
    assert kinds(analysed) == []


def test_the_other_rules_hold(tmp_path):
    folder = make_recycling(tmp_path / "run", [Story("sanic", EVEN)])
    (host,) = folder.rglob("host.csv")
    frame = pd.read_csv(host)
    frame.assign(steal_s=0.1 * (frame["time"] - frame["time"].min())).to_csv(host, index=False)
    assert kinds(study(folder)) == ["steal"]


def test_fewer_replacements_than_wanted(told):
    plan = {"recycling": {"replacements": 10}, "scenarios": {"slow": {"recycling": {"replacements": 11}}}}
    stories = [Story("sanic", EVEN), Story("uvicorn", EVEN, scenario="slow")]
    (finding,) = told(*stories, plan=plan).findings
    assert finding.kind == "few-replacements" and finding.severity == "note"
    assert (finding.scenario, finding.configurations) == ("slow", ("uvicorn",))
    assert finding.message == "fewer replacements than the 11 that were wanted: uvicorn 10"


def test_a_cell_without_any_says_so_itself(told):
    assert kinds(told(Story("sanic", ALONE), plan={"recycling": {"replacements": 9}})) == []


def test_a_control_that_loses_requests_spoils_the_price(told):
    analysed = told(Story("sanic", EVEN), Story("sanic", ALONE, "control", lost=(Lost(2.0),)))
    (finding,) = analysed.findings
    assert finding.kind == "lossy-control" and finding.message.endswith("replaced: sanic 1 of 1,000")


@pytest.mark.parametrize("dropped, found", [(5, []), (30, ["trace"])])
def test_a_trace_that_lacks_requests_is_found(tmp_path, dropped, found):
    folder = make_recycling(tmp_path / "run", [Story("sanic", EVEN)])
    (trace,) = folder.rglob("trace.csv")
    frame = pd.read_csv(trace, dtype=str)
    frame.drop(frame.index[500 : 500 + dropped]).to_csv(trace, index=False)
    assert kinds(study(folder)) == found
