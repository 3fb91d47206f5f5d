"""A new release of the app, which a server takes up when serve is told to deploy."""

import signal

import pytest

from targets.serving.deploys import way_of
from targets.serving.readiness import Place, get_whoami
from tests.patience import wait_until
from tests.ports import free_port

from ..conftest import CATALOGUE, alive


@pytest.mark.parametrize(
    ("name", "workers", "way"),
    [
        ("sanic", 1, "inspector"),
        ("sanic-single", 1, "restart"),
        ("uvicorn", 1, "restart"),
        ("uvicorn", 2, "HUP"),
        ("gunicorn-asgi", 1, "HUP"),
    ],
)
def test_each_server_is_told_in_its_way(name, workers, way):
    assert way_of(CATALOGUE.get(name), workers) == way


def announced(served):
    """The release of each worker that has started, by its pid."""
    lines = served.metrics.joinpath("ready.csv").read_text().splitlines()
    return {int(pid): release for _, pid, release in (line.split(",") for line in lines)}


@pytest.mark.parametrize(
    ("name", "release"),
    [
        ("sanic", "2"),
        ("sanic-single", "2"),
        ("gunicorn-uvicorn", "2"),
        # Its workers are forked from the process that has imported the app.
        ("gunicorn-uvicorn-preload", "1"),
    ],
)
def test_workers_of_a_deploy_have_the_release_that_they_import(serve, name, release):
    served = serve(name, "--deploys").wait_ready()
    assert served.server["deploys_by"] == way_of(CATALOGUE.get(name), 1)
    (first,) = announced(served)
    assert announced(served) == {first: "1"}
    served.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(announced(served)) == 2, "another worker has started")
    (successor,) = announced(served).keys() - {first}
    assert announced(served)[successor] == release
    wait_until(lambda: str(first) in {row["pid"] for row in served.events("died")}, "the first one has ended")
    assert served.get_json("/whoami")["pid"] == successor
    roles = {row["role"] for row in served.events("ready")}
    assert roles == {"worker"}
    assert served.end() == (0, "")


def test_a_second_copy_takes_up_the_release_and_the_first_one_ends_when_told(serve):
    other = free_port()
    served = serve("gunicorn-uvicorn", "--deploys", "--swap-port", str(other)).wait_ready()
    (first,) = announced(served)
    standby = served.metrics / "standby"
    served.process.send_signal(signal.SIGUSR1)
    wait_until(standby.exists, "the second copy answers")
    (second,) = announced(served).keys() - {first}
    assert standby.read_text() == f"http://127.0.0.1:{other}" and announced(served)[second] == "2"
    assert served.get_json("/whoami")["pid"] == first, "both serve"
    assert get_whoami(Place("127.0.0.1", other))["pid"] == second
    served.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(served.events("died")) == 2, "the first copy has ended, its manager too")
    assert {int(row["pid"]) for row in served.events("died")} == {first, served.server["pid"]}
    assert get_whoami(Place("127.0.0.1", other))["pid"] == second
    assert served.server["deploys_by"] == "swap" and len(served.events("born", "manager")) == 2
    assert served.end() == (0, "") and not any(alive(pid) for pid in served.pids())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_two_copies(serve, number):
    served = serve("sanic-single", "--deploys", "--swap-port", str(free_port())).wait_ready()
    served.process.send_signal(signal.SIGUSR1)
    wait_until((served.metrics / "standby").exists, "the second copy answers")
    assert len(served.pids()) == 2
    served.end(number)
    wait_until(lambda: not any(alive(pid) for pid in served.pids()), "both have ended")


def test_without_releases_the_signal_means_nothing(serve):
    served = serve("sanic-single").wait_ready()
    served.process.send_signal(signal.SIGUSR1)
    pid = served.server["pid"]
    assert served.get_json("/whoami")["pid"] == pid and served.server["deploys_by"] is None
    assert announced(served) == {pid: ""}
