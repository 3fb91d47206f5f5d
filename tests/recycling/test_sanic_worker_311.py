"""Sanic's Gunicorn worker on Python 3.11: broken, though each request is answered by another pid."""

import pytest

from bench.launch import stacks
from targets.catalogue.configurations import load
from tests.interpreters import needs_interpreter
from tests.recycling.conftest import HERE
from tests.recycling.measured import measured

CATALOGUE = HERE / "sanic_worker_311.toml"
NAME = "gunicorn-sanic-311"


@pytest.fixture(scope="module")
def python():
    """The interpreter of its stack, whose environment is made when it is missing, as a run would."""
    catalogue = load(CATALOGUE)
    stack = catalogue.stacks[catalogue.get(NAME).stack]
    needs_interpreter(stack)
    with pytest.MonkeyPatch.context() as patch:
        # Of its multidict there is no wheel for Python 3.11, and gcc need not be here.
        patch.setenv("MULTIDICT_NO_EXTENSIONS", "1")
        return stacks.ensure(stack, print).python


def test_it_is_the_configuration_of_the_suite_on_another_python():
    other, ours = load(CATALOGUE).get(NAME), load().get("gunicorn-sanic")
    assert (other.argv, other.recycle_argv, other.environment) == (
        ours.argv,
        ours.recycle_argv,
        ours.environment,
    )
    assert "3.11" not in load().stacks[ours.stack].pythons


@pytest.fixture(scope="module")
def run(tmp_path_factory, python):
    """It and a server that does recycle, with two workers each (never ready with one: test_recycler.py)."""
    folder = tmp_path_factory.mktemp("sanic-311")
    return measured(folder, HERE / "sanic_worker_311_plan.toml")


def test_the_deciding_table_calls_it_broken_and_says_why(run):
    answer = run.answers(NAME)["restarts after N"]
    assert answer.verdict == "bad"
    assert answer.text.startswith("broken: ")
    assert "\n" not in answer.text  # the server's last lines are in the report, not in its table
    assert NAME in run.recycling.finding


def test_none_of_its_cells_recycles(run):
    """It may get ready between two deaths: then what clients saw decides, else serve."""
    cells = run.study.results.cells
    mine = cells[cells["configuration"] == NAME]
    assert len(mine) == 2
    for number, cell in mine.iterrows():
        if cell["status"] == "finished":
            assert run.recycling.cells.loc[number, "verdict"] == "broken"
        else:
            # Of the second cell, too, which is not tried again.
            assert "keeps starting workers that die" in cell["reason"]


def test_the_server_beside_it_recycles(run):
    cells = run.recycling.cells
    honest = cells[(cells["configuration"] == "honest") & (cells["treatment"] == "recycled")]
    assert set(honest["verdict"]) == {"recycles"}
