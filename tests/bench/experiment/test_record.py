import json
import time
from dataclasses import replace

import pytest

from bench.experiment.generator.session import CellError
from bench.experiment.record import CellRecord
from bench.launch.server import StartedServer
from bench.machine.host import HostSampler
from bench.model.cells import Cell, ClosedLoop
from bench.model.plans.recycling import Probe
from targets.catalogue.recycling import NEVER, Recycling

CELL = Cell("sanic", "index", load=ClosedLoop(8), workers=1, repeat=1, block=1)
MEASURED = {"requests": 3} | dict.fromkeys(("failures", "latency_us", "arrivals", "completions"))
HEADER = "time,pid,role,cpu_s,rss_bytes,pss_bytes\n"


class Process:
    """A serve that runs until its status is set."""

    status = None

    def poll(self):
        return self.status

    def cause(self):
        return None

    def fetch(self):
        """All is here."""

    def host_rows(self, start):
        return None

    def carried(self):
        return None


@pytest.fixture
def server(tmp_path):
    directory = tmp_path / "metrics"
    directory.mkdir()
    (directory / "processes.csv").write_text(HEADER + "1.0,1,worker,0.1,,\n")
    (directory / "server.log").write_text("starting\n")
    return StartedServer("http://127.0.0.1:1", {"pid": 7}, directory, (0,), Process())


@pytest.fixture
def host():
    sampler = HostSampler()
    sampler.sample()
    return sampler


def append(server, name, text):
    with (server.directory / name).open("a") as stream:
        stream.write(text)


def test_a_cell_gets_its_part_of_the_growing_files(tmp_path, server, host):
    record = CellRecord(tmp_path / "cell", CELL, {"launcher": "processes"})
    record.serve(server)
    end = time.time()
    append(server, "processes.csv", f"{end + 1},1,worker,0.2,,\n{end + 2},1,wor")
    append(server, "server.log", "during\n")
    append(server, "workers.csv", "time,event,pid,role,exit_status\n3.0,born,1,worker,\n")
    record.finished({"window": {"start": end - 1, "end": end}, **MEASURED}, host)
    append(server, "processes.csv", "ker,0.3,,\n")
    folder = tmp_path / "cell"
    assert (folder / "processes.csv").read_text() == HEADER + f"{end + 1},1,worker,0.2,,\n"
    assert (folder / "server.log").read_text() == "during\n"
    assert "born" in (folder / "workers.csv").read_text()
    cell = json.loads((folder / "cell.json").read_text())
    assert cell["window"] == {"start": end - 1, "end": end}
    assert (cell["status"], cell["reason"]) == ("finished", None)
    assert cell["load"] == {"kind": "closed", "users": 8}
    assert cell["server"] == {"pid": 7, "cpus": [0]}
    host_rows = (folder / "host.csv").read_text().splitlines()
    assert host_rows[0].startswith("time,cpu,") and len(host_rows) > 1


def test_of_a_long_log_a_cell_gets_the_end(tmp_path, server, host):
    """An access log has a line for each request."""
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.serve(server)
    line = f"{'x' * 99}\n"
    append(server, "server.log", f"{line * 20000}last\n")
    end = time.time() - 10
    record.finished({"window": {"start": end - 1, "end": end}, **MEASURED}, host)
    text = (tmp_path / "cell" / "server.log").read_text()
    assert text.endswith(f"{line}last\n") and text.startswith(line) and 1000000 < len(text) <= 1 << 20


def test_the_sample_that_closes_the_window_is_waited_for(tmp_path, server, host, monkeypatch):
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.serve(server)
    end = time.time()
    append(server, "processes.csv", f"{end - 0.1},1,worker,0.2,,\n")
    closing = f"{end + 0.1},1,worker,0.3,,\n"
    monkeypatch.setattr(time, "sleep", lambda seconds: append(server, "processes.csv", closing))
    record.finished({"window": {"start": end - 1, "end": end}, **MEASURED}, host)
    assert (tmp_path / "cell" / "processes.csv").read_text().endswith(closing)


def test_no_sample_is_waited_for_when_the_server_has_ended(tmp_path, server, host, monkeypatch):
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.serve(server)
    end = time.time()
    append(server, "processes.csv", f"{end - 0.1},1,worker,0.2,,\n")
    server.process.status = 5
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it is waited for"))
    record.finished({"window": {"start": end - 1, "end": end}, **MEASURED}, host)


def test_what_is_not_of_recycling_says_null(tmp_path, server, host):
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.serve(server)
    record.finished({"window": {"start": 0, "end": 1}, **MEASURED}, host)
    cell = json.loads((tmp_path / "cell" / "cell.json").read_text())
    assert {cell[key] for key in ("recycling", "probe", "server_ended")} == {None}
    assert cell["schema"] == 3 and not (tmp_path / "cell" / "requests.csv").exists()


def test_a_cell_of_recycling_gets_the_files_from_the_start_of_its_server(tmp_path, server, host):
    append(server, "requests.csv", "time,pid,id,event\n1.0,1,0-1,started\n")
    recycled = replace(CELL, recycling=Recycling(500, 50))
    record = CellRecord(tmp_path / "cell", recycled, {})
    record.serve(server)
    append(server, "requests.csv", "2.0,1,0-1,finished\n2.0,1,0-2,star")
    record.probe = {"kind": "kill", "time": 2.0, "pid": 1}
    record.server_ended = {"time": 2.5, "exit_status": None}
    record.finished({"window": {"start": 0, "end": 1}, **MEASURED}, host)
    folder = tmp_path / "cell"
    assert (folder / "requests.csv").read_text() == (
        "time,pid,id,event\n1.0,1,0-1,started\n2.0,1,0-1,finished\n"
    )
    assert (folder / "processes.csv").read_text() == HEADER + "1.0,1,worker,0.1,,\n"
    assert (folder / "server.log").read_text() == "starting\n"
    cell = json.loads((folder / "cell.json").read_text())
    assert cell["recycling"] == {"max_requests": 500, "max_requests_jitter": 50, "max_rss_mib": None}
    assert cell["probe"] == {"kind": "kill", "time": 2.0, "pid": 1}
    assert cell["server_ended"] == {"time": 2.5, "exit_status": None}


def test_a_probe_that_was_never_sent_is_still_one(tmp_path, host):
    kill = Probe(kind="kill", scenario="index", rate_per_s=200.0, after_s=1.0, measured_s=3)
    record = CellRecord(tmp_path / "cell", replace(CELL, recycling=NEVER, probe=kill), {})
    record.failed("it did not start", host)
    cell = json.loads((tmp_path / "cell" / "cell.json").read_text())
    assert cell["probe"] == {"kind": "kill", "time": None, "pid": None}


def test_a_failed_cell_has_a_reason_and_no_zeros(tmp_path, host):
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.failed("it did not start", host)
    cell = json.loads((tmp_path / "cell" / "cell.json").read_text())
    assert (cell["status"], cell["reason"]) == ("failed", "it did not start")
    assert cell["window"] is None and cell["server"] is None
    assert not (tmp_path / "cell" / "latency.csv").exists()


def test_a_cell_that_is_measured_again_starts_from_nothing(tmp_path, host):
    folder = tmp_path / "cell"
    CellRecord(folder, CELL, {}).failed("at first", host)
    (folder / "latency.csv").touch()
    CellRecord(folder, CELL, {})
    assert list(folder.iterdir()) == []


def test_a_cell_during_which_the_clock_was_set_cannot_be_finished(tmp_path, server, host, monkeypatch):
    record = CellRecord(tmp_path / "cell", CELL, {})
    record.serve(server)
    monkeypatch.setattr("bench.machine.clock._ahead_s", lambda: 2 * time.time())
    with pytest.raises(CellError, match="the clock of this machine was set forward by"):
        record.finished({"window": {"start": 0, "end": 1}, **MEASURED}, host)
    record.failed("the clock", host)
    assert json.loads((tmp_path / "cell" / "cell.json").read_text())["status"] == "failed"
