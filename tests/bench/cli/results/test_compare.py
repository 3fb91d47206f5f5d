"""`bench compare` on synthetic runs: what is printed, and the exit status."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from tests.fixtures.make_run import Spec, make_run
from tests.fixtures.make_settings import SETTINGS, VARIED, make_settings


@pytest.fixture
def compare(tmp_path):
    """Runs the command on two runs, `before` and `after`, in a terminal of some width; returns the result."""

    def run(*options, before=(), after=(), columns=200):
        common = {"configurations": (), "scenarios": {"index": (64,)}, "noise": 0.005}
        for seed, (name, changes) in enumerate((("before", before), ("after", after))):
            fields = common | {"seed": seed, "aliases": {"app": "uvicorn"}} | dict(changes)
            make_run(tmp_path / name, Spec(**fields))
        arguments = ["compare", "before", "after", "--results", str(tmp_path), *options]
        return CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})

    return run


def test_no_difference_is_status_0(compare):
    result = compare()
    assert result.exit_code == 0
    assert "4 comparisons; intervals alone would call about 0.1 worse" in result.output
    assert result.output.endswith("No regression beyond 5%.\n")
    assert result.output.count(" same") == 3 and " none" in result.output
    assert "\x1b" not in result.output  # no colour where no terminal is


def test_a_regression_is_status_1_and_told_in_full(compare):
    result = compare(after={"aliases": {"app": "hypercorn"}})
    assert result.exit_code == 1
    told = [line for line in result.output.splitlines() if line.startswith("REGRESSION")]
    assert [line.split(": ")[2].split(" went")[0] for line in told] == [
        "throughput",
        "p99",
        "CPU per request",
    ]
    place, _, numbers = told[2].partition(" went from ")
    assert place == "REGRESSION app, index: 64 users, 1 worker: CPU per request"
    assert re.fullmatch(r"(69|70|71)[.\d]* to 1[56]\d[.\d]* µs, 2\.\d\dx \(2\.\d\d to 2\.\d\d\)", numbers)


def test_an_improvement_is_status_0(compare):
    result = compare(after={"aliases": {"app": "sanic"}})
    assert result.exit_code == 0 and "better" in result.output


def test_the_margin_decides(compare):
    """70 against 160 µs is 129 % more, and requests per second fall by a factor of 2.3."""
    slower = {"aliases": {"app": "hypercorn"}}
    assert compare("--margin", "2", after=slower).exit_code == 0


def test_intervals_need_room(compare):
    assert " to " in compare(columns=200).output.split("comparisons")[0].partition("app")[2]


def test_a_narrow_terminal_leaves_intervals_out(compare):
    assert " to " not in compare(columns=100).output.split("comparisons")[0].partition("app")[2]


def test_unlike_hosts_are_status_2_and_one_line(compare):
    result = compare(after={"host": {"cpu": "Faster CPU"}})
    assert result.exit_code == 2
    assert result.output.count("\n") == 1 and "--across" in result.output


def test_across_says_so_at_the_top(compare):
    result = compare("--across", after={"host": {"cpu": "Faster CPU"}})
    assert result.exit_code == 0
    assert result.output.startswith(
        "warning compared across unlike conditions: CPU Imagined CPU and Faster CPU"
    )


def test_cells_of_one_run_only_are_listed(compare):
    result = compare(after={"scenarios": {"index": (64, 8)}})
    assert result.exit_code == 0
    assert "only B has these:\n  app  index: 8 users, 1 worker\n" in result.output


def test_a_run_that_cannot_be_read_is_status_2(compare, tmp_path):
    result = compare(before={"failed": frozenset({("app", "index")})})
    assert result.exit_code == 2 and "failed; the first" in result.output
    assert CliRunner().invoke(app, ["compare", "nothing", "after", "--results", str(tmp_path)]).exit_code == 2


def test_json_holds_everything(compare, tmp_path):
    path = tmp_path / "comparison.json"
    assert compare("--json", str(path), after={"aliases": {"app": "hypercorn"}}).exit_code == 1
    document = json.loads(path.read_text())
    assert document["regressions"] == 3
    assert {each["metric"] for each in document["differences"] if each["regression"]} == {
        "throughput",
        "p99_us",
        "cpu_us",
    }


def test_of_two_runs_of_settings_it_says_whose_fate_is_another(tmp_path):
    few = ("uvicorn-c-parser", "uvicorn-keep-alive-5")
    spec = replace(
        SETTINGS, configurations=("uvicorn",), aliases={}, open={}, repeats=3,
        variants={name: VARIED[name] for name in few},
    )  # fmt: skip
    make_settings(tmp_path / "before", spec)
    # Of one repeat nothing is shown.
    make_settings(tmp_path / "after", replace(spec, repeats=1))
    document = tmp_path / "compared.json"
    arguments = ["compare", "before", "after", "--results", str(tmp_path), "--json", str(document)]
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "Of 2 settings that both runs tried the fate of 0 is the same, of 2 another" in done.output
    rows = [line.split() for line in done.output.splitlines() if line.startswith(few)]
    assert ["uvicorn-c-parser", "worth", "it", "not", "shown"] in [row[:5] for row in rows]
    told = json.loads(document.read_text())["settings"]
    assert [each["variant"] for each in told["changed"]] == [*few] and told["settings"] == 2
