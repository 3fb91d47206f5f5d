"""How clients of Docker are run, what becomes of them when bench is interrupted, and the database."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.launch.containers import cleanup, compose, engine
from bench.launch.containers.containers import PYTHON
from bench.machine.processes import spawn
from bench.model.errors import UserError
from bench.model.files import ROOT
from tests.bench.commands import LIGHT
from tests.patience import LONG_S


class Interrupted(Exception):
    """What stands for Ctrl-C."""


@pytest.fixture
def interrupt():
    """Have the test's own process interrupted after so many seconds."""

    def stop(*_):
        raise Interrupted

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda after_s: signal.setitimer(signal.ITIMER_REAL, after_s)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def client(tmp_path, does):
    """A client that says that it has begun, then does something."""
    return ["sh", "-c", f'echo $$ >"{tmp_path}/begun"; {does}']


def run_until_begun(tmp_path, interrupt, command):
    """Run a client and interrupt when it has begun; fails the test if it had not."""
    interrupt(1.0)
    with pytest.raises(Interrupted):
        engine.run(command)
    assert (tmp_path / "begun").exists()


def test_what_was_begun_is_finished_before_an_interruption_goes_on(tmp_path, interrupt):
    done = tmp_path / "done"
    run_until_begun(tmp_path, interrupt, client(tmp_path, f'sleep 2; touch "{done}"'))
    assert done.exists()


def test_an_interruption_while_a_client_is_being_started_waits_for_it(tmp_path, monkeypatch):
    """Else nobody would know of what the client has the engine do, and nobody would remove it."""
    done = tmp_path / "done"

    def started_and_interrupted(*arguments, **options):
        client = spawn(*arguments, **options)
        signal.raise_signal(signal.SIGTERM)
        return client

    def stop(*_):
        raise Interrupted

    monkeypatch.setattr(engine, "spawn", started_and_interrupted)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Interrupted):
            engine.run(client(tmp_path, f'sleep 1; touch "{done}"'))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done.exists()


def test_a_client_that_does_not_end_is_killed(tmp_path, interrupt, monkeypatch):
    monkeypatch.setattr(engine, "_FINISH_S", 0.2)
    started = time.monotonic()
    run_until_begun(tmp_path, interrupt, client(tmp_path, "exec sleep 60"))
    assert time.monotonic() - started < 50
    assert not psutil.pid_exists(int((tmp_path / "begun").read_text()))


def test_what_a_client_said_is_the_error():
    with pytest.raises(engine.ClientError, match="no such thing"):
        engine.run(["sh", "-c", "echo no such thing >&2; exit 1"])


def test_a_client_that_takes_too_long_is_named():
    with pytest.raises(engine.EngineError, match=r"took more than 0\.2 s"):
        engine.run(["sleep", "60"], timeout_s=0.2)


def test_the_database_is_there_when_it_takes_connections(docker, make_launcher):
    with make_launcher() as launcher:
        assert launcher.database() == "postgresql://whichworker:whichworker@127.0.0.1/whichworker"
        assert len(docker.calls("exec", "pg_isready")) == 2


def test_a_database_that_ends_says_why(docker, make_launcher, monkeypatch):
    monkeypatch.setattr(compose, "_DATABASE_READY", (PYTHON, "-c", "raise SystemExit(1)"))
    monkeypatch.setattr(compose, "_DATABASE_READY_S", 0.0)
    with make_launcher() as opened, pytest.raises(UserError, match="the database did not become ready"):
        opened.database()


def test_nothing_runs_without_a_bench_that_is_killed_for_long(docker, tmp_path, run_folder):
    """Its clients end with it; what they had in containers is left to the next bench."""
    program = f"""
import time
from pathlib import Path
from bench.launch.containers import compose, engine
from targets.catalogue.configurations import load
light = Path({str(LIGHT)!r})
opening = compose.Compose(engine.find()).open(
    {{}}, Path({str(run_folder)!r}), print, catalogue=light, files=[light]
)
with opening as opened:
    opened.start(load(light).get("one"), 1, Path({str(run_folder)!r}) / "m", [0])
    print("serving", flush=True)
    time.sleep(600)
"""
    bench = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    while bench.stdout.readline() != "serving\n":
        assert bench.poll() is None
    clients = psutil.Process(bench.pid).children(recursive=True)
    assert clients
    bench.kill()
    bench.communicate()
    assert psutil.wait_procs(clients, LONG_S)[1] == []
    assert len(docker.containers()) == 2


def test_what_an_interrupted_client_asked_for_last_is_removed_as_well():
    """It is made after the others were listed."""
    listed, removed = [["one", "two"], ["late"], []], []

    class Late:
        def docker(self, *words):
            if words[0] == "rm":
                removed.extend(words[3:])
            return "\n".join(listed.pop(0)) if words[0] == "ps" else ""

    cleanup.remove_own(Late())
    assert removed == ["one", "two", "late"] and listed == []
