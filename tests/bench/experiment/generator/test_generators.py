"""Generators on other machines as bench sees them: where they join, who was lost, what is recorded."""

import json
import sys
import time

import psutil
import pytest

from bench.experiment import networks
from bench.experiment.generator.generators import Generators, gathering
from bench.experiment.generator.session import CellError, Load, Session
from bench.launch.local import Processes
from bench.machine.cpus import split_here
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.plans import plan as plans
from bench.model.plans.generators import GeneratorsTable
from bench.model.plans.narrowing import narrow
from tests.bench.commands import start_run, told
from tests.bench.experiment.generator.test_session import FAKE
from tests.patience import LONG_S
from tests.ports import free_port

SMOKE = plans.load("smoke")


def of(expected=2, lost="end", before=None, say=lambda _: None):
    return Generators(GeneratorsTable(expected=expected, lost=lost), "10.0.0.1:5557", before, say)


def load(folder, host="http://127.0.0.1:1"):
    return Load(host, "index.py", users=2, warmup_s=0.1, measured_s=1, directory=folder)


# -- What is asked for


def test_the_command_line_narrows_a_plan():
    plan = narrow(SMOKE, {"generators": {"expected": 3}})
    assert plan.generators == GeneratorsTable(expected=3, lost="end")
    assert narrow(plan, {"generators": {"lost": "go on"}}).generators.expected == 3
    assert SMOKE.generators is None and "generators" not in SMOKE.model_dump()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lost-generator", "end"], "generators.expected"),
        (["--expect-generators", "1", "--lost-generator", "stop"], "generators.lost"),
        (["--address", "10.0.0.1"], "give --expect-generators too"),
        (["--expect-generators", "1", "--address", "10.0.0.1:http"], "write the address of this machine"),
        (["--expect-generators", "1", "--network", "own"], "do not reach --network own"),
        (["--expect-generators", "1", "--launcher", "compose"], ""),
        (["--generators", "a", "--network", "own"], "do not reach --network own"),
    ],
)
def test_what_cannot_be_is_said(arguments, words, tmp_path):
    done = told("run", "--plan", "smoke", "--results", str(tmp_path), *arguments)
    assert done.exit_code != 0 and words in done.stderr


def test_servers_and_the_master_are_where_the_generators_reach_them():
    plan = narrow(SMOKE, {"generators": {"expected": 1}})
    launcher = Processes()
    assert gathering(plan, None, launcher).where == "127.0.0.1:5557"
    assert launcher.address == "127.0.0.1"
    assert gathering(plan, "10.0.0.1:77", launcher).where == "10.0.0.1:77"
    assert launcher.address == launcher.proxy_address == "10.0.0.1"
    assert gathering(SMOKE, None, launcher).expected(None, lambda _: None) is None


def test_they_meet_in_this_machines_network():
    plan = narrow(SMOKE, {"generators": {"expected": 1}})
    wanted = networks.wanted(plan, Processes.name, split_here(1), None)
    assert not wanted.own and "generators of other machines" in wanted.because


# -- Who is there, and who was lost


def test_who_joins_is_told():
    said = []
    generators = of(say=said.append)
    for joined in ([], ["a"]):
        generators.hear({"event": "joining", "joined": joined})
    generators.hear({"event": "progress"})
    assert "make worker MASTER=10.0.0.1:5557" in said[0]
    assert said[1:] == ["generators: 1 of 2 are there: a"]


def test_a_run_ends_with_a_lost_generator_unless_it_is_to_go_on():
    ending, going_on = of(3), of(3, "go on")
    for each in (ending, going_on):
        each.check()
        each.lose(["b"])
        assert each.words[:2] == ["--generators", "2"]
    with pytest.raises(UserError, match="the generator b was lost, and the run ends with it"):
        ending.check()
    going_on.check()
    going_on.lose(["a", "c"])
    with pytest.raises(UserError, match="no generator is left: b, a, c"):
        going_on.check()


def test_a_run_that_goes_on_keeps_the_clocks_of_before():
    reading = {"generator": "z", "window": {"start": 1, "end": 2}, "before": None, "after": None}
    generators = of(before={"machines": [], "clocks": [reading]})
    clock = {"before": None, "after": {"offset_ms": 1.0}}
    machine = {"name": "a", "hostname": "h", "system": "s", "python": "3", "cpus": [0], "processes": [1]}
    generators.ready([machine])
    event = {"window": {"start": 5, "end": 6}}
    cells = generators.finished(
        {**event, "generators": [{**machine, "requests": 7, "failures": 0, "clock": clock}]}
    )
    assert cells == [{"name": "a", "cpus": [0], "processes": [1], "requests": 7, "failures": 0}]
    generators.lose(["a"])
    assert generators.facts == {
        "machines": [{**machine, "lost": True}],
        "clocks": [reading, {"generator": "a", **event, **clock}],
    }


def test_a_session_fails_the_cell_and_then_the_run(tmp_path):
    said = []
    generators = of(2, say=said.append)
    session = Session(
        [sys.executable, str(FAKE), "loses"], [0], tmp_path / "generator.log", generators=generators
    )
    with session:
        session.gather()
        assert said[-1] == "generators: 2 of 2 are there: a, b"
        with pytest.raises(CellError, match="the generator b was lost"):
            session.run(load(tmp_path), lambda: None, lambda _: None)
        with pytest.raises(UserError, match="the run ends with it"):
            session.run(load(tmp_path), lambda: None, lambda _: None)


def test_generators_that_do_not_come_end_the_run(tmp_path):
    session = Session([sys.executable, str(FAKE), "alone"], [0], tmp_path / "log", generators=of())
    with session, pytest.raises(UserError, match=r"did not come together\n  only 1 of 2"):
        session.gather()


# -- A run


def test_a_run_whose_load_comes_from_a_generator_that_joined(tmp_path):
    port = free_port()
    where = f"127.0.0.1:{port}"
    asked = ["--plan", "smoke", "--configurations", "sanic", "--scenarios", "index", "--users", "4"]
    asked += ["--workers", "1", "--duration", "1", "--blocks", "--repeats", "1", "--expect-generators", "1"]
    run = start_run([*asked, "--address", where, "--results", str(tmp_path), "--no-report"])
    worker = psutil.Popen(
        [sys.executable, "-m", "bench", "worker", "--master", where, "--name", "other", "--processes", "1"],
        cwd=ROOT,
    )
    try:
        output, _ = run.communicate(timeout=LONG_S)
        assert run.returncode == 0, output
        assert "generators: 1 of 1 are there: other" in output
        assert worker.wait(LONG_S) == 0
    finally:
        for process in (run, worker):
            if process.poll() is None:
                process.kill()
                process.wait()
    (folder,) = tmp_path.iterdir()
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "finished" and record["plan"]["generators"] == {"expected": 1, "lost": "end"}
    (machine,) = record["generators"]["machines"]
    assert machine["name"] == "other" and not machine["lost"]
    assert not record["network"]["namespace"]
    (path,) = folder.glob("sanic/index/*/r1/cell.json")
    cell = json.loads(path.read_text())
    assert cell["status"] == "finished" and cell["generator"]["cpus"] == []
    (told_of,) = cell["generator"]["machines"]
    assert told_of["segments"]["sent"] > 0 and cell["generator"]["segments"]["sent"] > 0
    assert told_of["requests"] == cell["measured"]["requests"] > 0
    (clock,) = record["generators"]["clocks"]
    assert clock["window"] == cell["window"] and clock["before"]["round_trip_ms"]["least"] > 0
    assert abs(clock["after"]["offset_ms"]) < time.time()
