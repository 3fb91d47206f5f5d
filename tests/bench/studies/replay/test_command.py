import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from bench.cli.trust import replay as command
from bench.launch import stacks
from bench.launch.stacks import Environment
from bench.model import documents
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.records import replay as records
from bench.studies.replay import measure
from bench.studies.replay.measure import (
    COMPARED,
    KINDS,
    OWN_CLIENTS,
    PLAIN,
    RECORDED,
    Block,
    Others,
    variants,
)
from targets.catalogue.configurations import load as load_catalogue
from tests.patience import LONG_S, wait_until

BUSY = "import time\nwhile time.process_time() < {}: pass"
SMALL = ["--repeats", "1", "--processes", "2", "--requests", "5", "--seconds", "1", "--seed", "1"]


def replayed(*arguments):
    return CliRunner().invoke(command.app, [*map(str, arguments)])


def test_a_whole_replay_goes_on_without_a_server_that_does_not_start(tmp_path, current, clients, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'serve: no luck' >&2\nexit 3\n")
    broken.chmod(0o755)

    def environments(catalogue, names, say):
        servers = {"current": current, "sanic-21.12": Environment(broken, "3.9", {})}
        return measure.ReplayEnvironments(clients, servers, [])

    monkeypatch.setattr(measure, "environments", environments)
    before, cpus = set(psutil.Process().children(recursive=True)), os.sched_getaffinity(0)
    results = tmp_path / "results"
    done = replayed("--configurations", "gunicorn-sanic,sanic-single", *SMALL, "--results", results)
    assert done.exit_code == 1, done.output
    assert set(psutil.Process().children(recursive=True)) <= before
    assert os.sched_getaffinity(0) == cpus
    (folder,) = results.iterdir()
    found = records.Replay.read(folder)
    assert found.status == "finished" and found.configurations == ["gunicorn-sanic", "sanic-single"]
    assert {(each.configuration, each.block) for each in found.failed} == {
        ("gunicorn-sanic", kind) for kind in KINDS
    }
    assert all("no luck" in each.reason for each in found.failed)
    assert {each.configuration for each in found.executions} == {"sanic-single"}
    assert {(each.split, each.recorded) for each in found.executions} == {
        (split, recorded) for split in ("unpinned", "pinned") for recorded in (False, True)
    }
    assert len(found.executions) == 4 and len(found.beside) == 1
    for each in found.executions:
        assert each.failures == {} and each.figures.requests == 10
        assert 0 <= each.others_busy < 1.5
        assert each.figures.server_cpu_us > 0 and each.figures.client_cpu_us > 0
        assert (each.figures.steps is not None) == each.recorded
        kept = records.Report.model_validate_json((folder / each.folder / "clients.json").read_bytes())
        assert len(kept.tasks) == 2
    pinned = [each for each in found.executions if each.split == "pinned"]
    assert all(each.server_cpus == found.cpu_split["server"] for each in pinned)
    assert found.beside[0].requests_per_s > 0
    assert "What it really measured" in done.stdout and "one repeat" in done.stdout
    assert found.stacks["replay"]["packages"]["httpx"]

    again = replayed("--show", folder.name, "--results", results)
    assert again.exit_code == 0 and again.stdout.strip() in done.stdout


def test_a_replay_in_which_nothing_failed_ends_with_0(make, tmp_path, monkeypatch):
    here = Environment(Path("python"), "3", {})
    having = measure.ReplayEnvironments(here, {"current": here}, [])
    monkeypatch.setattr(measure, "environments", lambda *_: having)
    monkeypatch.setattr(
        measure, "measure_all", lambda begun, *_: begun.executions.extend(make.executions("sanic", 1))
    )
    done = replayed("--configurations", "sanic", *SMALL, "--results", tmp_path)
    assert done.exit_code == 0, done.output
    (folder,) = tmp_path.iterdir()
    assert f"everything: {folder}" in done.stdout and records.Replay.read(folder).status == "finished"


def test_an_interrupted_replay_keeps_what_there_is_and_leaves_no_process(tmp_path, current, clients):
    command = [sys.executable, "-m", "bench", "replay", "--configurations", "sanic-single,uvicorn"]
    command += ["--requests", "10000", "--processes", "2", "--results", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    parent = psutil.Process(process.pid)

    def all_ask():
        assert process.poll() is None
        return sum("bench.studies.replay.clients" in command_line(each) for each in living(parent)) == 3

    try:
        wait_until(all_ask, "all clients are started")
        family = living(parent)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        process.wait()
    (folder,) = tmp_path.iterdir()
    assert process.returncode == 130 and f"bench replay --show {folder.name}" in output
    assert psutil.wait_procs(family, LONG_S)[1] == []
    assert records.Replay.read(folder).status == "interrupted"


def living(parent):
    return [each for each in parent.children(recursive=True) if command_line(each)]


def command_line(process):
    """Empty for a process that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--configurations", "sanik"], 2, "sanic"),
        (["--processes", "0"], 2, "processes"),
        (["--requests", "1000000"], 2, "requests"),
        (["--show", "latest"], 2, "make replay"),
        (["--docs"], 2, "make replay"),
        (["--show", "nothing-like-it"], 2, "unknown replay"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_starts(tmp_path, arguments, status, says):
    done = replayed(*arguments, "--results", tmp_path)
    assert done.exit_code == status and says in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_replay_that_was_not_finished_is_no_figure_for_a_document(make, tmp_path):
    folder = tmp_path / "20261122-200000-replay"
    folder.mkdir()
    make.replay(make.executions("sanic", 1), status="interrupted").write(folder)
    before = command.DOCUMENT.read_text()
    done = replayed("--docs", "--results", tmp_path)
    assert done.exit_code == 1 and "was not finished" in done.stderr
    assert command.DOCUMENT.read_text() == before


def test_the_latest_replay_goes_into_the_document(make, tmp_path, monkeypatch):
    document = tmp_path / "replay.md"
    document.write_text(
        "before\n<!-- measured: make replay -->\nold\n<!-- /measured: make replay -->\nafter\n"
    )
    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr(command, "ROOT", tmp_path)
    for name, loop in (("20261122-100000-replay", 11.0), ("20261122-200000-replay", 22.0)):
        (tmp_path / name).mkdir()
        make.replay(make.executions("sanic", 1, loop)).write(tmp_path / name)
    result = replayed("--docs", "--results", tmp_path)
    assert result.exit_code == 0, result.output
    text = document.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "\nold\n" not in text
    assert "22.00" in text and "11.00" not in text


def test_the_document_has_the_markers():
    documents.check(command.DOCUMENT, [command.BLOCK])


def test_a_file_of_another_version_is_refused(make, tmp_path):
    make.replay([]).write(tmp_path)
    path = tmp_path / records.FILE
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(UserError, match=r"schema.*measure again"):
        records.Replay.read(tmp_path)


def test_a_client_that_cannot_be_installed_ends_it(tmp_path, monkeypatch, quick_venvs):
    requirements = tmp_path / "replay.txt"
    requirements.write_text("./there-is-no-such-package\n")
    monkeypatch.setattr(measure, "CLIENTS", replace(measure.CLIENTS, requirements=requirements))
    ensure = stacks.ensure
    monkeypatch.setattr(stacks, "ensure", lambda stack, say: ensure(stack, say, tmp_path / "venvs"))
    with pytest.raises(UserError, match="there-is-no-such-package") as caught:
        measure.environments(load_catalogue(), ["sanic"], lambda _: None)
    assert "cannot be had" in str(caught.value) and "replay.txt" in str(caught.value)


def test_a_server_without_an_environment_is_left_out(monkeypatch):
    def ensure(stack, say):
        if stack.name == "sanic-21.12":
            raise stacks.UnavailableError("there is no Python 3.9", "install it")
        return Environment(Path("python"), "3", {})

    monkeypatch.setattr(stacks, "ensure", ensure)
    said = []
    having = measure.environments(load_catalogue(), ["sanic", "gunicorn-sanic"], said.append)
    assert list(having.servers) == ["current"]
    assert [each["configuration"] for each in having.unavailable] == ["gunicorn-sanic"]
    assert "no Python 3.9" in said[0] and "install it" in said[0]
    with pytest.raises(UserError, match="none of the configurations"):
        measure.environments(load_catalogue(), ["gunicorn-sanic"], said.append)


def test_cpu_time_of_others_is_told_from_our_own():
    cpus = os.sched_getaffinity(0)
    with Others(cpus) as of_a_child:
        subprocess.run([sys.executable, "-c", BUSY.format(0.6)], check=True)
    foreign = subprocess.Popen([sys.executable, "-c", BUSY.format(0.6)])
    with Others(cpus) as of_another:
        # It has not been waited for, so it counts as nobody's.
        while psutil.Process(foreign.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
    foreign.wait()
    assert of_a_child._own_s >= 0.5 > of_another._own_s
    assert of_another._busy_s >= 0.4 and of_another.busy(0.0) > 0
    assert of_another.busy(1000.0) == 0.0  # not less than nothing


def test_all_but_variants_are_replayed_unless_asked_otherwise():
    names = command._named(load_catalogue(), None)
    assert {*COMPARED, "gunicorn-uvicorn", "sanic"} <= set(names) and "gunicorn-uvicorn-preload" not in names
    assert command._named(load_catalogue(), "sanic, uvicorn sanic") == ["sanic", "uvicorn"]


def test_a_client_for_each_request_is_for_the_workers_that_were_compared_not_pinned():
    assert variants(Block(COMPARED[0], "unpinned")) == [PLAIN, RECORDED, OWN_CLIENTS]
    assert variants(Block(COMPARED[0], "pinned")) == [PLAIN, RECORDED]
    assert variants(Block("sanic", "unpinned")) == [PLAIN, RECORDED]
