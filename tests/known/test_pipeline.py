"""From sockets to the figures: short runs of known servers. Bounds on times are wide; counts are exact."""

import shutil

import pytest

from bench.cli.trust import known_answers
from bench.experiment import run as experiment
from bench.model.files import ROOT
from targets.catalogue.configurations import load as load_catalogue

KNOWN = ROOT / "bench" / "studies" / "self_check" / "known"

PLAN = """
summary = "failures and two service times, and a stall of half a second in four"
configurations = ["known-bimodal", "known-stall"]
workers = [1]
repeats = 1
warmup_s = 0.3
measured_s = 4
catalogue = "configurations.toml"
locustfiles = "locustfiles"
[scenarios.answer]
users = [8]
[[scenarios.answer.open]]
rates_per_s = [300]
users = 32
"""


CHANGES = {
    '"--slow-ms", "200"': '"--slow-ms", "200", "--fail-every", "7"',
    '"--stall-s", "1", "--period-s", "10"': '"--stall-s", "0.5", "--period-s", "4"',
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The plan, measured once."""
    folder = tmp_path_factory.mktemp("known")
    catalogue = (KNOWN / "configurations.toml").read_text()
    for known, instead in CHANGES.items():
        assert known in catalogue
        catalogue = catalogue.replace(known, instead)
    requirements = (ROOT / "targets" / "stacks" / "current.txt").as_posix()
    (folder / "configurations.toml").write_text(
        catalogue.replace("../../../../targets/stacks/current.txt", requirements)
    )
    shutil.copytree(KNOWN / "locustfiles", folder / "locustfiles")
    plan = folder / "plan.toml"
    plan.write_text(PLAN)
    # What the generator can reach has no part in it, and takes longer than what is measured.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "kept_or_measured", lambda *_: [])
        return known_answers.measure(folder / "results", plan)


def test_known_servers_have_the_suites_own_stack():
    requirements = load_catalogue(KNOWN / "configurations.toml").stacks["current"].requirements
    assert requirements.resolve() == ROOT / "targets" / "stacks" / "current.txt"
    assert requirements.exists()


def by_load(run, configuration):
    """The closed and the open cell of a server."""
    cells = [cell for cell in run.cells if cell.configuration == configuration]
    return sorted(cells, key=lambda cell: cell.load.rate_per_s is not None)


def test_failures_are_counted_to_the_last_one(run):
    for cell in by_load(run, "known-bimodal"):
        assert cell.figures["requests in all"] == cell.served > 200
        assert cell.figures["failures in all"] == cell.served // 7


def test_every_count_is_right(run):
    counts = [each for each in run.answers() if each.expected.exact]
    assert len(counts) == 2 * 4
    assert [each for each in counts if not each.right] == []


def test_two_service_times_are_told_apart(run):
    closed, opened = by_load(run, "known-bimodal")
    for figures, prefix in ((closed.figures, ""), (opened.figures, "schedule ")):
        assert 0.0199 <= figures[f"{prefix}p50"] < 0.18
        assert 0.199 <= figures[f"{prefix}p95"] < 2


def test_an_open_loop_shows_the_stall_that_a_closed_loop_hides(run):
    closed, opened = by_load(run, "known-stall")
    assert closed.figures["p99"] < 0.1
    assert closed.figures["max"] > 0.4
    assert 0.1 < opened.figures["schedule p95"] < 0.8


def test_the_mean_number_in_flight_is_the_number_of_users(run):
    for configuration in ("known-bimodal", "known-stall"):
        closed, _ = by_load(run, configuration)
        assert closed.figures["users (X·R)"] == pytest.approx(8, rel=0.3)
