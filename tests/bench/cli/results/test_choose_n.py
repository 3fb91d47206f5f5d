"""`bench choose-n` on a synthetic run: what is printed, and the exit status."""

import pytest

from tests.bench.commands import told
from tests.fixtures.make_recycling import Life, Story, generation, make_recycling
from tests.fixtures.make_run import Spec, make_run

CPU_S = (0.4, 0.0002)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of each kind. Do not change it."""
    root = tmp_path_factory.mktemp("results")
    make_run(root / "quick", Spec(configurations=("sanic",), scenarios={"index": (64,)}))
    make_recycling(
        root / "recycle",
        [
            Story("sanic", [Life(1000, -2, -1)], "control", cpu_s=CPU_S),
            Story("sanic", generation(12, 1.0, gap_s=0.1), cpu_s=CPU_S),
        ],
    )
    return root


@pytest.fixture
def choose(results, monkeypatch):
    monkeypatch.setattr("bench.machine.host.facts", lambda: {"machine_id": "0"})
    return lambda *options: told("choose-n", "--results", str(results), *options)


def test_an_n_with_what_it_costs_and_how_to_check_it(choose):
    done = choose("--leak", "50kB", "--allowance", "500MB")
    assert done.exit_code == 0, done.output
    assert "N for an app that leaks 50.0 kB a request and may take 500 MB, 1 worker" in done.output
    assert "It costs least with sanic: N = 8,200." in done.output
    assert "make recycle SCENARIOS=leak-50k CONFIGURATIONS=sanic WORKERS=1 MAX_REQUESTS=8200" in done.output


def test_without_an_n_the_status_is_1(choose):
    done = choose("recycle", "--leak", "50kB", "--allowance", "20MB")
    assert done.exit_code == 1 and "No configuration has an N for that." in done.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--leak", "much"], '--leak takes a size such as 50kB, 500MB or 1GiB, not "much"'),
        (["--leak", "0kB"], "--leak takes a size"),
        (["--leak", "50kB", "quick"], "quick did not measure what replacing workers costs: make recycle"),
        (["--leak", "50kB", "--workers", "3"], "recycle measured workers = 1, not 3"),
        (
            ["--leak", "50kB", "--configurations", "sanik"],
            'unknown configuration "sanik"; did you mean "sanic"?',
        ),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(choose, options, message):
    done = choose("--allowance", "500MB", *options)
    assert done.exit_code == 2 and message in done.stderr and done.stderr.count("\n") == 1


def test_results_of_another_kind_say_what_would_measure_it(tmp_path, choose):
    done = told("choose-n", "--results", str(tmp_path), "--leak", "1kB", "--allowance", "1GB")
    assert done.exit_code == 2 and "make recycle PLAN=price measures it" in done.stderr
