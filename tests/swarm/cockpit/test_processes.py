"""A web UI whose users run in processes of their own, and one that listens on a Unix socket."""

from __future__ import annotations

import os
import socket
from collections import Counter

import psutil
import pytest

from tests.patience import LONG_S
from tests.swarm.cockpit.process import later
from tests.swarm.cockpit.test_loads import measured, rows, stop
from tests.swarm.processes import family


def test_of_several_processes_the_files_and_the_page_have_all_requests(
    open_cockpit, null_server, folder, tmp_path
):
    cockpit = open_cockpit(processes=2)
    cockpit.start(null_server, folder)
    cockpit.until(measured, "a measured second")
    finished = stop(cockpit)
    assert finished["reason"] is None and finished["users"] == 4
    assert {row["process"] for row in rows(folder / "generator.csv")} == {"0", "1", "2"}
    counted = Counter()
    for row in rows(folder / "latency.csv"):
        counted[int(row["second"])] += int(row["count"])
    start, end = finished["window"]["start"], finished["window"]["end"]
    assert finished["requests"] == sum(count for second, count in counted.items() if start <= second < end)
    shown = {row[0]: row[1] for row in cockpit.live()["seconds"]}
    assert {second: shown[second] for second in counted} == dict(counted), "the page shows what the file has"
    (locust,) = [row for row in rows(folder / "locust_stats.csv") if row["Name"] == "Aggregated"]
    assert int(locust["Request Count"]) == sum(counted.values()), "and so have Locust's own files"
    assert float(locust["50%"]) > 0 and float(locust["50%"]) < 1000
    (tmp_path / "next").mkdir()
    event, answer = cockpit.start(null_server, tmp_path / "next", arrivals_per_second="50")
    assert answer.json["success"] is True and event["rate_per_s"] == 50.0
    cockpit.until(measured, "a measured second of the next load")
    again = stop(cockpit)
    seconds = again["window"]["end"] - again["window"]["start"]
    assert again["arrivals"] == pytest.approx(50 * seconds, abs=5)


def test_without_one_of_its_processes_there_is_no_load(open_cockpit, null_server, folder):
    cockpit = open_cockpit(processes=2)
    workers = [each for each in family(cockpit.process.pid) if "--worker" in each.cmdline()]
    assert len(workers) == 2
    workers[0].kill()
    gone = "1 of 2 processes of the load generator have ended"
    cockpit.until(lambda told: any(gone in each["text"] for each in told["notices"]), "that it is told")
    _, answer = cockpit.start(null_server, folder)
    assert gone in answer.json["message"] and "start it again" in answer.json["message"]
    assert gone in cockpit.wait_for("finished")["reason"]


def test_it_may_listen_on_a_unix_socket_however_long_its_path(open_cockpit, tmp_path):
    place = tmp_path / ("long" * 20) / ("path" * 20)
    place.mkdir(parents=True)
    cockpit = open_cockpit(socket=str(place / "ui.sock"))
    assert cockpit.port is None
    assert psutil.Process(cockpit.process.pid).net_connections("tcp") == []

    def ask():
        folder = os.open(place, os.O_RDONLY)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"/proc/self/fd/{folder}/ui.sock")
            connection.sendall(
                b"GET /server/live HTTP/1.1\r\nHost: 127.0.0.1:8089\r\nConnection: close\r\n\r\n"
            )
            answer = b""
            while piece := connection.recv(1 << 16):
                answer += piece
        os.close(folder)
        return answer

    answer = later(ask).get(timeout=LONG_S)
    assert answer.startswith(b"HTTP/1.1 200 OK") and b'"state":"idle"' in answer
