"""Cells of recycling: light servers under a stand-in for the generator, which asks some 50 times a second."""

import csv
import json
import signal

import pytest

from bench.experiment import inputs
from bench.experiment.blocks import expand
from bench.experiment.results import RunFolder
from bench.experiment.runner import remaining
from bench.model.files import ROOT
from bench.model.plans import plan
from targets.catalogue.configurations import CONFIGURATIONS, load
from targets.catalogue.recycling import NEVER
from tests.bench.commands import LIGHT
from tests.bench.experiment.test_run import Reluctant, cells

# On a busy machine it may take its time, but never as long as this: cells end when they have seen enough.
LONGEST_S = 40
INDEX = {"open": [{"rates_per_s": [50], "users": 4}]}
RECYCLING = {"max_requests": 10, "replacements": 2, "requests": 20}

# Else servers are those whose recycling is known.
with_one_process = pytest.mark.parametrize("own_catalogue", [LIGHT], ids=["light"])
with_releases = pytest.mark.parametrize("own_catalogue", [CONFIGURATIONS], ids=["real"])


@pytest.fixture
def own_catalogue():
    return ROOT / "tests" / "recycling" / "configurations.toml"


@pytest.fixture
def make():
    def made(*configurations, scenarios=(), probes=(), **keys):
        return plan.validate(
            {
                "summary": "a test",
                "configurations": list(configurations),
                "recycling": RECYCLING,
                "scenarios": dict.fromkeys(scenarios, INDEX),
                "probes": list(probes),
                "workers": [1],
                "repeats": 1,
                "warmup_s": 0.2,
                "measured_s": LONGEST_S,
                **keys,
            },
            "test",
        )

    return made


def probe(kind, **keys):
    timing = {"after_s": 0.5, "measured_s": 30}
    return {"kind": kind, "scenario": "index", "rate_per_s": 50, "users": 4, **timing, **keys}


@pytest.fixture
def blocks_of(own_catalogue):
    return lambda chosen: expand(chosen, 1, inputs.configurations(chosen, load(own_catalogue)))


def rows(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_server_that_is_respawned_and_its_control(tmp_path, make, blocks_of, run_blocks):
    chosen = make("respawned", scenarios=["index"])
    runner, output = run_blocks(chosen, blocks_of(chosen), mode="echo")
    found = cells(tmp_path)
    control, recycled = (found[f"respawned/index/o50-constant-w1-{each}/r1"] for each in ("control", "n10"))
    assert (runner.outcome.finished, runner.outcome.failed) == (2, 0)
    for cell in (control, recycled):
        assert cell["schema"] == 3 and cell["status"] == "finished" and cell["measured_s"] == LONGEST_S
        assert cell["window"]["end"] - cell["window"]["start"] < LONGEST_S
        assert (cell["probe"], cell["server_ended"]) == (None, None)
        assert cell["measured"]["requests"] >= RECYCLING["requests"]
    assert recycled["recycling"] == {"max_requests": 10, "max_requests_jitter": None, "max_rss_mib": None}
    assert control["recycling"] == dict.fromkeys(recycled["recycling"])
    assert (recycled["server"]["max_requests"], control["server"]["max_requests"]) == (10, None)
    for path, cell in found.items():
        command = json.loads((tmp_path / path / "command.json").read_text())
        assert command["trace"] is True
        # All that serve wrote since the server was started: who is born first is the first server.
        events = rows(tmp_path / path, "workers.csv")
        assert (events[0]["event"], int(events[0]["pid"])) == ("born", cell["server"]["pid"])
        assert (tmp_path / path / "requests.csv").read_text().startswith("time,pid,id,event\n")
        times = sorted({float(row["time"]) for row in rows(tmp_path / path, "processes.csv")})
        assert times[0] < cell["started"] and times[-1] >= cell["window"]["end"]
    folder = tmp_path / "respawned/index/o50-constant-w1-n10/r1"
    in_window = [
        row for row in rows(folder, "workers.csv") if float(row["time"]) >= recycled["window"]["start"]
    ]
    events = [row["event"] for row in in_window if row["role"] == "worker"]
    assert events.count("died") >= 2 and events.count("ready") >= 2
    assert "index, 50/s constant, recycled after 10 requests: " in output and " replaced, " in output
    assert "index, 50/s constant, not recycled: 0 replaced, 0 of " in output


@with_one_process
def test_a_server_that_ends_in_mid_cell_is_an_answer(tmp_path, make, blocks_of, run_blocks):
    chosen = make("one", scenarios=["index"], recycling=RECYCLING | {"requests": 100_000})
    runner, output = run_blocks(chosen, blocks_of(chosen), mode="kills 1")
    (cell,) = cells(tmp_path).values()
    assert cell["status"] == "finished" and cell["reason"] is None and cell["measured"]["failures"] > 0
    assert cell["server_ended"]["exit_status"] == -9
    assert cell["window"]["start"] < cell["server_ended"]["time"] < cell["window"]["end"]
    assert cell["window"]["end"] >= cell["server_ended"]["time"] + 5
    assert (runner.outcome.finished, runner.outcome.failed) == (1, 0)
    assert "not recycled: 0 replaced, the server ended, " in output


@with_one_process
def test_probes_send_their_signals_and_say_when(tmp_path, make, blocks_of, run_blocks):
    chosen = make("one", probes=[probe("kill"), probe("terminate")])
    runner, output = run_blocks(chosen, blocks_of(chosen))
    found = cells(tmp_path)
    assert runner.outcome.finished == len(found) == 2
    for kind, status in (("kill", -signal.SIGKILL), ("terminate", -signal.SIGTERM)):
        cell = found[f"one/index/o50-constant-w1-{kind}/r1"]
        sent = cell["probe"]
        assert (sent["kind"], sent["pid"]) == (kind, cell["server"]["pid"])
        assert sent["time"] >= cell["window"]["start"] + 0.5
        assert cell["server_ended"]["exit_status"] == status and cell["measured_s"] == 30
        assert sent["time"] <= cell["server_ended"]["time"] <= cell["window"]["end"] - 5
        assert cell["recycling"] == vars(NEVER)
    assert (
        "a worker is killed: 0 replaced, the server ended, " in output and "SIGTERM: 0 replaced, " in output
    )


@with_releases
def test_a_server_that_cannot_reload_is_started_again_with_the_new_release(
    tmp_path, make, blocks_of, run_blocks
):
    chosen = make("sanic-single", probes=[probe("deploy", measured_s=6)])
    run_blocks(chosen, blocks_of(chosen))
    ((path, cell),) = cells(tmp_path).items()
    assert path == "sanic-single/index/o50-constant-w1-deploy/r1" and cell["server_ended"] is None
    assert cell["server"]["deploys_by"] == "restart" and cell["probe"]["pid"] == cell["server"]["pid"]
    (renewed,) = cell["probe"]["renewed"]
    ready = [int(row["pid"]) for row in rows(tmp_path / path, "workers.csv") if row["event"] == "ready"]
    assert ready == [cell["server"]["pid"], renewed]


def test_one_of_two_workers_is_killed_and_replaced(tmp_path, make, blocks_of, run_blocks):
    chosen = make("honest", probes=[probe("kill", measured_s=10)], workers=[1, 2])
    run_blocks(chosen, blocks_of(chosen))
    ((path, cell),) = cells(tmp_path).items()
    assert path == "honest/index/o50-constant-w2-kill/r1" and cell["server_ended"] is None
    events = rows(tmp_path / path, "workers.csv")
    (killed,) = [row for row in events if int(row["pid"]) == cell["probe"]["pid"] and row["event"] == "died"]
    assert killed["role"] == "worker"
    assert [row["event"] for row in events].count("ready") == 3


def test_a_server_that_never_became_ready_fails_its_cell_and_others_are_tried(
    tmp_path, make, blocks_of, run_blocks
):
    class Unwilling(Reluctant):
        """Does not get a configuration to start that is to recycle."""

        def start(self, configuration, workers, directory, cpus, options):
            if options.recycling == NEVER:
                return super(Reluctant, self).start(configuration, workers, directory, cpus, options)
            return super().start(configuration, workers, directory, cpus, options)

    chosen = make("respawned", scenarios=["index"], repeats=2)
    launcher = Unwilling("respawned")
    runner, _ = run_blocks(chosen, blocks_of(chosen), launcher=launcher)
    found = cells(tmp_path)
    recycled, again = (found[f"respawned/index/o50-constant-w1-n10/r{repeat}"] for repeat in (1, 2))
    assert "ImportError: no module" in recycled["reason"] and recycled["server_ended"] is None
    assert recycled["recycling"]["max_requests"] == 10
    assert again["reason"].startswith("not tried again: it did not start")
    assert (launcher.attempts, runner.outcome.finished, runner.outcome.failed) == (1, 2, 2)


@with_one_process
def test_a_run_of_recycling_goes_on_where_it_was_interrupted(tmp_path, make, blocks_of, run_blocks):
    chosen = make("one", scenarios=["index"], probes=[probe("terminate")])
    blocks = blocks_of(chosen)
    interrupted = []

    def interrupt():
        interrupted.append(True)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_blocks(chosen, blocks, after_block=interrupt)
    kept = cells(tmp_path)
    assert len(kept) == len(interrupted) == 1
    with RunFolder(tmp_path) as folder:
        todo = remaining(blocks, folder)
    assert todo == blocks[1:]
    run_blocks(chosen, todo)
    found = cells(tmp_path)
    assert len(found) == 2 and all(found[path] == cell for path, cell in kept.items())
    with RunFolder(tmp_path) as folder:
        assert remaining(blocks, folder) == []


@with_one_process
def test_a_generator_that_dies_fails_a_cell_of_recycling(tmp_path, make, blocks_of, run_blocks):
    chosen = make("one", probes=[probe("terminate", after_s=20)])
    runner, _ = run_blocks(chosen, blocks_of(chosen), mode="dies")
    (cell,) = cells(tmp_path).values()
    assert "the load generator died" in cell["reason"]
    assert cell["probe"] == {"kind": "terminate", "time": None, "pid": None}
    assert runner.outcome.failed == 1
