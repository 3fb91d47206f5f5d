"""Several servers at once: started together, and none of them disturbs another."""

import os
import signal
import threading
from dataclasses import replace

import psutil
import pytest

from bench.launch import local, serving
from bench.launch.local import Processes
from bench.launch.server import ServerError
from bench.launch.starting import ServerRequest
from bench.machine import topology
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


def affinities(pid):
    """The CPUs of each thread of a process and of all below it."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    threads = [thread.id for each in processes for thread in each.threads()]
    return [os.sched_getaffinity(thread) for thread in threads]


def begun_on(monkeypatch):
    """The CPUs on which programs are started from now on, each in its turn."""
    begun, spawn = [], local.spawn

    def noting(command, cpus, **others):
        begun.append(tuple(cpus))
        return spawn(command, cpus, **others)

    monkeypatch.setattr(local, "spawn", noting)
    return begun


def test_servers_start_on_cpus_that_rest_as_well_and_end_up_on_their_own(
    tmp_path, current, requests, monkeypatch
):
    usable = sorted(os.sched_getaffinity(0))
    begun = begun_on(monkeypatch)
    wanted = [
        replace(each, cpus=(usable[0],), resting=(usable[1],))
        for each in requests("sanic", "gunicorn-uvicorn", workers=2)
    ]
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        servers = launcher.start_all(wanted)
        assert sorted(begun) == [(usable[0],), (usable[1],)], "each has CPUs for itself while it starts"
        for server in servers:
            found = affinities(server.process.child.pid)
            assert len(found) >= 4 and set(map(frozenset, found)) == {frozenset(usable[:1])}
            assert server.cpus == (usable[0],)


def test_servers_stay_where_others_are_not_as_good(lightly, requests, monkeypatch):
    begun = begun_on(monkeypatch)
    far = {0: topology.Place("0"), 1: topology.Place("1", memory=1)}
    monkeypatch.setattr(topology, "read", lambda cpus: {cpu: far[cpu] for cpu in cpus})
    with lightly() as launcher:
        launcher.start_all([replace(each, resting=(1,)) for each in requests("one", "two")])
    assert begun == [(0,), (0,)]


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
