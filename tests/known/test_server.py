import json
import os
import time

import pytest

from bench.studies.self_check.known import server
from bench.studies.self_check.known.server import Behaviour


def ask(connection, path="/answer"):
    """Status and seconds of one request."""
    began = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    response.read()
    return response.status, time.perf_counter() - began


def test_an_answer_takes_no_less_than_it_should(known):
    connection = known("--service-ms", 30).connect()
    taken = [ask(connection)[1] for _ in range(9)]
    assert 0.03 <= min(taken) < 0.06


def test_connections_wait_side_by_side(known):
    served = known("--service-ms", 200)
    connections = [served.connect() for _ in range(20)]
    began = time.perf_counter()
    for connection in connections:
        connection.request("GET", "/answer")
    assert [connection.getresponse().status for connection in connections] == [200] * 20
    assert 0.2 <= time.perf_counter() - began < 20 * 0.2 / 2


def test_every_third_request_fails_whoever_sends_it(known):
    served = known("--fail-every", 3)
    connections = [served.connect(), served.connect()]
    statuses = [ask(connections[number % 2])[0] for number in range(8)]
    assert statuses == [200, 200, 500, 200, 200, 500, 200, 200]
    for connection in connections:
        connection.close()
    assert server.read_totals(served.line()) == (8, 2)


def test_the_numbers_begin_again_when_everyone_has_left(known):
    served = known("--fail-every", 3)
    for _ in range(2):
        connection = served.connect()
        assert [ask(connection)[0] for _ in range(4)] == [200, 200, 500, 200]
        connection.close()
        assert served.line() == "totals requests=4 failures=1"


def test_every_fourth_request_is_slow(known):
    connection = known("--slow-every", 4, "--slow-ms", 50).connect()
    taken = [ask(connection)[1] for _ in range(8)]
    slow = [number for number, seconds in enumerate(taken, 1) if seconds >= 0.05]
    assert {4, 8} <= set(slow)
    assert min(taken) < 0.05


def test_nothing_is_answered_in_a_stall(known):
    connection = known("--stall-s", 0.5, "--period-s", 2).connect()
    ask(connection)
    first = time.perf_counter()
    time.sleep(1.1)  # a tenth into the stall
    ask(connection)
    assert time.perf_counter() - first >= 1.49
    _, after = ask(connection)
    assert after < 0.4


def test_stalls_begin_anew_when_everyone_has_left(known):
    served = known("--stall-s", 0.5, "--period-s", 1)
    for _ in range(3):
        connection = served.connect()
        assert ask(connection)[1] < 0.4
        time.sleep(0.2)
        connection.close()
        assert served.line() == "totals requests=1 failures=0"


def test_a_request_in_pieces_is_one_request(known):
    served = known("--fail-every", 1)
    connection = served.connect()
    connection.connect()
    for piece in (b"GET /ans", b"wer HTTP/1.1\r\nhost: here\r\n", b"\r\n"):
        connection.sock.sendall(piece)
        time.sleep(0.02)
    assert connection.sock.recv(100).startswith(b"HTTP/1.1 500 ")
    connection.close()
    assert served.line() == "totals requests=1 failures=1"


def test_a_client_that_leaves_before_its_answer_harms_nobody(known):
    served = known("--service-ms", 100)
    patient, hasty = served.connect(), served.connect()
    patient.request("GET", "/answer")
    hasty.request("GET", "/answer")
    hasty.close()
    assert patient.getresponse().status == 200
    patient.close()
    assert served.line() == "totals requests=2 failures=0"


def test_it_says_who_it_is_as_every_configuration_does(known, tmp_path):
    ready = tmp_path / "ready.csv"
    environment = {**os.environ, "WHICHWORKER_CONFIGURATION": "known-x", "WHICHWORKER_READY": str(ready)}
    served = known("--fail-every", 1, environment=environment)
    connection = served.connect()
    connection.request("GET", "/whoami", headers={"Connection": "close"})
    response = connection.getresponse()
    said = json.loads(response.read())
    assert response.status == 200
    assert (said["configuration"], said["pid"]) == ("known-x", served.process.pid)
    assert ready.read_text().endswith(f",{served.process.pid}\n")


@pytest.mark.parametrize(
    ("since", "left"),
    [(0.0, 0.0), (4.9, 0.0), (5.0, 1.0), (5.25, 0.75), (6.0, 0.0), (14.9, 0.0), (15.5, 0.5), (1005.9, 0.1)],
)
def test_stalls_are_in_the_middle_of_a_period(since, left):
    assert Behaviour(stall_s=1, period_s=10).stalled_for_s(since) == pytest.approx(left, abs=1e-6)


def test_the_behaviour_is_read_from_a_command():
    command = [
        "python",
        "server.py",
        "--port",
        "1",
        "--service-ms",
        "2",
        "--slow-every",
        "10",
        "--slow-ms",
        "20",
    ]
    assert server.behaviour_in(command) == Behaviour(service_s=0.002, slow_every=10, slow_s=0.02)


def test_a_log_without_totals_has_none():
    assert server.read_totals("port 80\n") is None
    assert server.read_totals("totals requests=3 failures=1\nx\ntotals requests=4 failures=0\n") == (7, 1)
