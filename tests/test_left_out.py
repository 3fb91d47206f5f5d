"""What tests say of a machine that lacks something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import LONG_S

ROOT = Path(__file__).parents[1]
TESTS = """
import pytest
needs = pytest.mark.skipif(True, reason="no such browser")
@needs
def test_in_a_browser(): pass
@needs
@pytest.mark.parametrize("page", ["a", "b"])
def test_pages(page): pass
@pytest.fixture
def engine(): pytest.skip("no engine")
def test_in_an_engine(engine): pass
@pytest.mark.xfail(reason="known")
def test_that_fails_as_is_known(): assert False
def test_of_what_is_there(): pass
"""


@pytest.fixture
def session(tmp_path):
    """`session(**environment)`: the status and the lines of a pytest that leaves tests out."""
    path = tmp_path / "test_here.py"
    path.write_text(TESTS)
    others = {name: value for name, value in os.environ.items() if name != "CI"}

    def run(**environment):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pytest",
                "-c",
                os.devnull,
                "-p",
                "tests.left_out",
                "-p",
                "no:cacheprovider",
                path,
            ],
            cwd=ROOT,
            env={**others, **environment},
            capture_output=True,
            text=True,
            timeout=LONG_S,
        )
        return done.returncode, done.stdout.splitlines()

    return run


def test_what_a_machine_lacks_is_a_line_each(session):
    status, lines = session()
    assert status == 0 and "1 passed, 4 skipped, 1 xfailed" in lines[-1]
    assert [line for line in lines if line.startswith("left out")] == [
        "left out: no such browser: 3 tests",
        "left out: no engine: 1 test",
    ]


def test_in_ci_nothing_is_left_out(session):
    status, lines = session(CI="true")
    assert status == 1 and "1 xfailed" in lines[-1] and "skipped" not in lines[-1]
    assert lines.count("in CI no test may be left out: no such browser") == 3
    assert lines.count("in CI no test may be left out: no engine") == 1
