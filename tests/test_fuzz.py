"""What `make fuzz` notes and tells."""

import json
import subprocess
import sys

import pytest

from bench.model.errors import UserError
from tests import fuzz

TRIED = """
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

@settings(max_examples=30)
@given(st.integers())
def test_holds(number):
    pass

@pytest.mark.parametrize("most", [10])
def test_holds_within(most):
    @settings(max_examples=20)
    @given(st.integers(0, 1000))
    def tried(number):
        pass
    tried()

@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_is_found(number):
    assert number < 0
"""
TURN = {
    "began": 1_790_000_000.0, "seed": 1, "minutes": 1.5,
    "host": {"cpu": "Some CPU", "cpus": 2, "system": "Linux 6.1"},
    "tests": {
        "tests/a/test_a.py::test_a_fuzzed_plan[x]": {"held": True, "examples": 1200, "seconds": 30},
        "tests/a/test_a.py::test_a_fuzzed_plan[y]": {"held": True, "examples": 300, "seconds": 30},
    },
}  # fmt: skip
FOUND = {"tests/a/test_b.py::test_fuzzed": {"held": False, "examples": 2, "seconds": 6}}


def test_examples_are_counted_test_by_test(tmp_path):
    (tmp_path / "test_tried.py").write_text(TRIED)
    tally = tmp_path / "tally.json"
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "tests.tally", f"--tally={tally}"]
    done = subprocess.run(
        [*command, f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}", tmp_path / "test_tried.py"],
        cwd=fuzz.ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    found = {name.partition("::")[2]: told for name, told in json.loads(tally.read_text()).items()}
    assert {name: told["held"] for name, told in found.items()} == {
        "test_holds": True, "test_holds_within[10]": True, "test_is_found": False,
    }  # fmt: skip
    assert (found["test_holds"]["examples"], found["test_holds_within[10]"]["examples"]) == (30, 20)
    assert found["test_is_found"]["examples"] >= 1


def test_turns_are_told_test_by_test_and_as_a_whole():
    (table,) = fuzz.tables([TURN, TURN | {"tests": TURN["tests"] | FOUND}])
    assert list(table.rows) == [
        ("test_a: a fuzzed plan", "4", "3,000", "2.0", "0"),
        ("test_b: fuzzed", "1", "2", "0.1", "1"),
        ("all", "2", "3,002", "3.0", "1"),
    ]


def test_turns_are_put_into_the_document(tmp_path):
    page, notes = tmp_path / "page.md", tmp_path / "fuzz.jsonl"
    page.write_text("<!-- measured: fuzz -->\n<!-- /measured -->\n")
    with pytest.raises(UserError, match="make fuzz writes it"):
        fuzz.noted(notes)
    notes.write_text(f"{json.dumps(TURN)}\n{json.dumps(TURN)}\n")
    fuzz.document(fuzz.noted(notes), page)
    assert "| test_a: a fuzzed plan | 4 | 3,000 | 2.0 | 0 |" in page.read_text()
    assert "by `make fuzz MINUTES=3`, in 2 turns with a seed each, on Some CPU, 2 CPUs" in page.read_text()
