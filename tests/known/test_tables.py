"""The tables and the command's exit status, from answers made up here."""

import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from analysis.reading.results import load as load_results
from bench.cli.trust import known_answers
from bench.studies.self_check.known import comparison
from bench.studies.self_check.known.arithmetic import KnownLoad
from bench.studies.self_check.known.comparison import KnownCell, KnownRun
from bench.studies.self_check.known.server import Behaviour

RECORDED = Path(__file__).parents[1] / "fixtures" / "recorded" / "20261122-091001-smoke"
STALL = Behaviour(service_s=0.001, stall_s=1, period_s=10)
COUNTS = {"requests in all": 100, "failures in all": 0, "requests in the window": 80}
TIMES = {"p50": 0.0011, "p95": 0.0012, "p99": 0.0012, "p99.9": 0.0013, "max": 1.0}
SCHEDULED = {
    "schedule p50": 0.0011,
    "schedule p95": 0.51,
    "schedule p99": 0.903,
    "schedule p99.9": 0.992,
    "schedule max": 1.001,
}


def stalled(**changes):
    """A run of the stalling server; `changes` are figures of its open loop."""
    closed = KnownCell("known-stall", STALL, KnownLoad(8), {**TIMES, **COUNTS, "users (X·R)": 7.9}, 100)
    figures = {**TIMES, **COUNTS, **SCHEDULED, "offered": 600, "achieved": 1.0, **changes}
    opened = KnownCell("known-stall", STALL, KnownLoad(32, 600, "constant"), figures, 100)
    return KnownRun(load_results(RECORDED).run, (closed, opened))


def idle(added_s):
    closed = KnownCell(
        "known-idle", Behaviour(), KnownLoad(1), {**COUNTS, "p50": 0.0001, "users (X·R)": 1.0}, 100
    )
    figures = {"schedule p50": 0.0001, "lateness p50": added_s, "offered": 3000, "achieved": 1.0}
    opened = KnownCell(
        "known-idle", Behaviour(), KnownLoad(256, 3000, "constant"), {**COUNTS, **figures}, 100
    )
    return KnownRun(load_results(RECORDED).run, (closed, opened))


def test_a_wrong_figure_is_marked_and_the_others_are_not():
    answers = list(stalled(**{"schedule p99": 0.5}).answers())
    marks = {row[0]: row[-1] for row in map(comparison.row, answers)}
    assert marks["schedule p99"] == "WRONG"
    assert {mark for figure, mark in marks.items() if figure != "schedule p99"} == {"ok"}


def test_a_percentile_that_is_missing_is_wrong_and_says_why():
    answers = list(stalled(**{"schedule p99.9": math.nan}).answers())
    (missing,) = [row for row in map(comparison.row, answers) if row[-1] == "WRONG"]
    assert missing == ("schedule p99.9", "991 ms", "too few", "", "WRONG")


def test_a_lost_request_is_wrong():
    answers = list(stalled(**{"requests in all": 99}).answers())
    assert [each.expected.figure for each in answers if not each.right] == ["requests in all"]


@pytest.mark.parametrize(("added_s", "right"), [(0.00005, True), (0.0002, False)])
def test_what_the_schedule_adds_to_an_idle_server(added_s, right):
    (added,) = [each for each in idle(added_s).answers() if each.expected.figure == "added to the p50"]
    assert added.right is right


def test_the_stall_is_shown_beside_arithmetic():
    run = stalled()
    text = comparison.markdown(list(run.answers()), run, "make known-answers")
    assert "| p99 | 1.20 ms | 1.20 ms | 903 ms | 903 ms |" in text
    assert "`make known-answers`" in text


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Runs the command on runs made up; returns its result and the document it may write."""
    document = tmp_path / "methodology.md"
    document.write_text("before\n<!-- measured: known-answers -->\nold\n<!-- /measured: known-answers -->\n")
    monkeypatch.setattr(known_answers, "DOCUMENT", document)

    def run(**changes):
        runs = {known_answers.IDLE: idle(0.0), known_answers.ANSWERS: idle(0.0)}
        runs[known_answers.STALL] = stalled(**changes)
        monkeypatch.setattr(known_answers, "measure", lambda _folder, plan: runs[plan])
        done = CliRunner().invoke(known_answers.app, ["--results", str(tmp_path), "--update-docs"])
        return done, document.read_text()

    return run


def test_right_figures_go_into_the_document(command):
    done, document = command()
    assert done.exit_code == 0, done.output
    assert "old" not in document
    assert "| p99 |" in document


def test_a_wrong_figure_is_exit_status_1_and_leaves_the_document(command):
    done, document = command(**{"schedule p99": 0.5})
    assert done.exit_code == 1
    assert "1 of " in done.output
    assert "old" in document
