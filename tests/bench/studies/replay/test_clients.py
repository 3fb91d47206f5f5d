import signal
import subprocess

import psutil
import pytest

from bench.model.files import ROOT
from bench.studies.replay import figures
from bench.studies.replay.measure import run_clients
from bench.studies.self_check.readings import MeasurementError
from tests.patience import LONG_S, wait_until

PROCESSES, REQUESTS = 4, 5


@pytest.fixture
def run(tmp_path, clients):
    """Runs the clients against a server; more arguments are added to their command."""

    def run(server, *arguments, client="process", timeout_s=LONG_S):
        command = [str(clients.python), "-m", "bench.studies.replay.clients", f"{server.url}/index"]
        command += ["--processes", str(PROCESSES), "--requests", str(REQUESTS), "--client", client]
        return run_clients([*command, *arguments], [0], tmp_path / "place", server, timeout_s)

    return run


def test_every_process_keeps_its_connection(make, run, tmp_path):
    with make.TinyServer() as server:
        report = run(server)
    assert server.requests == PROCESSES * REQUESTS
    assert len(server.connections) == PROCESSES
    assert len(report.tasks) == PROCESSES and figures.failures(report) == {}
    assert all(each.asked is None and each.cpu_s > 0 for each in report.tasks)
    # No answer comes before the delay, however the machine is.
    for each in report.tasks:
        assert 0 <= each.began_s <= each.ready_s
        assert each.ended_s - each.ready_s >= REQUESTS * make.delay_s
        assert each.ended_s <= report.done_s
    assert (tmp_path / "place" / "clients.json").exists()


def test_a_client_for_each_request_opens_a_connection_for_each(make, run):
    with make.TinyServer() as server:
        report = run(server, client="request")
    assert server.requests == len(server.connections) == PROCESSES * REQUESTS
    assert report.client == "request" and figures.failures(report) == {}


@pytest.mark.parametrize("client", ["process", "request"])
def test_recorded_requests_say_when_what_happened(make, run, client):
    with make.TinyServer() as server:
        report = run(server, "--record", client=client)
    rows = [row for each in report.tasks for row in each.asked]
    assert len(rows) == server.requests == PROCESSES * REQUESTS
    assert sum(row.connections for row in rows) == len(server.connections)
    for row in rows:
        assert row.start_s <= row.sent_s <= row.answered_s <= row.end_s
        assert row.end_s - row.start_s >= make.delay_s
        assert (row.connect_s is not None) == (row.connections == 1)
    # One after the other, in each process.
    for each in report.tasks:
        assert all(one.end_s <= next_.start_s for one, next_ in zip(each.asked, each.asked[1:], strict=False))


def test_processes_ask_at_the_same_time(make, run):
    with make.TinyServer(delay_s=0.1) as server:
        report = run(server, "--record")
    found = figures.figures(report, 0.01).steps
    assert found.most_in_a_process == 1 and found.called.peak > 1


@pytest.mark.parametrize(("how", "kind"), [("status", "status 503"), ("close", "RemoteProtocolError")])
def test_failed_requests_are_counted_by_kind(make, run, how, kind):
    with make.TinyServer(bad=lambda number: how if number in (3, 9) else None) as server:
        report = run(server, "--record")
    assert figures.failures(report) == {kind: 2}
    assert sum(len(each.asked) for each in report.tasks) == PROCESSES * REQUESTS - 2
    assert figures.figures(report, 0.1) is None


def test_a_server_that_is_not_there_fails_every_request(make, run):
    with make.TinyServer() as server:
        pass
    assert figures.failures(run(server)) == {"ConnectError": PROCESSES * REQUESTS}


def test_proxies_of_the_environment_are_not_used(make, run, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with make.TinyServer() as server:
        assert figures.failures(run(server)) == {}
    assert server.requests == PROCESSES * REQUESTS


def test_clients_that_cannot_run_say_why(make, run):
    with (
        make.TinyServer() as server,
        pytest.raises(MeasurementError, match=r"exit status 2.*\n(.*\n)*.*--nonsense"),
    ):
        run(server, "--nonsense")


def test_clients_that_take_too_long_are_ended(make, run):
    before = set(psutil.Process().children(recursive=True))
    with (
        make.TinyServer(delay_s=2.0) as server,
        pytest.raises(MeasurementError, match="did not end within 1 s"),
    ):
        run(server, timeout_s=1.0)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_clients_end_when_the_server_is_gone(make, run):
    before = set(psutil.Process().children(recursive=True))
    with make.TinyServer(delay_s=0.5) as server:
        server.failure = lambda: "the server ended by itself" if server.requests else None
        with pytest.raises(MeasurementError, match="ended by itself"):
            run(server)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_processes_of_the_pool_do_not_outlive_their_parent(make, clients):
    with make.TinyServer(delay_s=1.0) as server:
        command = [str(clients.python), "-m", "bench.studies.replay.clients", f"{server.url}/index"]
        command += ["--processes", "3", "--requests", "100000", "--client", "process"]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            wait_until(lambda: server.requests >= 3 or process.poll() is not None, "they ask")
            assert process.poll() is None
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) == 3
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
        assert psutil.wait_procs(family, LONG_S)[1] == []
