"""Ceilings that are measured: by a run, and by the command."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.cli.main import app
from bench.experiment import ceiling, ceilings
from bench.experiment import run as experiment
from bench.experiment.ceiling import Ceiling, HeldUpError, Measured, NoCeilingError, Subject
from bench.experiment.ceilings import Cache
from bench.experiment.generator.session import Session, arguments
from bench.experiment.rig import Rig
from bench.experiment.run import Request
from bench.launch import nullserver
from bench.launch.local import Processes
from bench.launch.nullserver import NullServer, NullServerError
from bench.launch.server import ServerError
from bench.machine import cpus, host
from bench.model.files import ROOT
from tests import plans
from tests.patience import LONG_S, wait_until

INDEX = ROOT / "locustfiles" / "index.py"
NEVER_THE_SAME = """
from itertools import count
from locust import constant, task
from swarm import SwarmUser

NUMBERS = count()

class Fresh(SwarmUser):
    wait_time = constant(0)

    @task
    def fresh(self):
        yield self.get(f"/index?{next(NUMBERS)}", name="/index")
"""
NEVER_CONTENT = """
from locust import constant, task
from swarm import SwarmUser

class Hard(SwarmUser):
    wait_time = constant(0)

    @task
    def hard(self):
        response = yield self.get("/index")
        response.failure("never good enough")
"""
WAITING = """
from locust import FastHttpUser, constant, task

class Waiting(FastHttpUser):
    wait_time = constant(0.05)

    @task
    def index(self):
        self.client.get("/index")
"""


@pytest.fixture
def reference(catalogue):
    return catalogue.get("sanic-single")


@pytest.fixture
def make_rig(tmp_path, current):
    """Rigs with a real generator for some scenario files, entered."""
    entered = ExitStack()

    def make(*paths, launcher=None):
        split = cpus.split_here(1)
        launcher = (launcher or Processes()).open({"current": current}, tmp_path, print)
        words = arguments(list(map(str, paths)), len(split.generator))
        log = tmp_path / "generator.log"
        session = Session(words, split.generator, log, start=launcher.start_program)
        rig = Rig(launcher, split, tmp_path, session=session, suite=host.suite_versions())
        return entered.enter_context(rig)

    with entered:
        yield make


def children(*, recursive=True):
    """What this process has started; the guard of a program that has just been started is still alone."""
    return psutil.Process().children(recursive)


def unless_held_up(attempt):
    """What an attempt returns that came to something else than that this busy machine held it up."""
    for _ in range(5):
        found = attempt()
        if found is not None:
            return found
    pytest.fail("the generator was held up again and again")


def scenario_file(folder, text):
    path = folder / "scenario.py"
    path.write_text(text)
    return path


def test_the_ceiling_of_a_real_scenario_is_measured_once_and_then_known(tmp_path, make_rig, reference):
    rig, said = make_rig(INDEX), []
    cache = Cache(said.append, tmp_path / "ceilings.json")
    wanted, cold = [Subject("index", INDEX, 2), Subject("index", INDEX, 16)], tmp_path / "cold.json"
    before = children(recursive=False)

    def both():
        said.clear()
        found = ceilings.kept_or_measured(rig, reference, wanted, Cache(said.append, cold), said.append)
        return found if len(found) == 2 else None

    measured = unless_held_up(both)
    assert [(c.scenario, c.users, c.processes) for c in measured] == [
        ("index", 2, len(rig.split.generator)),
        ("index", 16, len(rig.split.generator)),
    ]
    for each in measured:
        assert each.requests_per_s > 100 and 0 < each.generator_busy < 1.1 and 0 < each.server_busy < 1.1
        assert each.at_least is (each.generator_busy < 0.9)
        used_us = each.generator_busy * len(rig.split.generator) / each.requests_per_s * 1e6
        assert each.cpu_us == pytest.approx(used_us, rel=0.01)
    assert "2 loads against a null server" in said[0] and len(said) == 3
    assert children(recursive=False) == before
    # Whether this busy machine's readings last or not: what was kept is not measured again.
    cache.add({ceilings.key(s, rig, None): c for s, c in zip(wanted, measured, strict=True)})
    said.clear()
    assert ceilings.kept_or_measured(rig, reference, wanted, cache, said.append) == measured
    assert not said


def measured_one(rig, reference, path):
    def once():
        outcomes = []
        ceiling.measure(
            rig, reference, [Subject("own", path, 2)], lambda subject, outcome: outcomes.append(outcome)
        )
        (outcome,) = outcomes
        return None if isinstance(outcome, HeldUpError) else outcome

    return unless_held_up(once)


def test_requests_that_are_always_new_have_no_ceiling(tmp_path, make_rig, reference):
    path = scenario_file(tmp_path, NEVER_THE_SAME)
    assert "asking for what it never asked before" in str(measured_one(make_rig(path), reference, path))


def test_a_scenario_whose_checks_fail_has_no_ceiling(tmp_path, make_rig, reference):
    path = scenario_file(tmp_path, NEVER_CONTENT)
    assert "requests failed against the null server: the scenario's checks" in str(
        measured_one(make_rig(path), reference, path)
    )


def test_users_of_locust_that_wait_have_a_ceiling_of_at_least(tmp_path, make_rig, reference):
    path = scenario_file(tmp_path, WAITING)
    outcome = measured_one(make_rig(path), reference, path)
    assert isinstance(outcome, Measured) and outcome.ceiling.at_least
    assert outcome.ceiling.requests_per_s <= 2 / 0.05 + 2


class NeverStarts(Processes):
    def start(self, *arguments):
        raise ServerError("sanic-single did not start (exit status 3)\n  its last lines\n  are many")


def test_a_reference_that_does_not_start_leaves_the_run_without_ceilings(tmp_path, make_rig, reference):
    rig, said = make_rig(INDEX, launcher=NeverStarts()), []
    cache = Cache(said.append, tmp_path / "ceilings.json")
    wanted = [Subject("index", INDEX, 2)]
    assert ceilings.kept_or_measured(rig, reference, wanted, cache, said.append) == []
    assert said[1:] == ["  index, 2 users: no ceiling: sanic-single did not start (exit status 3)"]


def test_a_null_server_that_dies_fails_its_scenario_only(tmp_path, make_rig, monkeypatch, reference):
    def asked(self):
        self._process.kill()
        return NullServer._report(self)["last_asked"]

    monkeypatch.setattr(NullServer, "last_asked", asked)
    outcome = measured_one(make_rig(INDEX), reference, INDEX)
    assert isinstance(outcome, NoCeilingError) and str(outcome) == "the null server ended"


@pytest.mark.parametrize(
    ("real", "why"),
    [
        ("https://127.0.0.1:1", "ended: not a URL such as http://127.0.0.1:8000: https://127.0.0.1:1"),
        ("http://127.0.0.1:none", "ended: Port could not be cast to integer value as 'none'"),
    ],
)
def test_a_null_server_that_cannot_learn_says_so_in_one_sentence(tmp_path, real, why):
    null = NullServer(
        Processes().open({}, tmp_path, print), real, next(iter(os.sched_getaffinity(0))), tmp_path / "log"
    )
    with pytest.raises(NullServerError) as refused, null:
        pass
    assert str(refused.value) == f"the null server {why}"


def test_a_null_server_that_says_nothing_does_not_answer(tmp_path, monkeypatch):
    silent = tmp_path / "silent.py"
    silent.write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(nullserver, "PROGRAM", silent)
    monkeypatch.setattr(nullserver, "_SILENCE_S", 0.1)
    null = NullServer(
        Processes().open({}, tmp_path, print), None, next(iter(os.sched_getaffinity(0))), tmp_path / "log"
    )
    with pytest.raises(NullServerError) as refused, null:
        pass
    assert str(refused.value) == "the null server does not answer"
    assert not children()


# -- The command


def bench(*arguments):
    return [sys.executable, "-m", "bench", "ceiling", *arguments]


def test_the_command_prints_a_table():
    def once():
        done = subprocess.run(
            bench("--scenarios", "index", "--users", "2"),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            env={**os.environ, "COLUMNS": "150"},
        )
        return None if "held up" in done.stdout + done.stderr else done

    done = unless_held_up(once)
    assert done.returncode == 0, done.stderr
    assert "null server busy" in done.stdout and "CPU µs/request" in done.stdout
    assert ["index", "2", "1"] in [line.split()[:3] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "quik"], 'unknown plan "quik"; did you mean "quick"?'),
        (["--scenarios", "indx"], 'unknown scenario "indx"; did you mean "index"?'),
        (["--users", "many"], '--users takes whole numbers like "8,64", not "many"'),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(arguments, message):
    done = CliRunner().invoke(app, ["ceiling", *arguments], env={"COLUMNS": "200"})
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1) and message in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_no_process(number):
    process = subprocess.Popen(
        bench("--scenarios", "index", "--users", "2,4,8"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert any("against a null server" in line for line in iter(process.stdout.readline, ""))

        def measuring():
            family = alive(psutil.Process(process.pid).children(recursive=True))
            return family if any("nullserver.py" in " ".join(each.cmdline()) for each in family) else None

        family = wait_until(measuring, "a null server runs")
        process.send_signal(number)
        output, _ = process.communicate(timeout=LONG_S)
        assert process.returncode == 130 and "interrupted" in output
        assert alive(family) == []
    finally:
        process.kill()
        process.wait()


def alive(processes):
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_run_records_the_ceilings_of_its_loads(tmp_path):
    (tmp_path / "tiny.toml").write_text(plans.tiny("sanic-single", loads="[scenarios.index]\nusers = [3]"))

    def once():
        said = io.StringIO()
        request = Request(tmp_path / "results", str(tmp_path / "tiny.toml"), fresh=True)
        folder = experiment.run(request, Console(file=said, width=200)).folder
        record = json.loads((folder / "run.json").read_text())
        return None if "held up" in said.getvalue() else record

    (recorded,) = unless_held_up(once)["ceilings"]
    assert Ceiling.model_validate(recorded).users == 3
