"""Several servers at once: started together, and none of them disturbs another."""

import os
import signal
import threading

import psutil
import pytest

from bench.launch import local, serving
from bench.launch.local import Processes
from bench.launch.server import ServerError
from bench.launch.starting import ServerRequest
from tests.bench.commands import gone
from tests.patience import LONG_S
from tests.ports import free_port


@pytest.fixture
def requests(tmp_path, catalogue, light, entries):
    """Makes what `start_all` is told; a name that no catalogue has is a server that does not start."""
    known = {**light.configurations, **catalogue.configurations}

    def make(*names, workers=1):
        found = [known[name] if name in known else entries(name)[name] for name in names]
        return [ServerRequest(each, workers, tmp_path / f"{place}", (0,)) for place, each in enumerate(found)]

    return make


def test_servers_start_together_and_one_that_fails_disturbs_none(lightly, requests, monkeypatch):
    begun, pending = [], []

    def begin(launcher, attempt, begin=Processes._begin):
        begin(launcher, attempt)
        begun.append(attempt)
        pending.append(sum(each.outcome is None for each in begun))

    monkeypatch.setattr(Processes, "_begin", begin)
    monkeypatch.setattr(serving, "_STARTING_AT_ONCE", 2)
    with lightly() as launcher:
        wanted = requests("one", "nobody", "two", "two")
        first, failed, *others = launcher.start_all(wanted)
        assert isinstance(failed, ServerError) and "nobody did not start" in str(failed)
        assert not any(isinstance(each, ServerError) for each in (first, *others)), (first, *others)
        served = [server.facts["configuration"] for server in (first, *others)]
        assert served == ["one", "two", "two"]
        assert len({server.url for server in (first, *others)}) == 3
        assert max(pending) == 2, "no more start at once than the limit says"
        for server in (first, *others):
            launcher.stop(server)
        launcher.settle()
        assert all(server.asked_to_end for server in (first, *others))


def test_ports_do_not_collide(lightly, requests, monkeypatch):
    free = local.free_port()
    ports = iter([free, free, free, local.free_port()])
    monkeypatch.setattr(local, "free_port", lambda: next(ports))
    with lightly() as launcher:
        one, other = launcher.start_all(requests("one", "one"))
        assert one.url.endswith(f":{free}") and not other.url.endswith(f":{free}")


def test_a_given_port_is_that_of_the_first(lightly, requests):
    port = free_port()
    with lightly(port=port) as launcher:
        one, other = launcher.start_all(requests("one", "one"))
        assert one.url.endswith(f":{port}") and other.url.endswith(f":{port + 1}")


def test_the_processes_of_a_server_are_those_below_serve(tmp_path, current, requests):
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        one, other = launcher.start_all(requests("sanic", "gunicorn-uvicorn", workers=2))
        for server in (one, other):
            serve = psutil.Process(server.process.child.pid)
            below = {each.pid for each in serve.children(recursive=True) if each.name() != "sh"}
            assert set(launcher.pids(server)) == below and server.facts["pid"] in below and len(below) >= 3
        os.kill(one.facts["pid"], signal.SIGKILL)
        one.process.child.wait(LONG_S)
        assert launcher.pids(one) == []


def test_servers_that_are_being_started_end_with_an_interruption(tmp_path, current, requests, monkeypatch):
    started = []
    spawn = local.spawn
    monkeypatch.setattr(
        local, "spawn", lambda *words, **options: started.append(spawn(*words, **options)) or started[-1]
    )
    main = threading.main_thread().ident
    with (
        pytest.raises(KeyboardInterrupt),
        Processes().open({"current": current}, tmp_path, print) as launcher,
    ):
        interruption = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        interruption.start()
        try:
            launcher.start_all(requests("sanic-single", "uvicorn"))
            threading.Event().wait(60)
        finally:
            interruption.join()
            trees = [
                process
                for child in started
                if psutil.pid_exists(child.pid)
                for process in (
                    psutil.Process(child.pid),
                    *psutil.Process(child.pid).children(recursive=True),
                )
            ]
    assert len(started) == 2 and gone(trees)
