"""Sanic's Gunicorn worker on Python 3.11: broken, though each request is answered by another pid."""

import re
import subprocess

import pytest

from bench import stacks
from targets.configurations import load
from tests.recycling.conftest import HERE
from tests.recycling.measured import Measured
from tests.targets.conftest import PROJECT, free_port

CATALOGUE = HERE / "sanic_worker_311.toml"
NAME = "gunicorn-sanic-311"


@pytest.fixture(scope="module")
def python():
    """The interpreter of its stack, whose environment is made when it is missing, as a run would."""
    catalogue = load(CATALOGUE)
    return stacks.ensure(catalogue.stacks[catalogue.get(NAME).stack], print).python


def test_it_is_the_configuration_of_the_suite_on_another_python():
    other, ours = load(CATALOGUE).get(NAME), load().get("gunicorn-sanic")
    assert (other.argv, other.recycle_argv, other.environment) == (
        ours.argv,
        ours.recycle_argv,
        ours.environment,
    )
    assert "3.11" not in load().stacks[ours.stack].pythons


def test_serve_sees_that_its_workers_die_though_each_has_started(python, tmp_path):
    """Each announces itself, so that waiting for announcements would wait in vain or be content too early."""
    served = subprocess.run(
        [
            python, "-m", "targets.serve", NAME, "--catalogue", CATALOGUE, "--port", str(free_port()),
            "--metrics", tmp_path / "metrics", "--max-requests", "200",
        ],
        cwd=PROJECT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert served.returncode == 3, served.stderr
    assert re.match(rf"serve: {NAME} keeps starting workers that die\.", served.stderr)
    workers = (tmp_path / "metrics" / "workers.csv").read_text()
    assert workers.count(",ready,") >= 3


@pytest.fixture(scope="module")
def run(tmp_path_factory, python):
    """It and a server that does recycle, measured with one and with two workers."""
    return Measured(tmp_path_factory.mktemp("sanic-311"), HERE / "sanic_worker_311_plan.toml")


def test_the_deciding_table_calls_it_broken_and_says_why(run):
    answer = run.answers(NAME)["restarts after N"]
    assert answer.verdict == "bad"
    assert "broken" in answer.text
    assert NAME in run.recycling.finding


def test_none_of_its_cells_recycles(run):
    """With two workers it may get ready between two deaths: then what clients saw decides, else serve."""
    cells = run.study.results.cells
    mine = cells[cells["configuration"] == NAME]
    assert len(mine) == 4
    for number, cell in mine.iterrows():
        if cell["status"] == "finished":
            assert run.recycling.cells.loc[number, "verdict"] == "broken"
        else:
            assert "keeps starting workers that die" in cell["reason"]


def test_the_server_beside_it_recycles(run):
    cells = run.recycling.cells
    honest = cells[(cells["configuration"] == "honest") & (cells["treatment"] == "recycled")]
    assert set(honest["verdict"]) == {"recycles"}
