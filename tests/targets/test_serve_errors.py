"""What can go wrong before and while serving: one clear message, its exit status, no process left."""

import resource
import signal
import socket
import subprocess

import pytest

from tests.patience import LONG_S, wait_until

from .conftest import APPS, PROJECT, alive, stack_python

ENVIRONMENT = {"PYTHONPATH": APPS}


def refused(served, status):
    """What serve says when it ends with this status; nothing of the server may be left."""
    returned, stderr = served.wait()
    assert returned == status, stderr
    assert stderr.startswith("serve: ")
    assert not (served.metrics / "server.json").exists()
    if (served.metrics / "workers.csv").exists():
        assert not [pid for pid in served.pids() if alive(pid)]
    return stderr


@pytest.mark.parametrize(
    "name", ["sanic", "sanic-single", "uvicorn", "gunicorn-uvicorn", "granian", "hypercorn"]
)
def test_an_app_that_cannot_be_imported_is_shown(serve, name):
    workers = "1" if name == "sanic-single" else "2"
    served = serve(name, "--workers", workers, "--app", "failing:app", environment=ENVIRONMENT)
    message = refused(served, 3)
    assert message.startswith(f"serve: {name} ")
    assert "the app cannot be imported" in message


def test_an_app_that_is_not_there_is_shown(serve):
    message = refused(serve("gunicorn-asgi", "--app", "targets.nothing:app"), 3)
    assert "No module named 'targets.nothing'" in message


def test_a_loop_that_is_not_the_declared_one_is_refused(serve):
    message = refused(serve("sanic-single", "--app", "other_loop:app", environment=ENVIRONMENT), 3)
    assert "its loop is 'asyncio', but 'uvloop' is declared" in message


def test_an_open_port_is_not_readiness(serve):
    served = serve("sanic-single", "--app", "silent:app", "--startup-timeout", "1", environment=ENVIRONMENT)
    message = refused(served, 3)
    assert "was not ready after 1 s: 1 of 1 workers have not started the app" in message
    assert "give more with --startup-timeout (STARTUP_TIMEOUT=)" in message


def test_a_port_in_use_is_named(serve):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = refused(serve("sanic", port=port), 4)
    assert f"port {port} of 127.0.0.1 is in use" in message


def test_a_port_is_not_shared_with_another_granian(serve):
    """Granian sets SO_REUSEPORT: two of them would start and share the requests."""
    first = serve("granian").wait_ready()
    message = refused(serve("granian", port=first.port), 4)
    assert f"port {first.port} of 127.0.0.1 is in use by process" in message
    assert first.get_json("/whoami")["pid"] in first.pids()


@pytest.mark.parametrize("name", ["sanic-single", "gunicorn-uvicorn", "granian"])
def test_a_port_is_free_again_at_once(serve, name):
    """Connections that the first server closed are in TIME_WAIT when the second one starts."""
    first = serve(name).wait_ready()
    connection = first.connect()
    connection.request("GET", "/index")
    connection.getresponse().read()
    first.end()
    connection.close()
    second = serve(name, port=first.port).wait_ready()
    assert second.get_json("/whoami")["pid"] in second.pids()


def test_an_unknown_configuration_is_answered_with_the_nearest():
    returned, stderr = run("gunicorn-uvcorn")
    assert returned == 2
    assert stderr == "serve: there is no configuration 'gunicorn-uvcorn'; did you mean 'gunicorn-uvicorn'?\n"


def test_recycling_that_the_server_cannot_do_is_refused():
    returned, stderr = run("granian", "--max-requests", "100")
    assert returned == 2
    assert "granian counts no requests, it replaces a worker for its memory: give max_rss instead" in stderr


def test_a_stack_that_is_missing_is_reported():
    """On Python 3.10 and later Sanic's Gunicorn worker only seems to work."""
    returned, stderr = run("gunicorn-sanic")
    assert returned == 2
    assert "stack sanic-21.12 needs Python 3.9 or 3.8, and this is 3.1" in stderr
    assert ".venvs/sanic-21.12/bin/python" in stderr
    assert "make setup" in stderr


@pytest.mark.parametrize(
    "options", [["--port", "0"], ["--workers", "0"], ["--max-requests", "x"], ["--colour"]]
)
def test_wrong_arguments_are_refused(options):
    returned, stderr = run("sanic", *options)
    assert returned == 2
    assert options[0] in stderr
    assert "Traceback" not in stderr


def test_an_address_that_is_not_ours_is_refused():
    returned, stderr = run("sanic", "--host", "192.0.2.1")
    assert returned == 2
    assert "cannot listen on 192.0.2.1:8000: Cannot assign requested address" in stderr


def test_a_folder_serves_once(serve):
    served = serve("sanic-single").wait_ready()
    served.end()
    before = (served.metrics / "processes.csv").read_text()
    returned, stderr = subprocess_result(served.command)
    assert returned == 2
    assert "is there already: choose an empty folder" in stderr
    assert (served.metrics / "processes.csv").read_text() == before


def test_a_full_disk_ends_the_server(serve):
    """The limit on the size of a file stands in for a disk that fills up while metrics are written."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))

    served = serve("granian", "--sample-interval", "0.01", prepare=limit)
    returned, stderr = served.wait()
    assert returned == 6
    assert "processes.csv" in stderr
    assert "File too large" in stderr
    assert "Traceback" not in stderr
    assert not [pid for pid in served.pids() if alive(pid)]


def test_asked_to_stop_while_starting(serve):
    # Which never says that it is ready, however long the test takes.
    served = serve("sanic", "--workers", "2", "--app", "silent:app", environment=ENVIRONMENT)
    wait_until((served.metrics / "server.log").exists, "the server is started")
    assert served.end(signal.SIGINT) == (0, "")
    assert not (served.metrics / "server.json").exists()
    assert not [pid for pid in served.pids() if alive(pid)]


def run(*arguments):
    return subprocess_result(
        [str(stack_python("current")), "-m", "targets.serve", *arguments, "--metrics", "unused"]
    )


def subprocess_result(command):
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=LONG_S, check=False)
    return result.returncode, result.stderr
