"""Whether any request of a run succeeded, from its records alone, and the exit status that goes by it."""

import pytest
from typer.testing import CliRunner

from bench.cli import run as run_command
from bench.cli.main import app
from bench.experiment import results
from bench.experiment.run import Result
from bench.experiment.runner import Outcome
from tests.fixtures.make_run import Spec, make_run
from tests.fixtures.spoil import refuse


@pytest.fixture
def folder(tmp_path):
    spec = Spec(configurations=("sanic", "uvicorn"), scenarios={"index": (8,)}, repeats=2)
    return make_run(tmp_path / "results" / "run", spec)


def cells(folder):
    return sorted(path.parent for path in folder.glob("*/*/*/*/cell.json"))


def test_a_sound_run_and_one_without_finished_cells_have_nothing_to_say(folder, tmp_path):
    assert results.none_succeeded(folder) is None
    every = frozenset({("sanic", "index")})
    failed = make_run(
        tmp_path / "failed", Spec(configurations=("sanic",), failed=every, scenarios={"index": (8,)})
    )
    assert results.none_succeeded(failed) is None


def test_the_sentence_says_how_many_failed_how_and_where_to_look(folder):
    for cell in cells(folder):
        refuse(cell, kind="check", detail=f"no\n total, but <b>{'y' * 200_000}")
    told = results.none_succeeded(folder)
    assert (
        told.startswith("no request succeeded: all ")
        and " in 4 cells failed, most often with check (no total" in told
    )
    assert told.endswith(f"see {cells(folder)[0]}/failures.csv") and "\n" not in told and len(told) < 500


def test_one_success_is_enough(folder):
    """A few failures, or one success, are for thresholds to judge (locustio/locust#560)."""
    for cell in cells(folder):
        refuse(cell)
    refuse_all_but_one = cells(folder)[-1]
    record = refuse_all_but_one / "cell.json"
    record.write_text(record.read_text().replace('"requests": 0', '"requests": 1'))
    assert results.none_succeeded(folder) is None


@pytest.mark.parametrize(("refused", "status"), [(0, 0), (3, 0), (4, 1)])
def test_the_exit_status_of_a_run(folder, monkeypatch, refused, status):
    """Every answer refused and yet status 0 is what locustio/locust#152 was about."""
    for cell in cells(folder)[:refused]:
        refuse(cell, detail="status 401")
    monkeypatch.setattr(
        run_command.experiment, "run", lambda *_: Result(folder, Outcome(finished=4), interrupted=False)
    )
    done = CliRunner().invoke(app, ["run", "--no-report"], env={"COLUMNS": "300"})
    assert done.exit_code == status, done.output
    assert ("no request succeeded: all " in done.output) == bool(status)
    assert not status or "http_4xx (status 401); see " in done.output
