"""An app of one's own is imported before a run: what it does is told in a sentence, and gone afterwards."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from bench.launch.local import Processes, free_port
from bench.launch.own import app_check
from bench.launch.stacks import UnavailableError
from bench.model.errors import UserError
from bench.model.files import ROOT
from bench.model.plans.own_app import OwnApp
from tests.bench.commands import gone
from tests.patience import LONG_S, wait_until

APP = "from sanic import Sanic\nfrom sanic.response import text\napp = Sanic('x')\n"
APP += "app.add_route(lambda request: text('x'), '/')\n"
ITSELF = "the app serves itself when it is imported"
LATE = "its import takes longer than 1 s. Does it run a server"


@pytest.fixture
def examine(tmp_path, current, catalogue, monkeypatch):
    """Examines an app of some lines after those that make it; returns what is said of it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()

    def examined(*lines, fixed=False, import_s=30.0, name="app"):
        (tmp_path / "mine.py").write_text(APP + "\n".join(lines))
        stack = catalogue.stacks["sanic-21.12" if fixed else "current"]
        said = []
        own = OwnApp(app=f"mine:{name}", folder=str(tmp_path))
        try:
            app_check.check_app(own, stack, current, Processes(), import_s, said.append)
        except (UserError, UnavailableError) as error:
            said.append(str(error))
        # Nothing is left, of processes and of folders.
        assert psutil.Process().children(recursive=True) == []
        assert list((tmp_path / "temporary").iterdir()) == []
        (answer,) = said
        return answer

    return examined


@pytest.mark.parametrize(
    "lines",
    [
        ["app.run(port={port})"],  # sanic-org/sanic#2539, benoitc/gunicorn#2311
        ["app.run(port={port}, single_process=True)"],
        ["app.prepare(port={port})", "Sanic.serve(primary=app)"],
        ["import asyncio", "asyncio.run(app.create_server(port={port}, return_asyncio_server=True))"],
        ["try:", "    app.run(port={port})", "except BaseException:", "    raise RuntimeError('down')"],
        ["try:", "    app.run(port={port})", "except BaseException:", "    pass"],
        ["site = app", "def app():", "    site.run(port={port})"],
    ],
)
def test_an_app_that_serves_itself_is_told_where_that_call_belongs(examine, lines):
    said = examine(*(line.format(port=free_port()) for line in lines))
    assert ITSELF in said and 'Put that call under `if __name__ == "__main__":`' in said
    assert 'mine.py", line' in said


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["import os", "os._exit(0)"], ["ended the process (exit status 0, os._exit?) without an error"]),
        (["import os", "os.killpg(0, 9)"], ["its import was killed (SIGKILL) without an error"]),
        (["import sys", "sys.exit(3)"], ["it ended the program: SystemExit(3)"]),
        (["name = input('name? ')"], ["EOFError", "a server has no keyboard: input() gets nothing"]),
        (
            ["import os", "print('last \\x1b[31mwords', flush=True)", "os._exit(1)"],
            ["exit status 1", "last \N{REPLACEMENT CHARACTER}[31mwords"],
        ),
        # A daemon the old way: who started it ends at once.
        (["import os", "if os.fork():", "    os._exit(0)", "os.setsid()"], ["exit status 0, os._exit?"]),
    ],
)
def test_an_import_that_ends_the_program_is_told(examine, lines, words):
    said = examine(*lines)
    assert all(word in said for word in words), said


@pytest.mark.parametrize(
    "lines",
    [
        ["import os, time", "if os.fork() == 0:", "    os.setsid()", "    time.sleep(600)"],
        ["import os", "os.fork()"],
        ["import os", "os.write(1, b'\\xff{{}}\\n' * 300_000)", "print('{{}}')"],
        ["import os, sys", "os.close(1)", "os.close(2)", "sys.stdout = None"],
        ["import os, tempfile", "gone = tempfile.mkdtemp(dir='/tmp')", "os.chdir(gone)", "os.rmdir(gone)"],
        # tiangolo/uvicorn-gunicorn-fastapi-docker#107: a thread that listens on a port of its own.
        [
            "import socket, threading",
            "own = socket.create_server(('127.0.0.1', {port}))",
            "threading.Thread(target=own.accept).start()",
        ],
        ["import subprocess", "subprocess.Popen(['sleep', '600'], start_new_session=True)"],
    ],
)
def test_what_else_an_import_does_neither_hides_the_answer_nor_stays(examine, lines):
    port = free_port()
    assert examine(*(line.format(port=port) for line in lines)).startswith('app: mine:app, "x" with 1 routes')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    "lines",
    [
        ["def model():", "    import time", "    time.sleep(600)", "model()"],
        ["import uvicorn", "uvicorn.run(app, port={port})"],
        # Kludex/uvicorn#1045: a supervisor whose child never serves.
        ["import uvicorn", "uvicorn.run('mine:app', port={port}, reload=True)"],
        # benoitc/gunicorn#2605: a factory that starts servers and waits for them.
        ["import subprocess", "subprocess.run(['sleep', '600'])"],
        ["import socket", "socket.create_server(('127.0.0.1', {port})).accept()"],
    ],
)
def test_an_import_that_does_not_end_is_told_with_its_place_and_the_way_to_give_it_more(examine, lines):
    port = free_port()
    said = examine(*(line.format(port=port) for line in lines), import_s=1.0)
    assert LATE in said and "give more with --import-timeout (IMPORT_TIMEOUT=)" in said
    assert 'It was here:\n  File "' in said and 'mine.py", line' in said
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_an_import_that_lets_nothing_else_run_is_ended_from_outside(examine, monkeypatch):
    monkeypatch.setattr(app_check, "START_S", 1.0)
    said = examine("import ctypes", "ctypes.PyDLL(None).sleep(600)", import_s=1.0)
    assert LATE in said and "It was here" not in said


def test_in_a_stack_that_is_for_one_version_it_is_unavailable(examine):
    said = examine("import os", "os._exit(0)", fixed=True)
    assert said.endswith("its import ended the process (exit status 0, os._exit?) without an error")


def test_a_signal_in_a_container_is_told_as_one():
    done = subprocess.CompletedProcess([], 128 + 9, "", "")
    assert "was killed (SIGKILL)" in app_check.ended_by_import(done)


def test_a_run_that_is_ended_during_an_import_leaves_nothing(tmp_path):
    """The app has started a daemon by then, and the signal goes to bench alone."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "load.py").write_text(
        "from locust import HttpUser\nclass Shopper(HttpUser):\n    tasks = [print]\n"
    )
    (tmp_path / "mine.py").write_text(
        "import os, subprocess, time\n"
        "daemon = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "open('pid.new', 'w').write(str(daemon.pid))\nos.rename('pid.new', 'pid')\ntime.sleep(600)\n"
    )
    words = ["--app", "mine:app", "--app-dir", tmp_path, "--locustfile", tmp_path / "load.py"]
    words += ["--configurations", "uvicorn", "--launcher", "processes", "--results", tmp_path / "results"]
    run = subprocess.Popen(
        [sys.executable, "-m", "bench", "run", "--plan", "smoke", *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
    )

    def imported():
        assert run.poll() is None
        return (tmp_path / "pid").exists()

    wait_until(imported, "the app is imported")
    tree = psutil.Process(run.pid).children(recursive=True)
    run.terminate()
    output, _ = run.communicate(timeout=LONG_S)
    assert run.returncode == 130 and "Traceback" not in output
    assert gone([*tree, int((tmp_path / "pid").read_text())])
    assert list((tmp_path / "temporary").iterdir()) == [] and not Path(tmp_path / "results").exists()
