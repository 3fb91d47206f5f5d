"""`bench settings`: what it measures, what it says, and what it refuses."""

import json
from types import SimpleNamespace

import pytest

from bench.cli import settings as command
from bench.experiment import results
from bench.experiment import run as experiment
from bench.experiment.run import Result
from bench.experiment.runner import Outcome
from bench.machine import loopback
from bench.model.files import ROOT
from bench.model.records import schema
from bench.model.records.cell import Cell
from bench.model.records.run import Run
from tests import notebooks, plans
from tests.bench.commands import told
from tests.fixtures.make_run import EPOCH, Spec, run_record

VARIANTS = """
[variant.without-line]
of = "uvicorn"
varies = "access log"
drop = ["--no-access-log"]
expects = ["throughput"]

[variant.few-waiting]
of = "uvicorn"
varies = "backlog"
replace = { "--backlog" = "100" }
backlog = 100
expects = ["tail", "bursts"]

[variant.three-workers]
of = "uvicorn"
varies = "workers"
workers = "2*cpus+1"
expects = ["throughput"]

[variant.never-starts]
of = "uvicorn"
varies = "flag"
add = ["--no-such-flag"]
"""
TINY = plans.tiny(
    "without-line",
    "few-waiting",
    "three-workers",
    settings=True,
    catalogue="variants.toml",
    loads=f"""
[rotation]
sittings = 2
load_s = 0.5
settle_s = 0.2
slice_s = 0.05

[connections]
starts = 1
bursts = [20]
bursts_each = 1
{plans.INDEX}
[[scenarios.index.open]]
rates_per_s = [50]
users = 4
""",
)


@pytest.fixture(autouse=True, scope="module")
def _without_ceilings():
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(experiment, "kept_or_measured", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The folder of the plan and of its variants."""
    folder = tmp_path_factory.mktemp("settings")
    (folder / "variants.toml").write_text(VARIANTS)
    (folder / "tiny.toml").write_text(TINY)
    return folder


def tiny(files, results):
    """Options of the plan, with its results in a folder."""
    return ["--plan", str(files / "tiny.toml"), "--results", str(results), "--launcher", "processes"]


def find_worth(changed, *names):
    """Have these variants found worth it, whatever was measured; returns what is asked for first, so far."""
    from analysis.settings import Settings

    asked = []

    def worth(_self, _parent, first=None):
        asked.append(first)
        return list(names)

    changed.setattr(Settings, "worth", worth)
    return asked


@pytest.fixture(scope="module")
def both(files):
    """A run, and the second one of what is found worth it: their folders, and what was said."""
    with pytest.MonkeyPatch.context() as changed, notebooks.here():
        find_worth(changed, "few-waiting", "without-line")
        done = told("settings", *tiny(files, files / "results"))
    assert done.exit_code == 0, [*failures(files / "results"), done.output[:2000]]
    (folder,) = (files / "results").iterdir()
    (other,) = results.runs(folder / "combined")
    return folder, other, done.output


def failures(results):
    """Why cells of the runs there failed."""
    read = [json.loads(path.read_text()) for path in results.rglob("cell.json")]
    return [f"{each['configuration']}: {each['reason']}" for each in read if each["status"] == "failed"]


def again(folder, *more):
    """Give the command again, for a run that is over."""
    words = ["--results", str(folder.parent), "--resume", folder.name, "--no-report", *more]
    return told("settings", *words)


def cells(folder):
    return {str(path.parent.relative_to(folder)) for path in folder.glob("*/*/*/*/cell.json")}


def test_each_variant_is_measured_beside_the_parent(both):
    folder, _, _ = both
    rotated = ("uvicorn", "without-line", "few-waiting", "three-workers", "uvicorn-again")
    assert cells(folder) == {
        *(f"{name}/index/c4-w1/r{sitting}" for name in rotated for sitting in (1, 2)),
        *(f"{name}/index/o50-constant-w1/r1" for name in ("uvicorn", "few-waiting")),
    }
    lines = [line.split(",") for line in (folder / "connections.csv").read_text().splitlines()[1:]]
    assert sorted(line[:6] for line in lines) == [
        [name, "burst", "1", "1", "1", "20"] for name in ("few-waiting", "uvicorn")
    ]
    # Whatever became of each: on a busy machine some are answered too late.
    assert [sum(map(int, line[6:12])) for line in lines] == [20, 20]
    run = schema.read(folder / "run.json", Run)
    assert set(run.network.sysctls) <= set(loopback.SYSCTLS)
    assert run.plan["configurations"][:4] == list(rotated[:4]) and run.plan["settings"]
    # Beside one worker, on as many CPUs as there are for servers.
    several = schema.read(folder / "three-workers/index/c4-w1/r1/cell.json", Cell)
    number = 2 * len(run.cpu_split.server) + 1
    assert (several.workers, several.server.workers) == (1, number)
    assert several.server.cpus == run.cpu_split.server[:number]
    said = [each.variant.change for each in run.configurations if each.name == "three-workers"]
    assert said[0].startswith(f"workers 2*cpus+1 = {number} on ")


def test_then_all_that_is_worth_it_is_measured_beside_the_parent(both):
    folder, other, output = both
    names = ("uvicorn", "uvicorn-combined")
    assert cells(other) == {
        *(
            f"{name}/index/c4-w1/r{sitting}"
            for name in (*names, "uvicorn-default", "uvicorn-again")
            for sitting in (1, 2)
        ),
        *(f"{name}/index/o50-constant-w1/r1" for name in names),
    }
    command = schema.read(other / "uvicorn-combined/index/c4-w1/r1/cell.json", Cell).server.command
    assert "--no-access-log" not in command and command[command.index("--backlog") + 1] == "100"
    assert "All that is worth it, together, beside the configuration as it is" in output
    assert "uvicorn (without --no-access-log, --backlog 100)" in output
    assert "The whole gain: uvicorn-combined has " in output and "of uvicorn-default, the plain" in output
    assert "\nfew-waiting,uvicorn," in (folder / "report" / "settings.csv").read_text()
    assert f'href="../combined/{other.name}/"' in (folder / "report" / "report.html").read_text()
    # The latest run of these results is the first one.
    assert results.find(folder.parent, None) == folder


def test_what_is_there_is_not_measured_again(both, monkeypatch):
    folder, other, _ = both
    find_worth(monkeypatch, "few-waiting", "without-line")
    done = again(folder)
    assert done.exit_code == 0 and "nothing is left to measure" in done.output, done.output
    assert results.runs(folder / "combined") == [other]


def test_where_nothing_is_worth_it_there_is_no_second_run(both, monkeypatch):
    folder, other, _ = both
    asked = find_worth(monkeypatch)
    done = again(folder, "--first", "memory")
    assert asked == ["memory"]
    assert done.exit_code == 0, done.output
    assert "uvicorn: no setting is shown to be worth it, so there is nothing to combine" in done.output
    assert "second run" not in done.output and results.runs(folder / "combined") == [other]


def test_a_server_that_refuses_its_flag_says_so_itself_and_the_others_go_on(files, tmp_path):
    few = ["--configurations", "never-starts,without-line", "--sittings", "1", "--no-report"]
    done = told("settings", *tiny(files, tmp_path), *few, "--no-combination")
    assert done.exit_code == 1
    assert "No such option" in done.output and "1 cell failed" in done.output
    (folder,) = tmp_path.iterdir()
    found = {path.parts[-5]: schema.read(path, Cell).status for path in folder.glob("*/*/*/*/cell.json")}
    assert found.pop("never-starts") == "failed" and set(found.values()) == {"finished"}
    # None of these is expected to move a tail.
    assert all("o50-constant" not in path for path in cells(folder))
    assert not (folder / "combined").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--first", "speed"], "--first: input should be 'throughput', 'memory' or 'tail'"),
        (["--plan", "quick"], "the plan quick compares no variants: it needs `settings = true`"),
        (["--configurations", "unicorn"], 'unknown configuration "unicorn"; did you mean "uvicorn"?'),
        (["--resume", "x", "--plan", "settings"], "leave out --plan"),
        (["--resume", "nothing"], 'unknown run "nothing"'),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(tmp_path, arguments, message):
    done = told("settings", "--results", str(tmp_path / "results"), *arguments)
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_server_without_variants_has_no_settings(tmp_path):
    """Every one of the suite's own has a variant."""
    plan = tmp_path / "tiny.toml"
    plan.write_text(
        plans.tiny("one", settings=True, catalogue=str(ROOT / "tests/bench/light.toml"), loads=plans.INDEX)
    )
    done = told("settings", "--results", str(tmp_path / "results"), "--plan", str(plan))
    assert done.exit_code == 2 and done.stderr.count("\n") == 1
    assert "one has no variants, so there are no settings" in done.stderr
    assert not (tmp_path / "results").exists()


def test_it_says_whose_settings_it_tries_and_why(tmp_path, monkeypatch):
    asked = []

    def refused(request, _console):
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run", refused)
    done = told("settings", "--results", str(tmp_path))
    why = f"as the plan has them, for there is no verdict in {tmp_path}"
    assert f"servers: sanic, uvicorn, gunicorn-uvicorn, {why}" in done.output
    assert asked[0].plan == "settings" and "configurations" not in asked[0].changes
    own = ["--app", "a:b", "--app-dir", str(tmp_path), "--locustfile", "locustfiles/index.py"]
    assert (
        "note: no tail is measured without RATES="
        in told("settings", "--results", str(tmp_path), *own).output
    )


def test_a_second_run_that_was_interrupted_says_how_to_go_on(tmp_path, monkeypatch):
    first = tmp_path / "20261130-000000-settings"
    first.mkdir()
    facts = run_record(first.name, Spec(), EPOCH + 9.0, 8)
    (first / "run.json").write_text(json.dumps(facts))
    known = SimpleNamespace(parents=["uvicorn"])
    together = [SimpleNamespace(parent="uvicorn", words="uvicorn (--backlog 100)")]
    monkeypatch.setattr(command, "_settings", lambda _: known)
    monkeypatch.setattr(command, "_worth_it", lambda *_: together)
    monkeypatch.setattr(command.inputs, "recorded", lambda *_: None)
    monkeypatch.setattr(command.second, "prepare", lambda *_: first / "combined" / "plan.toml")
    monkeypatch.setattr(command.second, "finished", lambda *_: None)
    runs = iter([Result(first, Outcome(), interrupted=False), Result(first, Outcome(), interrupted=True)])
    monkeypatch.setattr(experiment, "run", lambda *_: next(runs))
    done = told("settings", "--results", str(tmp_path), "--configurations", "uvicorn")
    assert done.exit_code == 130, done.output
    assert "second run: uvicorn (--backlog 100), beside uvicorn as it is" in done.output
    assert f"go on:  make settings RUN={first.name}" in done.output
