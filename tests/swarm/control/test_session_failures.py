"""`swarm.session`: cells that fail, and sessions that end."""

from __future__ import annotations

import json
import resource
import signal
import subprocess

import psutil
import pytest

from tests.patience import LONG_S
from tests.swarm.harness import until
from tests.swarm.processes import alive, column, family, start
from tests.swarm.scripted import reply


def test_cells_that_fail_do_not_end_the_session(serve, open_session, scenario, tmp_path):
    server = serve({"/": reply()})
    index, raising = scenario(), scenario("Raising", "raise ZeroDivisionError('by nought')")
    session = open_session(index, raising)
    session.cell("unheard_of.py", server.url, tmp_path / "a")
    assert "unheard_of.py" in session.wait_for("failed", "finished")["reason"]
    session.send("{nonsense")
    assert "{nonsense" in session.wait_for("failed", "finished")["reason"]
    session.send(json.dumps({"command": "cell", "scenario": str(index)}))
    assert "directory" in session.wait_for("failed", "finished")["reason"]
    session.cell(raising, server.url, tmp_path / "b")
    assert "by nought" in session.wait_for("failed", "finished")["reason"]
    assert 1 <= session.errors.count("Traceback") < 10  # not one for each of the thousands of rounds
    session.cell(index, server.url, tmp_path / "c", measured_s=30)
    session.wait_for("progress")
    session.send(json.dumps({"command": "abort", "reason": "the server died"}))
    assert session.wait_for("failed", "finished")["reason"] == "the server died"
    until(lambda: server.open == 0, "an aborted cell has closed its connections")
    session.cell(index, "http://no-such-host.invalid:1", tmp_path / "d")
    finished = session.wait_for("failed", "finished")
    assert (finished.get("reason"), finished.get("requests")) == (None, 0)
    assert set(column(tmp_path / "d" / "failures.csv", "kind")) == {"connect_failed"}
    session.cell(index, "no URL", tmp_path / "e")
    assert "not a base URL" in session.wait_for("failed", "finished")["reason"]
    session.cell(index, server.url, tmp_path / "f")
    assert session.wait_for("failed", "finished")["requests"] > 0


def test_a_full_disk_fails_the_cell_and_not_the_next(serve, open_session, scenario, tmp_path):
    body = "for n in range(50): yield self.get('/', name=f'{n}' * 50)"
    server, index = serve({"/": reply()}), scenario(body=body)
    session = open_session(index)
    session.wait_for("ready")
    limits = psutil.Process(session.process.pid).rlimit(resource.RLIMIT_FSIZE)
    psutil.Process(session.process.pid).rlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    session.cell(index, server.url, tmp_path / "full", measured_s=2)
    failed = session.wait_for("failed", "finished")
    assert failed["event"] == "failed"
    assert "File too large" in failed["reason"]
    assert not (tmp_path / "full" / "latency.csv").exists()
    assert not [path for path in (tmp_path / "full").iterdir() if path.name.startswith(".")]
    psutil.Process(session.process.pid).rlimit(resource.RLIMIT_FSIZE, limits)
    session.cell(index, server.url, tmp_path / "roomy")
    assert session.wait_for("failed", "finished")["event"] == "finished"


BROKEN = {
    "missing": (None, "there is no locustfile"),
    "syntax": ("def", "SyntaxError"),
    "import": ("import no_such_module", "no_such_module"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_scenario_that_cannot_be_loaded_is_one_message(open_session, tmp_path, broken):
    text, message = BROKEN[broken]
    path = tmp_path / "broken_scenario.py"
    if text is not None:
        path.write_text(text)
    session = open_session(path)
    assert session.process.wait(LONG_S) == 1
    assert message in session.errors
    assert str(path) in session.errors
    assert "Traceback" not in session.errors


def test_a_session_ends_with_its_standard_input_in_mid_cell(serve, open_session, scenario, tmp_path):
    server, index = serve({"/": reply()}), scenario()
    session = open_session(index)
    session.cell(index, server.url, tmp_path / "long", measured_s=60)
    session.wait_for("progress")
    session.process.stdin.close()
    assert session.process.wait(LONG_S) == 0
    until(lambda: server.open == 0, "all connections are closed")


PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, *sys.argv[2:]], stdin=subprocess.PIPE, text=True)
child.stdin.write(sys.argv[1] + chr(10))
child.stdin.flush()
time.sleep(1000)
"""


def test_killing_the_parent_of_a_session_leaves_no_process(serve, scenario, tmp_path):
    server, index = serve({"/": reply()}), scenario()
    cell = {"command": "cell", "host": server.url, "scenario": str(index), "directory": str(tmp_path)}
    command = json.dumps(cell | {"users": 4, "warmup_s": 0, "measured_s": 60, "stop_timeout_s": 1})
    session = ["-m", "swarm.session", "--processes", 2, "--scenario", index]
    parent = start("-c", PARENT, command, *session, stdout=subprocess.DEVNULL)
    try:
        until(lambda: len(server.asked) > 20, "the cell is running")
        descendants = family(parent.pid)[1:]
        assert len(descendants) == 3
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: not alive(descendants), "session and workers have ended")


def test_users_that_leave_in_mid_cell_fail_it(serve, open_session, scenario, tmp_path):
    leaver = scenario("Leaver", 'yield self.get("/"); yield self.pause(0.8); self.stop(force=False)')
    session = open_session(leaver)
    session.wait_for("ready")
    session.cell(leaver, serve({"/": reply()}).url, tmp_path / "cell", users=3, measured_s=2)
    event = session.wait_for("finished", "failed")
    assert event["event"] == "failed"
    assert "only 0 of 3 users were still running" in event["reason"]
