"""The command that a document names for a run, against plans written for it."""

import json

import pytest

from analysis.reproduction import command
from bench.experiment.inputs import narrowed as narrowed_plan
from bench.model.plans.plan import PLANS, load
from bench.model.records.run import Run
from targets.catalogue.configurations import load as load_catalogue

TABLE = """
[configuration.{name}]
summary = "it serves"
stack = "only"
argv = ["serve", "{{app}}", "--host", "{{host}}", "--port", "{{port}}", "--workers", "{{workers}}"]
recycle = "none"
environment = {{}}
loop = "uvloop"
parser = "sanic"
keep_alive_s = 5
backlog = 100
"""
CATALOGUE = (
    '[stack.only]\npython = ["3.13"]\nrequirements = "only.txt"\n'
    + "".join(TABLE.format(name=name) for name in ("one", "two", "two-preload"))
    + 'variant_of = "two"\n'
)
BUSY = """
summary = "busy"
warmup_s = 1
configurations = "all"
catalogue = "catalogue.toml"
workers = [1, 2]
repeats = 3
measured_s = 60
[[probes]]
kind = "kill"
scenario = "long"
rate_per_s = 100
after_s = 1
measured_s = 5
[[scenarios.index.open]]
rates_per_s = [500]
[[scenarios.sleep.open]]
rates_per_s = [3000]
users = 16
[recycling]
max_requests = 500
replacements = 20
requests = 100
"""


@pytest.fixture
def narrowed(tmp_path, recorded_run):
    """Gives the command of a run of the plan above with some of its keys changed."""
    (tmp_path / "only.txt").touch()
    (tmp_path / "catalogue.toml").write_text(CATALOGUE)
    (tmp_path / "busy.toml").write_text(BUSY)
    run = Run.model_validate(recorded_run)

    def of(*, name="busy", **changes):
        recorded = json.loads(json.dumps(load(str(tmp_path / "busy.toml")).model_dump()))
        plan = {"name": name, **recorded, "configurations": ["one", "two"]}
        return command(run.model_copy(update={"plan": plan | changes}), tmp_path)

    return of


@pytest.fixture
def recorded_run(run):
    return json.loads((run() / "run.json").read_text())


def test_a_plan_as_it_is_needs_nothing_else(narrowed):
    assert narrowed() == "make recycle PLAN=busy"
    assert narrowed(recycling=None) == "make bench PLAN=busy"


def test_whatever_narrows_a_plan_is_named(narrowed):
    scenarios = {"sleep": {"open": [{"rates_per_s": [3000], "users": 16, "arrivals": "constant"}]}}
    assert narrowed(
        configurations=["two"],
        scenarios=scenarios,
        probes=[],
        workers=[2],
        repeats=1,
        measured_s=5,
        recycling={"max_requests": 100, "replacements": 8},
    ) == (
        "make recycle PLAN=busy CONFIGURATIONS=two SCENARIOS=sleep WORKERS=2 REPEATS=1 DURATION=5 "
        "MAX_REQUESTS=100 REPLACEMENTS=8"
    )


def test_a_variant_and_other_loads_are_named(narrowed):
    assert narrowed(configurations=["one", "two", "two-preload"]).endswith(
        " CONFIGURATIONS=one,two,two-preload"
    )
    assert narrowed(probes=[]).endswith(" SCENARIOS=index,sleep")
    closed = {name: {"users": [8, 16], "open": [], "search": None} for name in ("index", "sleep")}
    assert narrowed(scenarios=closed).endswith(" USERS=8,16")
    opened = {"rates_per_s": [1000.0, 2500.5], "arrivals": "poisson", "users": 32}
    both = {name: {"users": None, "open": [opened]} for name in ("index", "sleep")}
    assert narrowed(scenarios=both).endswith(" RATES=1000,2500.5 ARRIVALS=poisson USERS=32")


def test_what_a_plan_said_otherwise_in_one_scenario_is_no_load_of_all(narrowed):
    """The plan has changed since: no variable of `make` says that of one scenario."""
    loads = {"index": {"open": [opened(500, 256)]}, "sleep": {"open": [opened(9, 16)]}}
    assert narrowed(scenarios=loads) == "make recycle PLAN=busy"
    assert narrowed(scenarios={"sleep": loads["sleep"]}, probes=[]).endswith(
        " SCENARIOS=sleep RATES=9 ARRIVALS=constant USERS=16"
    )


def test_users_of_one_scenario_of_a_plan_with_both_are_none_of_all(recorded_run):
    run = Run.model_validate(recorded_run)
    plan = json.loads(narrowed_plan("quick", {}).plan.model_dump_json())

    def of(**users):
        scenarios = {
            name: loads | ({"users": users[name]} if name in users else {})
            for name, loads in plan["scenarios"].items()
        }
        return command(run.model_copy(update={"plan": {"name": "quick", **plan, "scenarios": scenarios}}))

    closed = [name for name, loads in plan["scenarios"].items() if loads["users"]]
    assert len(closed) > 1 and of() == "make bench PLAN=quick"
    assert of(**{closed[0]: [3]}) == "make bench PLAN=quick"
    assert of(**{name: [3] for name in closed}) == "make bench PLAN=quick USERS=3"


def test_of_a_plan_that_has_no_file_everything_is_named(narrowed):
    assert narrowed(name="mine") == (
        "make recycle PLAN=mine CONFIGURATIONS=one,two SCENARIOS=index,sleep,long WORKERS=1,2 REPEATS=3 "
        "DURATION=60 MAX_REQUESTS=500 REPLACEMENTS=20"
    )


def test_the_suites_own_plans_are_found():
    assert (PLANS / "recycle.toml").is_file()


def opened(rate, users):
    return {"rates_per_s": [rate], "users": users, "arrivals": "constant"}


@pytest.mark.parametrize(
    ("loads", "narrowing"),
    [
        ({"users": None, "open": [opened(500, 256), opened(3000, 16)]}, ""),
        ({"users": [4], "open": []}, " USERS=4"),
    ],
)
def test_an_app_and_a_locustfile_of_ones_own_are_named(narrowed, loads, narrowing):
    own = {
        "app": "notes.app:create_app",
        "folder": "/srv/my notes",
        "requirements": None,
        "environment": ["TOKEN", "URL"],
    }
    users = {"locustfile": {**loads, "search": None}}
    packages = narrowed(
        locustfiles="/srv/locustfile.py",
        locustfile_requirements="/srv/load.txt",
        scenarios=users,
        probes=[],
    )
    assert " SCENARIO=/srv/locustfile.py SCENARIO_REQUIREMENTS=/srv/load.txt" in packages
    told = narrowed(own_app=own, locustfiles="/srv/locustfile.py", scenarios=users, probes=[])
    assert told == (
        "make recycle PLAN=busy APP=notes.app:create_app APP_DIR='/srv/my notes' SCENARIO=/srv/locustfile.py "
        f"ENVIRONMENT='TOKEN URL'{narrowing}"
    )


def test_of_settings_the_servers_are_named_and_not_what_they_are_beside(recorded_run):
    run = Run.model_validate(recorded_run)

    def of(**changes):
        plan = narrowed_plan("settings", changes).plan
        alias = {"aliases": {"again": "uvicorn"}, "configurations": [*plan.configurations, "again"]}
        recorded = json.loads(plan.model_copy(update=alias).model_dump_json())
        return command(run.model_copy(update={"plan": {"name": "settings", **recorded}}))

    (first, *others) = load_catalogue().variants("uvicorn")
    assert others and of() == "make settings PLAN=settings"
    assert of(configurations=["uvicorn", "sanic"]).endswith(" CONFIGURATIONS=uvicorn,sanic")
    assert of(configurations=[first]).endswith(f" CONFIGURATIONS={first}")
    assert of(rates_per_s=[100.0, 200.0]).endswith(" RATES=100,200 ARRIVALS=constant")
    assert of(users=[8]).endswith(" USERS=8")
