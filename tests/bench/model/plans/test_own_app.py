"""An app of one's own: what cannot be is told before anything runs, and the example of docs/own-app.md."""

import json
import shutil
from pathlib import Path

import psutil
import pytest

from bench.experiment import run as experiment
from bench.experiment.generator import locustfiles
from bench.launch.local import Processes
from bench.model import scenarios
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from bench.model.plans import narrowing, plan
from tests import notebooks, plans
from tests.bench.commands import told
from tests.patience import LONG_S

EXAMPLE = ROOT / "docs" / "examples" / "notes"
PLAN = plans.tiny("sanic", "gunicorn-uvicorn")
SHOP = "from sanic import Sanic, text\napp = Sanic('shop')\napp.add_route(lambda _: text('open'), '/')\n"
USERS = """from locust import HttpUser, between, task
class Shopper(HttpUser):
    {}
    tasks = [lambda user: None]
"""


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    (folder / "users.py").write_text(USERS.format("wait_time = between(1, 2)"))
    (folder / "nobody.py").write_text("from locust import HttpUser\n")
    (folder / "needy.py").write_text("import not_installed\n")
    return folder


def contents(folder):
    return {
        path: path.is_file() and (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")
    }


@pytest.fixture(autouse=True)
def _without_ceilings(monkeypatch):
    monkeypatch.setattr(experiment, "kept_or_measured", lambda *_: [])


def bench(tmp_path, *arguments):
    (tmp_path / "tiny.toml").write_text(PLAN)
    where = ("--results", tmp_path / "results", "--launcher", "processes")
    return told("run", "--plan", *map(str, (tmp_path / "tiny.toml", *arguments, *where)))


def test_the_example_is_measured_and_recorded_without_a_trace_in_its_folder_or_of_its_token(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("NOTES_TOKEN", "hush-hush")
    folder = tmp_path / "my service"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    before = contents(folder)
    with notebooks.here():
        done = bench(
            tmp_path, "--app", "notes.app:create_app", "--app-dir", folder,
            "--requirements", folder / "requirements.txt", "--locustfile", folder / "locustfile.py",
            "--environment", "NOTES_TOKEN",
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert 'app: notes.app:create_app(), "notes" with 2 routes, in "current"' in done.stdout
    assert "note: locustfile.py has users of Locust's own" in done.stdout
    assert contents(folder) == before
    (run,) = (tmp_path / "results").iterdir()
    recorded = json.loads((run / "run.json").read_text())
    assert recorded["plan"]["own_app"] == {
        "app": "notes.app:create_app",
        "folder": str(folder),
        "requirements": str(folder / "requirements.txt"),
        "environment": ["NOTES_TOKEN"],
    }
    assert recorded["stacks"]["current"]["packages"]["mistune"] == "3.4.0"
    assert len(recorded["own_app"]["requirements_sha256"]) == 64
    assert recorded["own_app"]["replaced"] == {"current": {}}
    cells = [json.loads(path.read_text()) for path in run.glob("*/locustfile/*/*/cell.json")]
    assert len(cells) == 2 and {cell["configuration"] for cell in cells} == {"sanic", "gunicorn-uvicorn"}
    for cell in cells:
        assert cell["measured"]["requests"] > 0 and cell["measured"]["failures"] == 0
        assert cell["generator"]["engine"] == "locust"
        assert cell["server"]["whoami"]["app"] == "notes.app:create_app()"
    files = [path for path in run.rglob("*") if path.is_file()]
    assert not [path for path in files if b"hush-hush" in path.read_bytes()]
    report = (run / "report" / "report.html").read_text()
    assert "locust-users" in report or "Locust's own users" in report.replace("&#39;", "'")
    assert "notes.app:create_app" in report and "targets.own" not in report


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--requirements", "x.txt"], "--requirements (REQUIREMENTS=) belongs to an app of your own"),
        (["--environment", "TOKEN"], "--environment (ENVIRONMENT=) belongs to an app of your own"),
        (["--app", "shop:app"], "give SCENARIO= too"),
        (["--app", "shop", "--locustfile", "users.py"], '"shop" names no app: write MODULE:NAME'),
        (["--app", "a:b", "--app-dir", "no", "--locustfile", "users.py"], "there is no folder /"),
        (["--app", "a:b", "--requirements", "no", "--locustfile", "users.py"], "there is no file /"),
        (["--locustfile", "no.py"], "there is no file or folder /"),
        (
            ["--app", "a:b", "--locustfile", "users.py", "--environment", "A=1"],
            '"A=1" is no name of a variable',
        ),
        (
            ["--app", "a:b", "--locustfile", "users.py", "--environment", "GUNICORN_CMD_ARGS"],
            "is a setting of",
        ),
        (
            ["--app", "a:b", "--locustfile", "users.py", "--environment", "NOT_SET"],
            "names NOT_SET, which is not",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_line_and_status_2(shop, monkeypatch, arguments, message):
    monkeypatch.chdir(shop)
    (shop / "tiny.toml").write_text(PLAN)
    done = told("run", "--plan", "tiny.toml", "--results", "results", *arguments)
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert not (shop / "results").exists()


def test_an_app_that_is_not_there_is_told_before_there_is_a_run(tmp_path, shop):
    done = bench(tmp_path, "--app", "shap:app", "--app-dir", shop, "--locustfile", shop / "users.py")
    assert done.exit_code == 1
    assert f"there is no module shap in {shop}" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


# -- Locustfiles


def test_users_run_where_their_files_are_unless_they_have_an_app(shop):
    def home(**changes):
        tiny = plan.load(str(shop / "tiny.toml"))
        return locustfiles.folder_of_users(tiny.model_copy(update=changes))

    (shop / "tiny.toml").write_text(PLAN)
    assert home() is None
    assert home(locustfiles=str(shop / "users.py")) == home(locustfiles=str(shop)) == shop


def test_two_files_of_one_name_are_refused(shop):
    (shop / "many_users.py").write_text(USERS.format("pass"))
    (shop / "many-users.py").write_text(USERS.format("pass"))
    with pytest.raises(UserError, match=r"many_users.py and .*many-users.py are both called many-users"):
        scenarios.load(shop)


def described(shop, name, **changes):
    """What is said of a locustfile."""
    said = []
    chosen = plan.validate(
        {
            "summary": "s", "configurations": ["sanic"], "scenarios": {"users": {"users": [1]}},
            "workers": [1], "repeats": 1, "warmup_s": 1.0, "measured_s": 1,
            "locustfiles": str(shop / name), **changes,
        },
        "a test",
    )  # fmt: skip
    locustfiles.examine(chosen, {"users": shop / name}, Processes(), said.append)
    return said


def test_users_that_wait_and_users_of_locusts_own_are_told(shop):
    before = contents(shop)
    own, waiting = described(shop, "users.py")
    assert "users of Locust's own" in own and "wait between their tasks" in waiting
    (shop / "users.py").write_text(USERS.format("pass").replace("between", "LoadTestShape"))
    (shop / "users.py").open("a").write("class Wave(LoadTestShape):\n    def tick(self): return None\n")
    own, shape = described(shop, "users.py")
    assert "a LoadTestShape, which is not used" in shape
    assert contents(shop).keys() == before.keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody.py", "it defines no user class"),
        ("needy.py", "ModuleNotFoundError: No module named 'not_installed'.*SCENARIO_REQUIREMENTS=FILE"),
    ],
)
def test_a_locustfile_that_cannot_be_used_is_told(shop, name, message):
    with pytest.raises(UserError, match=f"(?s)SCENARIO={shop / name} cannot be used: .*{message}"):
        described(shop, name)


@pytest.mark.parametrize(
    ("line", "limit_s", "message"),
    [
        ("import time; time.sleep(600)", 0.5, "its import takes longer than 0.5 s. .* --import-timeout"),
        ("import os, signal; os.killpg(0, signal.SIGKILL)", LONG_S, "was killed .SIGKILL. without an error"),
        ("import os; os._exit(0)", LONG_S, "ended the process .exit status 0, os._exit.. without an error"),
    ],
)
def test_a_locustfile_that_ends_or_holds_up_its_import_is_told(shop, monkeypatch, line, limit_s, message):
    """It meets nobody else, and what it started is gone."""
    monkeypatch.setattr(locustfiles, "START_S", 5.0)
    daemon = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    (shop / "users.py").write_text(f"{daemon}\n{line}\n{USERS.format('pass')}")
    with pytest.raises(UserError, match=f"(?s)SCENARIO={shop / 'users.py'} cannot be used: .*{message}"):
        described(shop, "users.py", import_timeout_s=limit_s)
    assert psutil.Process().children(recursive=True) == []


def test_users_of_locusts_own_keep_to_no_schedule(shop):
    open_loop = {"users": {"open": [{"rates_per_s": [9.0]}]}}
    with pytest.raises(UserError, match=r"users of Locust's own \(Shopper\), and arrivals by a schedule"):
        described(shop, "users.py", scenarios=open_loop)


def test_a_locustfile_takes_the_place_of_a_plans_scenarios_under_all_its_loads(shop):
    from bench.experiment.inputs import narrowed

    changes = {"locustfiles": str(shop / "users.py")}
    inputs = narrowed("quick", changes)
    chosen = inputs.plan
    assert inputs.name == "quick" and chosen.loaded == ["users"]
    assert chosen.scenarios["users"].users == [64, 256] and not chosen.scenarios["users"].open
    with pytest.raises(UsageError, match="no file or folder"):
        narrowing.narrow(chosen, {"locustfiles": "nowhere.py"})


def test_each_configuration_serves_the_baseline_as_well(shop, tmp_path):
    from bench.experiment.inputs import Inputs

    (tmp_path / "before").mkdir()
    (tmp_path / "wanted.txt").write_text("sanic\n")
    (tmp_path / "tiny.toml").write_text(PLAN + '[aliases]\nagain = "sanic"\n')
    own = {"app": "shop:app", "folder": str(shop), "environment": []}
    baseline = {"folder": str(tmp_path / "before"), "requirements": str(tmp_path / "wanted.txt")}
    changes = {"own_app": own | {"baseline": baseline}, "locustfiles": str(shop / "users.py")}
    narrowed = narrowing.narrow(plan.load(str(tmp_path / "tiny.toml")), changes | {"scenarios": ["users"]})
    inputs = Inputs.of("tiny", narrowed, "tiny")
    names = ["sanic", "gunicorn-uvicorn", "sanic-before", "gunicorn-uvicorn-before"]
    assert inputs.plan.configurations == names and inputs.plan.original("sanic-before") == "sanic"
    stacks = {name: entry.stack for name, entry in inputs.configurations.items() if name in names}
    assert stacks["sanic"] == "current" and stacks["sanic-before"] == "current-before"
    before = inputs.plan.own_app.before
    assert (str(before.path), before.requirements) == (baseline["folder"], baseline["requirements"])
    assert before.path in inputs.files([]) and before.baseline is None
    # Where Docker answers, too.
    assert experiment._launcher_of(inputs.plan) == "processes"
    assert experiment._launcher_of(narrowing.narrow(narrowed, {"own_app": own})) is None
    # A run that goes on reads its own plan.
    again = plan.validate(json.loads(json.dumps(inputs.plan.model_dump())), "run.json")
    assert Inputs.of("tiny", again, "run.json").plan == inputs.plan


def test_a_baseline_belongs_to_an_app_and_must_be_there(shop, tmp_path):
    from bench.cli.options import changes

    with pytest.raises(UsageError, match=r"--baseline \(BASELINE=\) belongs to an app of your own"):
        changes(None, Path(), None, None, None, baseline=tmp_path)
    given = changes("shop:app", shop, None, shop / "users.py", None, baseline=tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere \(BASELINE=\)"):
        narrowing.narrow(plan.load("smoke"), given | {"scenarios": ["users"]})
