"""What the analysis says of a run's database, and of scenarios that could not be measured without one."""

import json

import pandas as pd
import pytest

from analysis.report.page import page
from analysis.study import study
from bench.model.errors import UserError

MISSING = {"scenario": "db", "reason": "no PostgreSQL is installed", "remedy": "install one"}
DATABASE = {"where": "private", "version": "PostgreSQL 15.8", "cpus": [1], "scenarios": ["db", "db-write"]}


def with_keys(folder, **keys):
    """The folder of a run whose `run.json` has other values."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    return folder


def found(folder, kind):
    return [finding for finding in study(folder).findings if finding.kind == kind]


def test_a_scenario_that_could_not_be_measured_is_told_with_the_remedy(run, tmp_path):
    folder = with_keys(run(), unavailable=[MISSING])
    (finding,) = found(folder, "unavailable")
    assert finding.message == "the scenario db could not be measured: no PostgreSQL is installed"
    assert (finding.advice, finding.severity, finding.configurations) == ("install one", "note", ())
    html = page(study(folder), tmp_path)
    assert "the scenario db" in html and "no PostgreSQL is installed" in html and "install one" in html


@pytest.mark.parametrize("entry", [{**MISSING, "configuration": "sanic"}, {"reason": "why", "remedy": "how"}])
def test_either_a_configuration_or_a_scenario_is_unavailable(run, entry):
    folder = with_keys(run(), unavailable=[entry])
    with pytest.raises(UserError, match=r"run\.json: unavailable\.0: .*either a configuration or a"):
        study(folder)


@pytest.mark.parametrize(
    ("database", "words"),
    [
        (DATABASE, "PostgreSQL 15.8, the run&#39;s own on CPU 1, asked by db, db-write"),
        (DATABASE | {"where": "compose"}, "PostgreSQL 15.8, in a container on CPU 1, asked by db, db-write"),
        (
            {"where": "given", "version": "PostgreSQL 17.1", "cpus": None, "scenarios": ["db"]},
            "PostgreSQL 17.1, that of DATABASE_URL, asked by db",
        ),
    ],
)
def test_the_page_says_which_database_it_was(run, tmp_path, database, words):
    assert words in page(study(with_keys(run(), database=database)), tmp_path)


def test_a_run_without_a_database_says_nothing_of_one(run, tmp_path):
    folder = run()
    older = page(study(folder), tmp_path)
    assert "asked by" not in older
    assert page(study(with_keys(folder, database=None)), tmp_path) == older


def test_a_database_that_works_is_not_told_as_other_processes(run):
    folder = run(others=0.2, scenarios={"sleep": (64,)})
    (others,) = found(folder, "others")
    with_keys(folder, database=DATABASE)
    assert found(folder, "others") == [others] and found(folder, "database") == []
    with_keys(folder, database=DATABASE | {"scenarios": ["sleep"]})
    assert found(folder, "others") == []
    (asked,) = found(folder, "database")
    assert asked.severity == "note" and "took up to 20% of the CPUs" in asked.message


def test_a_database_that_hardly_works_is_not_told(run):
    folder = with_keys(
        run(others=0.01, scenarios={"sleep": (64,)}), database=DATABASE | {"scenarios": ["sleep"]}
    )
    assert found(folder, "database") == found(folder, "others") == []


def test_a_server_that_waits_for_its_database_is_a_note(run):
    folder = run(generator_limit=5000)
    # The generator is idle, too, and answers come at once, now and then.
    for path in folder.rglob("generator.csv"):
        frame = pd.read_csv(path)
        frame.assign(cpu_s=frame["cpu_s"] / 3, spin_s=0).to_csv(path, index=False)
    for path in folder.rglob("latency.csv"):
        frame = pd.read_csv(path)
        frame.assign(bucket_us=frame["bucket_us"] / 10).to_csv(path, index=False)
    (warned,) = found(folder, "unsaturated")
    assert warned.severity == "warning" and "database" not in warned.text
    with_keys(folder, database=DATABASE | {"scenarios": ["index"]})
    (noted,) = found(folder, "unsaturated")
    assert noted.severity == "note" and "which leaves the database" in noted.message
    assert (noted.scenario, noted.loads) == (warned.scenario, warned.loads)
