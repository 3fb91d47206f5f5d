"""`bench verdict` on synthetic runs: what is printed and kept, and the exit status."""

import json

import pytest
from typer.testing import CliRunner

from bench.cli.main import app
from tests.fixtures.make_recycling import Lost, Story, generation, make_recycling
from tests.fixtures.make_run import Spec, make_run

COMMAND = (
    "  SANIC_KEEP_ALIVE_TIMEOUT=75 sanic app:app --host 127.0.0.1 --port 8000 --workers 1 --no-motd "
    "--no-access-logs"
)
NAMES = ("sanic", "sanic-single", "uvicorn", "hypercorn")


def stories():
    """sanic loses nothing, uvicorn what may be sent again, hypercorn what its handlers had begun."""
    lost = {
        "sanic": [],
        "uvicorn": [Lost(2 + step) for step in range(6)],
        "hypercorn": [Lost(2.0 + step, far="started", pid=1002 + step) for step in range(6)],
    }
    for name, missed in lost.items():
        for scenario in ("index", "index-close"):
            for repeat in (1, 2):
                close = scenario.endswith("close")
                yield Story(
                    name, generation(11, 1.0), scenario=scenario, keep_alive=not close, repeat=repeat,
                    lost=missed,
                )  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of each kind. Do not change it: write verdicts elsewhere."""
    root = tmp_path_factory.mktemp("results")
    make_run(root / "quick", Spec(configurations=NAMES, scenarios={"index": (64,)}))
    make_recycling(root / "recycle", stories())
    return root


@pytest.fixture
def verdict(results, tmp_path, monkeypatch):
    """Runs the command; returns its result and the document that it wrote, None if it wrote none."""
    monkeypatch.setattr("bench.machine.host.facts", lambda: {"machine_id": "0"})
    path = tmp_path / "verdict.json"

    def run(*options, columns=200):
        path.unlink(missing_ok=True)
        arguments = ["verdict", "--results", str(results), "--json", str(path), *options]
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": str(columns)})
        return result, json.loads(path.read_text()) if path.exists() else None

    return run


def test_a_recommendation_is_status_0_with_a_command_to_copy(verdict):
    result, document = verdict()
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[:2] == [
        "performance: quick (synthetic, Imagined CPU)", "recycling: recycle (synthetic, Imagined CPU)",
    ]  # fmt: skip
    assert COMMAND in lines
    assert "  recycle_after(app, max_requests=10_000, jitter=1_000)" in lines
    assert any(line.startswith("Use sanic: it meets the requirements; uvicorn") for line in lines)
    assert "hypercorn" in result.output and "whose handler" not in lines[0]
    assert "\x1b" not in result.output  # no colour where no terminal is
    assert document["decision"] == "recommended" and document["recommended"] == ["sanic"]
    whys = {each["configuration"]: each["why"] for each in document["candidates"]}
    assert whys["sanic-single"] == "restart: has no way to replace workers"
    assert whys["hypercorn"].startswith("lost although the handler ran: 600 per 1000 recycles (")


def test_requirements_are_options(verdict):
    result, document = verdict("--retryable-per-1000", "0", "--no-process-manager", "--workers", "1")
    assert result.exit_code == 0
    assert document["requirements"]["retryable_per_1000"] == 0
    assert document["requirements"]["process_manager"] is False
    assert "Use sanic: it alone is shown to meet the requirements." in result.output
    judged = {each["requirement"]: each for each in document["candidates"][1]["judgements"]}
    assert judged["survive_kill"]["outcome"] is None


def test_a_tie_is_status_1_and_has_the_commands_of_all(verdict):
    result, document = verdict("--restart", "none", "--weights", "index=1")
    assert result.exit_code == 1
    assert document["decision"] == "tie"
    assert {each["configuration"] for each in document["commands"]} == {"sanic", "sanic-single"}
    assert "Nothing is clearly best: " in result.output and "Measure next:" in result.output


def test_what_comes_first_is_an_option_and_its_figure_is_told(verdict):
    result, document = verdict("--first", "memory")
    assert result.exit_code == 0 and document["recommended"] == ["uvicorn"]
    assert document["requirements"]["first"] == "memory"
    assert "the memory of uvicorn over index" in result.output
    assert any(line.split()[3:4] == ["memory"] for line in result.output.splitlines())


def test_nothing_shown_is_status_1_and_says_what_to_measure(verdict):
    result, document = verdict("--survive-kill")
    assert result.exit_code == 1 and document["decision"] == "none" and document["commands"] == []
    assert "No configuration is shown to meet the requirements" in result.output
    assert "  make recycle CONFIGURATIONS=sanic,uvicorn" in result.output.splitlines()


def test_one_run_is_enough_where_it_is_all_that_is_named(verdict):
    result, document = verdict("recycle")
    assert [run["run"] for run in document["runs"]] == ["recycle"]
    assert result.exit_code == 1 and "nothing ranks them" in result.output


def test_requirements_of_a_plan(verdict, tmp_path):
    head = (
        'summary = "mine"\nconfigurations = "all"\nworkers = [1]\nrepeats = 1\nwarmup_s = 1\nmeasured_s = 1\n'
        "[scenarios.index]\nusers = [1]\n"
    )
    mine = tmp_path / "mine.toml"
    mine.write_text(f'{head}[requirements]\nrestart = "none"\nstall_s = 2\n')
    _, document = verdict("--plan", str(mine))
    assert (document["requirements"]["restart"], document["requirements"]["stall_s"]) == ("none", 2)
    _, document = verdict("--plan", str(mine), "--restart", "requests")
    assert document["requirements"]["restart"] == "requests"
    mine.write_text(head)
    result, document = verdict("--plan", str(mine))
    assert result.exit_code == 2 and document is None and "has no [requirements]" in result.output


@pytest.mark.parametrize(
    "options, message",
    [
        (["nothing"], 'unknown run "nothing"'),
        (["--restart", "never"], "--restart: input should be 'requests', 'memory', 'any' or 'none'"),
        (["--weights", "slep=3"], 'unknown scenario "slep"; did you mean "sleep"?'),
        (["--weights", "sleep"], "--weights takes numbers by scenario"),
        (["--first", "speed"], "--first: input should be 'throughput', 'memory' or 'tail'"),
        (["--stall-s", "0"], "--stall-s: input should be greater than 0"),
        (["quick", "quick"], "are both runs of performance: give one of each kind"),
        (["--behind", "ngnix"], 'unknown proxy "ngnix"; did you mean "nginx"?'),
        (["--behind", "nginx"], "replaced workers behind nginx: `make recycle PROXY=nginx` does"),
        (["recycle", "--behind", "nginx"], "none of recycle replaced workers behind nginx"),
    ],
)
def test_wrong_use_is_status_2_and_one_line(verdict, options, message):
    result, document = verdict(*options)
    assert (result.exit_code, document) == (2, None)
    assert message in result.output and result.output.count("\n") == 1


def test_without_runs_it_says_how_to_get_them(tmp_path):
    result = CliRunner().invoke(app, ["verdict", "--results", str(tmp_path)])
    assert result.exit_code == 2 and "make bench" in result.output and "make recycle" in result.output


def test_the_verdict_lies_beside_the_runs_unless_told_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.machine.host.facts", lambda: {"machine_id": "0"})
    make_run(tmp_path / "quick", Spec(configurations=("sanic",), scenarios={"index": (64,)}))
    result = CliRunner().invoke(app, ["verdict", "--results", str(tmp_path), "--restart", "none"])
    assert result.exit_code == 0
    assert json.loads((tmp_path / "verdict.json").read_text())["recommended"] == ["sanic"]


def test_a_narrow_terminal_folds_the_reasons_and_leaves_the_command_whole(verdict):
    result, _ = verdict(columns=80)
    lines = result.output.splitlines()
    assert COMMAND in lines
    assert all(len(line) <= 80 for line in lines if line != COMMAND and "verdict:" not in line)


def test_losses_behind_a_proxy_and_its_settings_to_copy(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.machine.host.facts", lambda: {"machine_id": "0"})
    lossy = [Lost(0.5 + step, far="started", pid=1001 + step) for step in range(6)]
    ways = [
        Story("sanic", generation(11, 1.0), proxy=way, lost=[] if way else lossy) for way in (None, "nginx")
    ]
    make_recycling(tmp_path / "behind", ways)
    arguments = ["verdict", "--results", str(tmp_path), "--connections", "keep-alive", "--behind", "nginx"]
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert "Use sanic" in result.output, "what direct clients lost does not count"
    assert "recycling, behind nginx: behind (" in result.output
    assert (
        "nginx 1.2.3 as it was measured, with addresses to replace:\n\n  upstream app {\n  }" in result.output
    )
    assert json.loads((tmp_path / "verdict.json").read_text())["behind"]["proxy"] == "nginx"
    plain = CliRunner().invoke(app, arguments[:3])
    assert plain.exit_code == 2 and "no finished run of this machine" in plain.output
