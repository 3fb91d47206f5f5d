import io
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from types import SimpleNamespace

import psutil
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.cli.main import app
from bench.experiment import ceiling, ceilings
from bench.experiment import run as experiment
from bench.experiment.ceiling import Ceiling, HeldUpError, Measured, NoCeilingError, Subject, Usage
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
from bench.model.plans import plan
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


def a_ceiling(scenario="index", users=8, measured=1.0):
    return Ceiling(
        scenario=scenario,
        users=users,
        processes=1,
        requests_per_s=1000.0,
        at_least=False,
        cpu_us=6.0,
        generator_busy=0.99,
        server_busy=0.5,
        measured=measured,
    )


# -- What follows from the numbers


@pytest.mark.parametrize(("busy", "at_least"), [(0.99, False), (0.9, False), (0.89, True), (0.1, True)])
def test_a_ceiling_is_at_least_where_the_generator_was_not_full(busy, at_least):
    assert ceiling.is_at_least(busy) is at_least


def generator_csv(folder, *rows):
    path = folder / "generator.csv"
    path.write_text("\n".join(["time,process,cpu_s,spin_s", *rows]) + "\n")
    return path


def test_work_and_polling_of_all_processes_are_taken_between_the_reports_nearest_the_window(tmp_path):
    table = generator_csv(
        tmp_path,
        *("99.0,1,5.0,1.0", "100.1,1,6.0,1.5", "101.1,1,7.0,1.75", "102.0,1,9.0,3.0"),
        *("100.0,2,0.0,0.0", "101.0,2,0.5,0.0"),
        *("100.0,0,0.0,", "101.0,0,0.1,"),
    )
    work, spin = ceiling.generator_cpus(table, 100, 101)
    assert (work, spin) == (pytest.approx(0.75 + 0.5 + 0.1), pytest.approx(0.25))


def test_reports_that_are_late_still_make_a_rate(tmp_path):
    table = generator_csv(tmp_path, "100.0,0,0.0,0.0", "101.6,0,0.8,0.4")
    assert ceiling.generator_cpus(table, 100, 101) == (pytest.approx(0.25), pytest.approx(0.25))


@pytest.mark.parametrize("last", ["100.4,0,1.0,0.0", "101.9,0,1.0,0.0"])
def test_a_generator_that_did_not_report_near_the_edges_has_no_ceiling(tmp_path, last):
    table = generator_csv(tmp_path, "99.0,0,0.0,0.0", last)
    with pytest.raises(NoCeilingError, match="held up"):
        ceiling.generator_cpus(table, 100, 101)


def test_usage_is_interpolated_at_the_edges_of_the_window():
    usages = [
        Usage(99.9, 1.0, 10.0),
        Usage(100.1, 1.2, 10.4),
        Usage(100.9, 1.6, 12.0),
        Usage(101.1, 1.8, 12.4),
    ]
    server, everyone = ceiling.cpus_used(usages, 100, 101)
    assert (server, everyone) == (pytest.approx(0.6), pytest.approx(2.0))
    with pytest.raises(NoCeilingError, match="not watched"):
        ceiling.cpus_used(usages, 100, 102)


def test_a_reading_is_disturbed_where_others_took_the_cpus():
    assert not Measured(a_ceiling(), 1.0, 0.05).disturbed
    assert Measured(a_ceiling(), 1.0, 0.2).disturbed


def test_every_scenario_and_number_of_users_of_a_plan_is_a_subject_once():
    search = {"p99_ms": 10.0, "from_rate_per_s": 100.0, "users": 64}
    scenarios = {
        "index": {"users": [64, 8], "open": [{"rates_per_s": [100.0, 200.0]}], "search": search},
        "sleep": {"open": [{"rates_per_s": [10.0], "users": 8}]},
    }
    chosen = plan.validate(
        {
            "summary": "a test",
            "configurations": ["sanic"],
            "scenarios": scenarios,
            "workers": [1],
            "repeats": 1,
            "warmup_s": 0.2,
            "measured_s": 1,
        },
        "here",
    )
    found = ceiling.subjects(chosen, {"index": INDEX, "sleep": INDEX})
    assert [str(subject) for subject in found] == [
        "index, 8 users",
        "index, 64 users",
        "index, 256 users",
        "sleep, 8 users",
    ]


# -- What is kept


def test_what_is_put_into_the_cache_is_found_again_and_other_entries_stay(tmp_path):
    path, said = tmp_path / ".cache" / "ceilings.json", []
    cache = Cache(said.append, path)
    assert cache.read() == {}
    cache.add({"one": a_ceiling()})
    Cache(said.append, path).add({"two": a_ceiling("sleep"), "one": a_ceiling(measured=2.0)})
    assert cache.read() == {"one": a_ceiling(measured=2.0), "two": a_ceiling("sleep")}
    assert not said


def test_the_cache_keeps_the_newest(tmp_path):
    cache = Cache(print, tmp_path / "ceilings.json")
    cache.add({str(number): a_ceiling(measured=float(number)) for number in range(600)})
    assert set(cache.read()) == {str(number) for number in range(100, 600)}


@pytest.mark.parametrize(
    "content",
    [
        '{"version": 1, "ceil',
        '{"version": 2, "ceilings": {}}',
        '{"version": 1, "ceilings": {"key": {"scenario": "index"}}}',
        "[]",
        "\udcff",
    ],
)
def test_a_cache_that_cannot_be_used_is_told_and_made_anew(tmp_path, content):
    path, said = tmp_path / "ceilings.json", []
    path.write_bytes(content.encode(errors="surrogateescape"))
    cache = Cache(said.append, path)
    assert cache.read() == {} and "cannot be used and is made anew" in said[0]
    cache.add({"one": a_ceiling()})
    said.clear()
    assert cache.read() == {"one": a_ceiling()} and not said


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "taken").write_text("")
    said = []
    Cache(said.append, tmp_path / "taken" / "ceilings.json").add({"one": a_ceiling()})
    assert "cannot be kept for the next run" in said[0]


def test_the_key_changes_with_all_that_a_ceiling_depends_on(tmp_path, catalogue):
    scenario = tmp_path / "index.py"
    scenario.write_text("1")
    split = cpus.split([0, 1, 2, 3], None, 1, {})
    machine, suite = host.facts(), host.suite_versions()
    newer = suite | {"packages": suite["packages"] | {"gevent": "99"}}
    unrelated = newer | {"packages": newer["packages"] | {"matplotlib": "99"}}
    with_own = suite | {"packages": suite["packages"] | {"faker": "1"}}

    def key(
        users=8, split=split, machine=machine, suite=suite, launcher="processes", network=None, servers=None
    ):
        rig = Rig(
            SimpleNamespace(name=launcher, network=None, server_host=servers), split, tmp_path, suite=suite
        )
        rig.machine = machine
        return ceilings.key(Subject("index", scenario, users), rig, network)

    first = key()
    assert key() == first and key(suite=unrelated) == key(suite=newer)
    keys = {
        first,
        key(users=9),
        key(split=cpus.split([1, 2], None, 1, {})),
        key(machine=machine | {"machine_id": "another"}),
        key(suite=newer),
        key(launcher="compose"),
        key(network={"namespace": True, "steered_to": [1], "note": None}),
        key(network={"namespace": True, "steered_to": None, "note": "why"}),
        key(suite=with_own),
    }
    scenario.write_text("2")
    keys.add(key())
    assert len(keys) == 10


# -- Measuring


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


def test_a_generator_that_is_held_up_is_given_another_attempt(monkeypatch, tmp_path):
    said = [HeldUpError("held up"), Measured(a_ceiling(), 1.0, 0.0)]

    def cell(*_):
        outcome = said.pop(0)
        if isinstance(outcome, HeldUpError):
            raise outcome
        return outcome

    monkeypatch.setattr(ceiling, "_cell", cell)
    null = SimpleNamespace(last_asked=lambda: None)
    subject = Subject("index", INDEX, 2)
    assert ceiling._settled(None, subject, null, tmp_path).ceiling == a_ceiling()
    said += [HeldUpError("held up"), HeldUpError("held up again")]
    with pytest.raises(HeldUpError, match="held up again"):
        ceiling._settled(None, subject, null, tmp_path)


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
    monkeypatch.setattr(nullserver, "_SILENCE_S", 0.1)
    null = NullServer(
        Processes().open({}, tmp_path, print), "", next(iter(os.sched_getaffinity(0))), tmp_path / "log"
    )
    monkeypatch.setattr(null, "_arguments", ["-c", "import time; time.sleep(600)"])
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
