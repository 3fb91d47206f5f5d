"""Two versions of an app, served by the same servers: which became worse?"""

import json

import pandas as pd
import pytest

from analysis.recommend import of_run
from analysis.report.before import Before, before, changes
from analysis.report.page import page
from analysis.study import study
from bench.cli.results import report as report_command
from tests import notebooks
from tests.analysis.report_page import Page
from tests.fixtures.make_run import Spec, make_run


@pytest.fixture
def versions(tmp_path):
    """A run in which one server stands for the new version of an app, and another for the old one."""

    def make(new, old):
        folder = make_run(tmp_path / "run", Spec(configurations=(new, old), unavailable=()))
        for path in [folder / "run.json", *folder.glob("*/*/*/*/cell.json")]:
            text = path.read_text().replace(f'"{new}"', '"mine"').replace(f'"{old}"', '"mine-before"')
            path.write_text(text)
        (folder / new).rename(folder / "mine")
        (folder / old).rename(folder / "mine-before")
        run = json.loads((folder / "run.json").read_text())
        own = {"app": "shop:app", "folder": "/after", "environment": [], "baseline": {"folder": "/before"}}
        run["plan"]["own_app"] = own
        (folder / "run.json").write_text(json.dumps(run))
        return folder

    return make


def found(now, old=1000.0, *, failures=0, failed_before=0, busy=1.0, repeats=5):
    """What became of an app under one load, from the summary of cells that nobody measured."""
    rows = []
    for name, rate, failed in (("sanic", now, failures), ("sanic-before", old, failed_before)):
        for repeat in range(repeats):
            mood = 1 + 0.2 * repeat + (0.002 if (repeat + len(name)) % 2 else 0)
            served = {"throughput": rate * mood, "cpu_us": 1e6 / (rate * mood), "requests": 1000}
            load = {"scenario": "index", "users": 64, "workers": 1, "busy": busy, "failures": failed}
            rows.append({"configuration": name, "repeat": repeat, **served, **load})
    return Before(tuple(changes(pd.DataFrame(rows))))


@pytest.mark.parametrize(
    ("now", "said", "regression"),
    [
        (900, "REGRESSION", True),
        (965, "worse, within the margin", False),
        (1000, "same", False),
        (1100, "better", False),
    ],
)
def test_what_is_certainly_below_the_margin_is_a_regression(now, said, regression):
    of_it = found(now)
    (row,) = of_it.rows
    assert (row.configuration, row.said, bool(of_it.regressions)) == ("sanic", said, regression)
    assert row.versus.ratio == pytest.approx(now / 1000, rel=0.01)
    assert of_it.finding.startswith("The app became worse" if regression else "No regression beyond 5%")


def test_a_version_whose_requests_fail_now_is_a_regression():
    (row,) = found(1000, failures=100).rows
    assert row.regression and row.said.startswith(
        "REGRESSION: 9.09% of its requests fail, of those before 0.00%"
    )
    # What failed before as well says nothing of the change.
    (row,) = found(1000, failures=100, failed_before=100).rows
    assert not row.regression and row.said.startswith("not compared")


def test_one_sitting_has_no_interval_and_decides_nothing():
    of_it = found(500, repeats=1)
    (row,) = of_it.rows
    assert not row.regression and row.interval is None and row.texts()[2].startswith("0.50")
    assert of_it.finding == "Nothing could be compared with the version before."


def test_a_server_that_was_not_busy_is_compared_by_its_cpu_time():
    assert [row.metric for busy in (0.5, 1.0) for row in found(1000, busy=busy).rows] == [
        "CPU-second",
        "second",
    ]


def test_a_run_of_two_versions_says_which_became_worse(versions):
    folder = versions("uvicorn", "sanic")
    analysed = study(folder)
    of_it = before(analysed)
    assert of_it is not None and len(of_it.regressions) == len(of_it.rows) > 1
    # It does not ask which configuration to use.
    assert of_run(analysed, lambda _: None) is None
    shown = Page(page(analysed, folder))
    assert "The app became worse: mine, index at" in shown.text and "Before and after" in shown.text


def test_a_run_of_one_version_says_nothing_of_it(tmp_path):
    assert before(study(make_run(tmp_path / "one", Spec(configurations=("sanic",), unavailable=())))) is None


def test_the_terminal_ends_with_it(versions, capsys):
    with notebooks.left_out():
        rendered = report_command.render(versions("sanic", "sanic-single"))
    assert rendered is not None and rendered.changes is not None
    assert rendered.changes.finding.split(":")[0][:40] in capsys.readouterr().out
