"""Each rule of targets/recycle.py on Sanic's own server, and that nothing happens on others.

The servers that lose requests without it lose few, and seldom: where a rule can be tested on a single
request, or on the order of events, it is.
"""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter

import pytest

from tests.patience import LONG_S, wait_until

from .closed_loop import closed_loop, exchange, receive, send
from .conftest import APPS, PROJECT, alive, stack_python

ASKS = "asking for its successor"


@pytest.fixture
def recycled(serve, tmp_path):
    """Serve the app of the tests with the arguments of `recycle_after`; it logs to `notes`."""

    def start(*options, name="sanic", environment=None, **arguments):
        arguments = {"max_requests": 10, "minimum_age_s": 1.0, **arguments}
        environment = {
            "PYTHONPATH": APPS,
            "RECYCLED": json.dumps(arguments),
            "RECYCLED_LOG": str(tmp_path / "notes"),
            **(environment or {}),
        }
        return serve(name, "--app", "recycled:app", *options, environment=environment).wait_ready()

    return start


def log_of(served):
    return (served.metrics / "server.log").read_text()


def connect(served):
    return socket.create_connection(("127.0.0.1", served.port), timeout=LONG_S)


def ask(served, times=1):
    """The pids that answered so many requests, each on a connection of its own."""
    return [int(served.request("GET", "/pid")[2]) for _ in range(times)]


def living_workers(served):
    """Of those that serve has noted as ready by now: of successors it hears with its next sample."""
    return {int(row["pid"]) for row in served.events("ready", "worker") if alive(int(row["pid"]))}


def worker_of(served):
    return served.server["whoami"]["pid"]


def test_a_worker_is_replaced_after_its_requests_and_not_before(recycled):
    served = recycled(max_requests=30)
    first = worker_of(served)
    assert set(ask(served, 15)) == {first}
    time.sleep(1.5)  # older than its minimum age now, so that only requests are missing
    assert ASKS not in log_of(served), "fewer than 30 requests, with those of readiness"
    ask(served, 15)
    wait_until(lambda: not alive(first), "the worker is replaced")
    wait_until(lambda: len(living_workers(served)) == 1, "its successor is noted")
    (second,) = living_workers(served)
    assert ask(served, 3) == [second] * 3
    assert log_of(served).count(ASKS) == 1


def test_a_worker_is_not_replaced_before_its_minimum_age(recycled):
    served = recycled(max_requests=5, minimum_age_s=1000)
    first = worker_of(served)
    assert set(ask(served, 20)) == {first}
    time.sleep(1)
    assert set(ask(served, 20)) == {first}
    assert ASKS not in log_of(served)


def test_each_worker_draws_its_jitter(recycled):
    served = recycled("--workers", "3", max_requests=30, jitter=1000)

    def drawn():
        return [int(number) for number in re.findall(r"to be replaced after (\d+) requests", log_of(served))]

    # Each draws, and says so, after it has announced itself.
    wait_until(lambda: len(drawn()) == 3, "each has drawn")
    time.sleep(0.3)  # a manager that is told to stop before it has noted them all spins until they are gone
    assert all(30 <= number <= 1030 for number in drawn())
    assert len(set(drawn())) > 1


@pytest.mark.parametrize("workers", [1, 2])
def test_small_n_leaks_no_worker(recycled, workers):
    """Without a minimum age a single worker asks again before the manager has ended its predecessor.

    That it looks around before it asks takes a moment, which may be long enough: not here.
    """
    served = recycled("--workers", str(workers), max_requests=5, environment={"RECYCLED_LOOK_S": "0.001"})

    def several():
        closed_loop(served.port, "/pid", clients=4, requests=40, keep_alive=False)
        return log_of(served).count(ASKS) >= 4

    # Each has its five requests at once: the rest of the CPU is for who starts.
    wait_until(several, "four workers have asked for a successor", again_s=0.05)
    wait_until(lambda: len(living_workers(served)) == workers, "no other workers are left")
    assert "AttributeError" not in log_of(served)


def test_arguments_that_make_no_sense_are_refused():
    cases = {
        "recycle_after(app, 0)": "max_requests must be at least 1",
        "recycle_after(app, 5, -1)": "jitter not negative",
        "recycle_after(app, 5, minimum_age_s=0.5)": "minimum_age_s must be at least 1",
    }
    lines = ["from sanic import Sanic", "from targets.recycle import recycle_after", "app = Sanic('a')"]
    for call in cases:
        lines += ["try:", f"    {call}", "except ValueError as error:", "    print(error)"]
        lines += ["else:", "    print('taken')"]
    command = [stack_python("current"), "-c", "\n".join(lines)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    for said, message in zip(ran.stdout.splitlines(), cases.values(), strict=True):
        assert message in said


def test_a_port_in_use_is_told_by_sanic_alone():
    """Its own words are hard enough to find: nothing of ours is among them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(
            [stack_python("current"), "-m", "sanic", "recycled:app", "--port", port, "--workers", "1"],
            cwd=PROJECT,
            env={
                **os.environ,
                "PYTHONPATH": f"{PROJECT}:{APPS}",
                "RECYCLED": json.dumps({"max_requests": 10}),
            },
            capture_output=True,
            text=True,
            timeout=LONG_S,
        )
    said = ran.stdout + ran.stderr
    assert "in use" in said
    assert "end_restarts" not in said and "SanicException" not in said


def test_workers_that_come_due_together_are_replaced_one_after_the_other(recycled, tmp_path):
    """The start of a successor is noted, and when it is ready: none starts while another does."""
    served = recycled("--workers", "3", max_requests=1, jitter=0, environment={"RECYCLED_IMPORT_S": "1"})
    first = living_workers(served)

    def all_are_due():
        ask(served, 5)
        return not [pid for pid in first if alive(pid)]

    wait_until(all_are_due, "all workers are replaced", again_s=0.05)
    notes = [line.split(" ", 1) for line in (tmp_path / "notes").read_text().splitlines()]
    successors = [(pid, what) for pid, what in notes if int(pid) not in first]
    started = [pid for pid, what in successors if what == "imports"]
    ready = [pid for pid, what in successors if what == "is ready"]
    assert len(ready) >= 3
    expected = [(pid, what) for pid in started for what in ("imports", "is ready")]
    assert successors == expected[: len(successors)]


def test_of_workers_that_are_due_at_the_same_moment_one_asks(recycled):
    """The manager sleeps, so that its notice that a successor starts does not hold the others back."""
    served = recycled("--workers", "3", max_requests=1)
    first = living_workers(served)
    manager = served.server["pid"]
    os.kill(manager, signal.SIGSTOP)
    try:
        seen = set()
        wait_until(lambda: seen.update(ask(served)) or seen == first, "each has answered a request")
        wait_until(lambda: ASKS in log_of(served), "one asks")
        time.sleep(1.5)  # the others are older than their minimum age by now
        assert log_of(served).count(ASKS) == 1
    finally:
        os.kill(manager, signal.SIGCONT)
    wait_until(lambda: not [pid for pid in first if alive(pid)], "all are replaced")


def test_what_the_replaced_worker_has_noted_holds_nobody_back(recycled, tmp_path):
    """Its successor inherits the note, and here it never comes to say anything itself."""
    late = tmp_path / "late"
    environment = {"RECYCLED_LATE": str(late)}
    served = recycled("--workers", "3", max_requests=1, environment=environment)
    first = living_workers(served)
    late.touch()

    def all_are_replaced():
        ask(served, 5)
        return not [pid for pid in first if alive(pid)]

    wait_until(all_are_replaced, "all are replaced", timeout_s=60)
    late.unlink()


def test_a_failed_successor_stops_nobody_else(recycled, tmp_path):
    """Its worker serves on and does not ask again; the others still have their turn."""
    broken = tmp_path / "broken"
    environment = {"RECYCLED_BROKEN": str(broken)}
    served = recycled("--workers", "2", "--grace-period", "20", max_requests=1, environment=environment)
    first = living_workers(served)
    broken.touch()

    def both_have_asked():
        ask(served, 5)
        return log_of(served).count(ASKS) == 2

    wait_until(both_have_asked, "both workers ask for a successor")
    notes = tmp_path / "notes"
    wait_until(lambda: notes.read_text().count("imports") == 4, "both successors have tried to start")
    assert set(ask(served, 50)) <= first
    assert living_workers(served) == first
    assert log_of(served).count(ASKS) == 2
    assert served.end() == (0, "")
    assert "-9" not in [row["exit_status"] for row in served.events("died")]


def test_a_stopping_worker_closes_each_connection_with_its_current_answer(recycled, tmp_path):
    served = recycled(max_requests=1000)
    idle, busy = connect(served), connect(served)
    exchange(idle, "/pid")
    send(busy, f"/wait?file={tmp_path / 'go'}")
    wait_until(lambda: "waits" in (tmp_path / "notes").read_text(), "the handler runs")
    os.kill(worker_of(served), signal.SIGTERM)
    assert idle.recv(1) == b""
    (tmp_path / "go").touch()
    assert b"\r\nconnection: close\r\n" in receive(busy)
    assert busy.recv(1) == b""


def test_a_stopping_worker_closes_a_busy_connection_after_its_next_answer(recycled, tmp_path):
    """A connection that had its answer sent before the stop, and asks again."""
    served = recycled(max_requests=1000, environment={"RECYCLED_IDLE_S": "10"})
    idle, fresh = connect(served), connect(served)
    assert b"\r\nconnection: keep-alive\r\n" in exchange(idle, "/pid")
    os.kill(worker_of(served), signal.SIGTERM)
    wait_until(lambda: "Stopping worker" in log_of(served), "the worker stops")
    time.sleep(0.3)  # by now Sanic would have closed it
    for connection in idle, fresh:
        assert b"\r\nconnection: close\r\n" in exchange(connection, "/pid")
        assert connection.recv(1) == b""


def test_a_stopping_worker_answers_what_has_arrived_on_an_idle_connection(recycled, tmp_path):
    """The loop is busy when the connection is to be closed, and meanwhile a request arrives on it."""
    idle_s = 1.5
    served = recycled(max_requests=1000, environment={"RECYCLED_IDLE_S": str(idle_s)})
    idle, busy = connect(served), connect(served)
    exchange(idle, "/pid")
    exchange(busy, "/pid")
    os.kill(worker_of(served), signal.SIGTERM)
    wait_until(lambda: "Stopping worker" in log_of(served), "the worker stops")
    send(busy, f"/block?file={tmp_path / 'go'}")
    wait_until(lambda: "blocks" in (tmp_path / "notes").read_text(), "the loop is busy")
    send(idle, "/pid")
    time.sleep(idle_s + 0.2)  # by now the connection was to be closed
    (tmp_path / "go").touch()
    assert b"\r\nconnection: close\r\n" in receive(idle)
    assert b"\r\nconnection: close\r\n" in receive(busy)


def test_a_stopping_worker_does_not_ask_for_a_successor(recycled, tmp_path):
    """It has one: to ask would restart that one."""
    served = recycled(max_requests=20)
    worker = worker_of(served)
    ask(served, 12)
    last, busy = connect(served), [connect(served) for _ in range(8)]
    send(last, f"/wait?file={tmp_path / 'end'}")
    for connection in busy:
        send(connection, f"/wait?file={tmp_path / 'go'}")
    wait_until(lambda: (tmp_path / "notes").read_text().count("waits") == 9, "the handlers run")
    time.sleep(1.2)  # older than its minimum age: it could ask at once
    os.kill(worker, signal.SIGTERM)
    wait_until(lambda: "Stopping worker" in log_of(served), "the worker stops")
    (tmp_path / "go").touch()
    for connection in busy:
        receive(connection)
    time.sleep(0.5)  # the worker is still there, for the last request, and would ask by now
    (tmp_path / "end").touch()
    receive(last)
    wait_until(lambda: not alive(worker), "the worker ends")
    assert ASKS not in log_of(served)


def test_a_stop_in_mid_restart_is_gentle_and_does_not_wait_for_the_successor(recycled, tmp_path):
    served = recycled("--grace-period", "20", max_requests=3, environment={"RECYCLED_IMPORT_S": "1.5"})
    notes = tmp_path / "notes"
    busy = connect(served)
    send(busy, f"/wait?file={tmp_path / 'go'}")
    ask(served, 3)
    wait_until(lambda: notes.read_text().count("imports") == 2, "the successor starts")
    served.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Stopping worker" in log_of(served), "the old worker stops")
    time.sleep(1.5)  # by now Sanic would have ended it
    (tmp_path / "go").touch()
    assert receive(busy).startswith(b"HTTP/1.1 200")
    assert served.wait() == (0, "")
    assert "-9" not in [row["exit_status"] for row in served.events("died")]
    assert "KeyError" not in log_of(served)


@pytest.mark.parametrize("name", ["sanic-single", "uvicorn"])
def test_it_is_inert_without_a_manager(recycled, name):
    served = recycled(name=name, max_requests=3)
    connection = served.connect()
    for _ in range(20):
        connection.request("GET", "/pid")
        assert int(connection.getresponse().read()) == worker_of(served)
    assert served.end() == (0, "")
    assert "successor" not in log_of(served)
    assert "Traceback" not in log_of(served)


def test_without_a_manager_a_stop_is_left_as_it_is(recycled, tmp_path):
    served = recycled(name="sanic-single", max_requests=3)
    busy = connect(served)
    send(busy, f"/wait?file={tmp_path / 'go'}")
    wait_until(lambda: "waits" in (tmp_path / "notes").read_text(), "the handler runs")
    served.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Stopping worker" in log_of(served), "the server stops")
    (tmp_path / "go").touch()
    assert b"\r\nconnection: keep-alive\r\n" in receive(busy)
    busy.close()
    assert served.wait() == (0, "")


@pytest.mark.parametrize("keep_alive", [True, False], ids=["keep-alive", "connection-per-request"])
def test_no_request_is_lost_over_several_restarts(serve, keep_alive):
    """With the app that is measured; its log tells that each request ran, and ran once.

    Clients pause, which leaves the CPU to workers that start, and kept connections idle when theirs stop.
    """
    recycling = ("--max-requests", "200", "--max-requests-jitter", "50", "--log-requests")
    served = serve("sanic", "--workers", "2", *recycling).wait_ready()
    answered = 0

    def several():
        nonlocal answered
        tally = closed_loop(served.port, "/index", 16, requests=500, keep_alive=keep_alive, pause_s=0.02)
        assert not tally.lost
        answered += len(tally.answered)
        # Of those that replaced four workers the last may not have had a request yet.
        return log_of(served).count("Worker complete") >= 4 and len(who_served()) >= 6

    def who_served():
        return {row["pid"] for row in served.rows("requests.csv")}

    wait_until(several, "four workers are replaced, and their successors serve", again_s=0)
    requests = served.rows("requests.csv")
    assert len(requests) == 2 * answered
    assert Counter(row["event"] for row in requests) == {"started": answered, "finished": answered}
