"""Servers that listen on a Unix socket, and on no port."""

import json
import os
import signal
import socket
import tempfile
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from targets.catalogue.configurations import ConfigurationError
from targets.serving.readiness import NotReadyError, Place, get_whoami, read_identity
from tests.interpreters import without_interpreter
from tests.patience import LONG_S, wait_until

from .conftest import CATALOGUE, alive, workers_of

# One of each program that has such an option, and of each worker that Gunicorn manages.
NAMES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            without_interpreter(CATALOGUE.stacks[CATALOGUE.get(name).stack]) is not None,
            reason=f"the stack of {name} has no Python here",
        ),
    )
    for name in (
        *("sanic", "uvicorn", "gunicorn-uvicorn", "gunicorn-asgi", "granian", "hypercorn", "gunicorn-sanic"),
    )
]


@pytest.fixture
def path():
    """A path that is short enough for every server; its folder goes with the test."""
    with tempfile.TemporaryDirectory(prefix="ww-") as folder:
        yield Path(folder) / "s.sock"


def place(path):
    return Place("nowhere", 1, path)


def get(path, what):
    connection = place(path).connection(LONG_S)
    try:
        connection.request("GET", what, headers={"Connection": "close"})
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", NAMES)
def test_a_server_listens_on_a_socket_where_a_killed_one_has_left_its_own(name, serve, path):
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.is_socket()
    served = serve(name, "--unix", str(path), "--workers", str(workers_of(name))).wait_ready()
    server = served.server
    assert server["url"] == f"unix:{path}" and server["configuration"] == name
    assert get(path, "/index") == b"Hello, world!"
    assert get_whoami(place(path))["pid"] in served.pids()
    assert CATALOGUE.get(name).explains(server["command"])
    listening = [
        each.laddr
        for each in psutil.net_connections("tcp")
        if each.pid in served.pids() and each.status == psutil.CONN_LISTEN
    ]
    assert listening == []
    assert served.end() == (0, "")
    pids = served.pids()
    assert not [pid for pid in pids if alive(pid)]
    assert {int(row["pid"]) for row in served.events("died")} == pids


def test_one_that_is_started_again_takes_the_socket_of_its_predecessor(serve, path):
    served = serve("uvicorn", "--unix", str(path), "--max-requests", "3").wait_ready()
    first = get_whoami(place(path))["pid"]

    def another():
        try:
            return get_whoami(place(path))["pid"] != first
        except NotReadyError:
            return False

    wait_until(another, "its successor answers")
    assert served.end() == (0, "")


def test_a_second_copy_has_a_socket_of_its_own(serve, path):
    second = path.with_name("t.sock")
    served = serve("gunicorn-uvicorn", "--deploys", "--unix", str(path), "--swap-unix", str(second))
    served.wait_ready().process.send_signal(signal.SIGUSR1)
    wait_until((served.metrics / "standby").exists, "the second copy answers")
    assert (served.metrics / "standby").read_text() == f"unix:{second}"
    assert get_whoami(place(second))["pid"] != get_whoami(place(path))["pid"]
    assert served.end() == (0, "")


def test_an_app_of_one_s_own_listens_where_its_socket_can_be_connected_to(path):
    configuration = replace(CATALOGUE.get("sanic-single"), loop="uvloop", parser="sanic")
    identity = path.with_name("identity.json")
    identity.write_text(json.dumps({"loop": "uvloop", "parser": "sanic"}))
    with socket.socket(socket.AF_UNIX) as listener:
        with pytest.raises(NotReadyError, match=f"does not listen on {path}"):
            read_identity(identity, place(path), configuration, [os.getpid()])
        listener.bind(str(path))
        listener.listen()
        assert read_identity(identity, place(path), configuration, [])["parser"] == "sanic"


def test_where_the_catalogue_knows_of_none_it_is_refused():
    without = replace(CATALOGUE.get("sanic"), unix_argv=())
    asked = {"host": "127.0.0.1", "port": 8000, "workers": 1, "app": "targets.app:app"}
    with pytest.raises(
        ConfigurationError, match="sanic listens on no Unix socket: its table has no unix_argv"
    ):
        without.command(**asked, socket="/s")
    assert without.command(**asked)[-4:-2] == ["--workers", "1"]


def test_options_that_name_host_or_port_make_way_for_the_socket():
    joined = replace(CATALOGUE.get("uvicorn"), argv=("uvicorn", "--quiet", "--bind={host}:{port}", "{app}"))
    told = joined.command(host="h", port=1, workers=1, app="targets.app:app", socket="/s")
    assert told == ["uvicorn", "--quiet", "targets.app:app", "--uds", "/s"]
