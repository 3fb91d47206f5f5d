"""Whose settings are tried where nobody says."""

import json
import os

import pytest

from bench.studies.settings.servers import chosen
from tests.bench.variants import KNOWN


def verdict(*candidates):
    """A verdict on candidates, each with its outcome, the best first."""
    found = [
        {
            "configuration": name,
            "outcome": outcome,
            "rank": None,
            "performance": None,
            "why": "",
            "judgements": [],
        }
        for name, outcome in candidates
    ]
    return {
        "schema": 1, "decision": "none", "finding": "", "recommended": [], "commands": [], "caveats": [],
        "candidates": found, "method": "", "not_covered": [], "measure": [], "requirements": {}, "runs": [],
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def written(place, content, age_s):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        os.utime(path, (1e9 - age_s, 1e9 - age_s))
        return path

    return written


def test_they_are_the_best_that_have_variants(write, tmp_path):
    path = write("verdict.json", verdict(("alone", "passed"), ("b-preload", "passed"), ("a", "likely")), 0)
    assert chosen(tmp_path, KNOWN) == (["b", "a"], str(path))


def test_what_failed_and_what_is_no_configuration_today_are_left_out(write, tmp_path):
    write("verdict.json", verdict(("gone", "passed"), ("b", "not shown"), ("a", "failed")), 0)
    assert chosen(tmp_path, KNOWN)[0] == ["b"]


def test_the_last_verdict_counts_whoever_made_it(write, tmp_path):
    write("verdict.json", verdict(("b", "passed")), 60)
    last = write("20261130-000000-quick/report/verdict.json", verdict(("a", "passed")), 0)
    assert chosen(tmp_path, KNOWN) == (["a"], str(last))


def test_verdicts_that_say_nothing_are_passed_over(write, tmp_path):
    assert chosen(tmp_path, KNOWN) is None
    write("20261130-000000-quick/report/verdict.json", '{"schema": 0}', 0)
    write("20261130-000001-quick/report/verdict.json", verdict(("alone", "passed")), 1)
    assert chosen(tmp_path, KNOWN) is None
    write("verdict.json", verdict(("a", "passed")), 2)
    assert chosen(tmp_path, KNOWN)[0] == ["a"]
