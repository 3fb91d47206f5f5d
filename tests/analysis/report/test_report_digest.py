"""The summary: what was asked, how sure the answer is, where it was measured and what spoils it."""

import re

import pytest

from analysis.report.digest import FEW, LENGTH, NOTHING, digest, noted
from analysis.study import study
from tests.fixtures.make_recycling import STORIES, make_recycling
from tests.fixtures.make_run import Open, Search


def summary(folder):
    """The lines of each row by its label, and the findings with their places."""
    analysed = study(folder)
    findings = noted(analysed.findings)
    rows = {point.label: list(point.lines) for point in digest(analysed, findings, "thresholds")}
    return rows, findings


def texts(lines):
    return [line.text for line in lines]


def test_a_clean_run(run):
    rows, _ = summary(run(noise=0.005, configurations=("sanic", "uvicorn")))
    assert texts(rows["Asked"]) == [
        "Plan synthetic.",
        "sanic and uvicorn under index, with 1 worker; 64 users.",
    ]
    assert texts(rows["What spoils it"]) == [NOTHING]
    assert texts(rows["Measured on"]) == [
        "synthetic: Imagined CPU, 2 CPUs, Linux 6.1; server on CPU 0, generator on CPU 1.",
        "Launcher: processes.",
    ]
    assert rows["How sure"][0].text == "6 of 6 planned cells finished, 3 repeats of each."
    # What the heading says already is not said again, nor what there is nothing of.
    assert "Found" not in rows and "Missing" not in rows


def test_the_plan_speaks_in_its_own_words(run):
    folder = run()
    path = folder / "run.json"
    path.write_text(
        path.read_text().replace('"name": "synthetic", "', '"name": "quick", "summary": "all", "')
    )
    assert summary(folder)[0]["Asked"][0].text == "Plan quick: all."


def test_how_sure_is_the_width_of_the_intervals_that_decide(run):
    folder = run(configurations=("sanic", "uvicorn"), noise=0.05)
    rows, _ = summary(folder)
    (told,) = [line.text for line in rows["How sure"] if "intervals" in line.text]
    median, worst = (float(each) for each in re.findall(r"±([\d.]+)%", told))
    (table,) = study(folder).verdict.tables
    best, other = (row.ratio for row in table.rows)
    width = 100 * ((other.high / other.low) ** 0.5 - 1)
    assert best.mean == 1 and median == worst == pytest.approx(width, abs=0.06)


def test_a_single_repeat_has_no_intervals(run):
    rows, _ = summary(run(repeats=1))
    assert not [line for line in rows["How sure"] if "±" in line.text]


def test_several_rankings_are_counted_together(run):
    folder = run(
        configurations=("sanic", "uvicorn"), scenarios={"index": (8, 64), "json": (64,)}, noise=0.005
    )
    rows, _ = summary(folder)
    assert texts(rows["Found"]) == ["First, or tied for first, in 2 rankings: sanic 2."]
    assert "In 2 of 2 rankings one configuration is certainly first." in texts(rows["How sure"])


def test_open_loops_and_searches_are_asked_for_in_words(run):
    folder = run(scenarios={}, open={"index": [Open((1000, 4000))]}, searches={"index": Search(5.0)})
    rows, _ = summary(folder)
    asked = rows["Asked"][1].text
    assert "1,000 or 4,000 requests/s (constant)" in asked and "p99 within 5 ms" in asked
    assert rows["Found"][0].text.startswith("sanic serves index within a p99 of 5 ms")


def test_warnings_lead_to_where_they_are_told_in_full(run):
    rows, findings = summary(run(steal=0.1, trusted=False))
    places = {one.anchor: one.finding for one in findings}
    warnings = [line for line in rows["What spoils it"] if line.anchor]
    assert warnings and len(warnings) <= FEW + 2
    for line in warnings[:FEW]:
        message = places[line.anchor].message
        assert len(line.text) <= LENGTH and (message[:20] in line.text or "note" in line.text)
    assert "they had to share CPUs" in rows["Measured on"][0].text


def test_what_does_not_keep_the_thresholds_is_counted_first(run):
    rows, _ = summary(run(thresholds={"all": ["p99_ms < 0.001"]}))
    first = rows["What spoils it"][0]
    assert first.text == "6 cells do not keep the thresholds of the plan." and first.anchor == "thresholds"


def test_what_is_missing_is_said(run):
    rows, _ = summary(run(configurations=("sanic", "gunicorn-sanic"), status="interrupted"))
    told = " ".join(texts(rows["Missing"]))
    assert "not complete (interrupted)" in told and "no Python 3.9 here" in told


def test_recycling_rests_on_replacements_and_on_controls(tmp_path):
    rows, _ = summary(make_recycling(tmp_path / "run", STORIES))
    sure = texts(rows["How sure"])
    found = study(tmp_path / "run").recycling.cells
    replaced = found.loc[found["treatment"] == "recycled", "replaced"].sum()
    assert f"{replaced} replacements of workers in 3 cells." in sure
    assert [line for line in sure if line.startswith("Without recycling 0 of ")]
    asked = rows["Asked"][1].text
    assert "workers replaced; the same without, as the control." in asked
    (found,) = texts(rows["Found"])
    assert found.startswith("Answers that one does not want, of 8: uvicorn")
