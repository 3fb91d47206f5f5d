"""From sockets to the figures: short runs of known servers. Bounds on times are wide; counts are exact."""

import shutil
from pathlib import Path

import pytest

from bench import known_answers
from bench.known.comparison import KnownRun

KNOWN = Path(known_answers.__file__).parent / "known"

COUNTS = """
summary = "failures and two service times, in short"
configurations = ["known-failures", "known-bimodal"]
workers = [1]
repeats = 1
warmup_s = 0.3
measured_s = 1
catalogue = "configurations.toml"
locustfiles = "locustfiles"
[scenarios.answer]
users = [4]
[[scenarios.answer.open]]
rates_per_s = [400]
"""
STALL = """
summary = "a quarter of a second in one"
configurations = ["known-stall"]
workers = [1]
repeats = 1
warmup_s = 0.3
measured_s = 2
catalogue = "configurations.toml"
locustfiles = "locustfiles"
[scenarios.answer]
users = [4]
[[scenarios.answer.open]]
rates_per_s = [800]
arrivals = "poisson"
users = 32
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Measures a plan with a stall of 0.25 s in 1; returns the cells by server and kind of load."""
    folder = tmp_path_factory.mktemp("known")
    catalogue = (KNOWN / "configurations.toml").read_text()
    shorter = catalogue.replace(
        '"--stall-s", "1", "--period-s", "10"', '"--stall-s", "0.25", "--period-s", "1"'
    )
    assert shorter != catalogue
    requirements = (KNOWN.parents[1] / "targets" / "stacks" / "current.txt").as_posix()
    (folder / "configurations.toml").write_text(
        shorter.replace("../../targets/stacks/current.txt", requirements)
    )
    shutil.copytree(KNOWN / "locustfiles", folder / "locustfiles")

    def measure(name, text) -> KnownRun:
        plan = folder / f"{name}.toml"
        plan.write_text(text)
        return known_answers.measure(folder / "results", plan)

    return measure


def by_load(run, configuration):
    """The closed and the open cell of a server."""
    cells = [cell for cell in run.cells if cell.configuration == configuration]
    return sorted(cells, key=lambda cell: cell.load.rate_per_s is not None)


@pytest.fixture(scope="module")
def counted(measured):
    return measured("counts", COUNTS)


@pytest.fixture(scope="module")
def stalled(measured):
    return measured("stall", STALL)


def test_failures_are_counted_to_the_last_one(counted):
    for cell in by_load(counted, "known-failures"):
        assert cell.figures["requests in all"] == cell.served > 200
        assert cell.figures["failures in all"] == cell.served // 20


def test_every_count_is_right(counted, stalled):
    answers = [each for run in (counted, stalled) for each in run.answers()]
    counts = [each for each in answers if each.expected.exact]
    assert len(counts) == 2 * 6
    assert [each for each in counts if not each.right] == []


def test_two_service_times_are_told_apart(counted):
    closed, opened = by_load(counted, "known-bimodal")
    for figures, prefix in ((closed.figures, ""), (opened.figures, "schedule ")):
        assert 0.002 <= figures[f"{prefix}p50"] < 0.018
        assert 0.0199 <= figures[f"{prefix}p95"] < 0.2


def test_an_open_loop_shows_the_stall_that_a_closed_loop_hides(stalled):
    closed, opened = by_load(stalled, "known-stall")
    assert closed.figures["p99"] < 0.1
    assert closed.figures["max"] > 0.2
    assert 0.1 < opened.figures["schedule p95"] < 0.8
    assert 0.2 < opened.figures["schedule p99"] < 0.8


def test_the_mean_number_in_flight_is_the_number_of_users(counted):
    for configuration in ("known-failures", "known-bimodal"):
        closed, _ = by_load(counted, configuration)
        assert closed.figures["users (X·R)"] == pytest.approx(4, rel=0.3)
