"""Everything in one container: what a person has of it whose machine has nothing but Docker."""

import json

import pytest

from tests.compose.real.checkout import cells
from tests.compose.real.engine import things_of

PLAN = "/checkout/tests/compose/real/plans/both-stacks.toml"


@pytest.fixture
def down(checkout):
    """Compose leaves the project's network, which goes with the test."""
    yield
    checkout.compose("--profile", "one-container", "down")
    assert not any(things_of(checkout).values())


def test_it_measures_and_leaves_a_report_to_whom_the_checkout_belongs(checkout, down):
    # In `run` Compose 1.29 sends whose files are, in `build` not: the cache has nothing of the former.
    checkout.compose("build", "bench")
    said = checkout.compose("run", "--rm", "-T", "bench", "run", "--plan", PLAN)
    (results,) = (checkout.folder / "results").glob("*-both-stacks")
    run = json.loads((results / "run.json").read_text())
    assert (run["launcher"], run["status"], run["host"]["container"]) == ("processes", "finished", True), said
    (lacking,) = run["unavailable"]
    assert lacking["configuration"] == "gunicorn-sanic" and "Python 3.9" in lacking["reason"]
    assert [cell["status"] for cell in cells(results)] == ["finished"]
    assert (results / "report" / "report.html").stat().st_size > 10_000
    assert {path.stat().st_uid for path in (results, *results.rglob("*"))} == {checkout.uid}
