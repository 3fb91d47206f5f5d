import json
import math

import pytest

from analysis.cells.summary import summarise
from analysis.cells.thresholds import violations
from analysis.reading import results
from bench.model.errors import UserError
from tests.fixtures.make_run import Open, Search

ONE = {"configurations": ("sanic",), "repeats": 1, "noise": 0}


def broken(folder):
    loaded = results.load(folder)
    return violations(loaded, summarise(loaded))


def texts(folder):
    return [each.text for each in broken(folder)]


def test_a_run_that_keeps_its_thresholds_has_no_violations(run):
    demands = [
        "failures == 0",
        "error_rate <= 0",
        "requests_per_second > 20000",
        "p99_ms < 50",
        "pss_mib != 97",
    ]
    assert broken(run(**ONE, thresholds={"all": demands, "json": ["failures != 0"]})) == []


def test_a_run_without_thresholds_has_no_violations(analysed):
    assert analysed.violations == []


@pytest.mark.parametrize(
    ("demand", "found"),
    [
        ("requests_per_second > 30000", "is 28,143"),
        ("cpu_us < 35", "is 35"),
        ("pss_mib <= 97.9", "is 98"),
        ("failures > 0", "is 0"),
        ("error_rate != 0", "is 0"),
        ("p50_ms == 5", "is 2.1"),
        ("p90_ms < 3", "is 3.3"),
        ("p99_ms < 1e0", "is 4.8"),
        ("max_ms >= 60", "is "),
    ],
)
def test_a_violation_names_the_cell_the_value_and_the_demand(run, demand, found):
    (violation,) = broken(run(**ONE, thresholds={"index": [demand]}))
    metric, comparison, limit = demand.split()
    assert violation.path == "sanic/index/c64-w1/r1"
    assert violation.text.startswith(f"sanic/index/c64-w1/r1: {metric} {found}")
    assert violation.text.endswith(f", demanded: {metric} {comparison} {float(limit):g}")


def test_open_loops_are_judged_from_their_schedule(run):
    changes = ONE | {"scenarios": {"index": (8,)}, "open": {"index": (Open((2000,)),)}}
    stalled = run(**changes, thresholds={"all": ["p99_ms < 100", "achieved >= 0.99"]}, seconds=4, stall_at=1)
    (violation,) = broken(stalled)
    assert violation.path == "sanic/index/o2000-constant-w1/r1"
    assert violation.value == pytest.approx(460, rel=0.01)


def test_what_was_not_achieved_is_named(run):
    changes = ONE | {"scenarios": {"index": (8,)}, "open": {"index": (Open((40_000,)),)}}
    (text,) = texts(run(**changes, thresholds={"index": ["achieved >= 0.99"]}))
    assert text == "sanic/index/o40000-constant-w1/r1: achieved is 0.703575, demanded: achieved >= 0.99"


def test_a_value_that_is_unknown_is_no_evidence(run):
    folder = run(**ONE, scenarios={"sleep": (1,)}, thresholds={"all": ["p999_ms < 1000", "pss_mib < 1000"]})
    (processes,) = folder.rglob("processes.csv")
    lines = [line.rsplit(",", 1)[0] + "," for line in processes.read_text().splitlines()[1:]]
    processes.write_text("\n".join(["time,pid,role,cpu_s,rss_bytes,pss_bytes", *lines]) + "\n")
    found = broken(folder)
    assert all(math.isnan(each.value) for each in found)
    assert [each.text.partition(": ")[2] for each in found] == [
        "p999_ms is unknown (too few requests in the window), demanded: p999_ms < 1000",
        "pss_mib is unknown (not given by the system or not sampled in the window), demanded: pss_mib < 1000",
    ]


def test_steps_of_a_search_are_exempt(run):
    searching = ONE | {"scenarios": {"index": (8,)}, "searches": {"index": Search(1.0)}}
    assert broken(run(**searching, thresholds={"all": ["p99_ms < 20", "achieved > 0.99"]})) == []


def test_failed_cells_have_no_numbers_to_judge(run):
    folder = run(failed=frozenset({("uvicorn", "index")}), thresholds={"all": ["requests_per_second > 1e9"]})
    assert {each.path.split("/")[0] for each in broken(folder)} == {"sanic"}


@pytest.mark.parametrize("text", ["p99_ms < fast", "p99 < 5", "p99_ms ~ 5", "p99_ms<5"])
def test_a_threshold_of_another_version_is_named(run, text):
    folder = run(**ONE)
    document = json.loads((folder / "run.json").read_text())
    document["plan"]["thresholds"] = {"all": [text]}
    (folder / "run.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=f'run.json: this version cannot read the threshold "{text}"'):
        broken(folder)
