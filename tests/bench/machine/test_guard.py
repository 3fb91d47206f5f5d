"""Programs that run other people's code: whatever these do, nothing of it is left, and nobody else is met."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.machine.processes import kill_tree, outcome, spawn
from tests.bench.commands import gone
from tests.patience import wait_until
from tests.shared import held

# The pid of a process that has left session and parent behind goes to a file.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        with open({0!r} + ".new", "w") as file:
            file.write(str(os.getpid()))
        os.rename({0!r} + ".new", {0!r})
        time.sleep(600)
    os._exit(0)
while not os.path.exists({0!r}):
    time.sleep(0.01)
"""


def started(code, **options):
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return spawn([sys.executable, "-c", code], sorted(os.sched_getaffinity(0)), guarded=True, **streams)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(7)", 7),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os; os.abort()", -signal.SIGABRT),
        # Sanic's manager does this to all that shares its group (sanic-org/sanic#2539 runs it at import).
        ("import os, signal; os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.killpg(os.getsid(0), signal.SIGKILL)", -signal.SIGKILL),
    ],
)
def test_the_guard_ends_as_the_program_does(code, status):
    assert outcome(started(code), 60).returncode == status


def test_a_program_that_is_not_there_is_told():
    missing = spawn(["no-such-program"], [0], stderr=subprocess.PIPE, guarded=True)
    done = outcome(missing, 60)
    assert (done.returncode, done.stderr) == (127, "no-such-program: No such file or directory\n")


def test_what_a_program_says_is_kept_to_its_end_whatever_it_is():
    code = "import os; os.write(1, b'x' * 3_000_000 + b'\\xff\\n{}'); os.write(2, b'\\x00')"
    done = outcome(started(code), 60)
    assert done.stdout.endswith("x\N{REPLACEMENT CHARACTER}\n{}") and len(done.stdout) <= 1 << 20
    assert done.stderr == "\0"


@pytest.mark.parametrize("end", ["", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_no_daemon_of_a_program_outlives_it_or_keeps_its_streams_open(tmp_path, end):
    file = tmp_path / "pid"
    outcome(started(DAEMON.format(str(file)) + end), 60)
    assert gone([int(file.read_text())])


def test_a_program_that_takes_too_long_is_killed_with_its_daemons(tmp_path):
    file = tmp_path / "pid"
    process = started(
        f"import signal\nsignal.signal(15, signal.SIG_IGN)\n{DAEMON.format(str(file))}time.sleep(600)"
    )
    while not file.exists():
        time.sleep(0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        outcome(process, 0.1)
    assert gone([int(file.read_text())]) and process.poll() is not None


def test_nothing_that_is_killed_is_started_anew(tmp_path):
    """A manager starts another worker whenever one has died."""
    code = (
        "import subprocess, sys\nprint('on', flush=True)\n"
        "while True: subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    process = started(code)
    assert process.stdout.readline() == b"on\n"
    tree = psutil.Process(process.pid).children(recursive=True)
    kill_tree(process)
    process.stdout.close(), process.stderr.close()
    assert gone(tree) and not psutil.pid_exists(process.pid)


@pytest.mark.parametrize("end", [kill_tree, lambda process: (process.kill(), process.wait())])
def test_what_a_killed_program_shares_by_name_is_removed(end):
    """Python's multiprocessing has a process for that, which must not be killed with the others."""
    code = (
        "import multiprocessing, time\nevent = multiprocessing.get_context('spawn').Event()\n"
        "print('on', flush=True)\ntime.sleep(600)"
    )
    process = started(code)
    assert process.stdout.readline() == b"on\n"
    tree = psutil.Process(process.pid).children(recursive=True)
    shared = held(each.pid for each in tree)
    assert len(shared) == 5
    end(process)
    process.stdout.close(), process.stderr.close()
    assert gone(tree)
    wait_until(lambda: not [path for path in shared if path.exists()], "it is removed")


def test_a_guard_is_not_stopped_while_its_program_is_killed(monkeypatch):
    """Whoever kills it may be killed in that moment: a guard that is stopped would stay for good."""
    monkeypatch.setattr(psutil.Process, "suspend", lambda stopped: pytest.fail(f"{stopped} is stopped"))
    process = started("print('on', flush=True); import time; time.sleep(600)")
    assert process.stdout.readline() == b"on\n"
    tree = psutil.Process(process.pid).children(recursive=True)
    kill_tree(process)
    process.stdout.close(), process.stderr.close()
    assert tree and gone(tree) and not psutil.pid_exists(process.pid)


def test_signals_reach_the_program():
    code = (
        "import signal, sys\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True)\nsignal.pause()"
    )
    process = started(code)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGUSR1)
    assert outcome(process, 60).returncode == 9


def test_nothing_is_left_if_the_suite_itself_is_killed(tmp_path):
    """The program is asked to end, and killed if it does not."""
    file = tmp_path / "pid"
    code = f"import signal\nsignal.signal(15, signal.SIG_IGN)\n{DAEMON.format(str(file))}time.sleep(600)"
    suite = (
        "import sys, time\nfrom bench.machine.processes import spawn\n"
        "spawn([sys.executable, '-c', sys.argv[1]], [0], guarded=True)\ntime.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", suite, code])
    while not file.exists():
        time.sleep(0.01)
    tree = psutil.Process(starter.pid).children(recursive=True)
    starter.kill()
    starter.wait()
    assert len(tree) >= 3 and gone(tree)
