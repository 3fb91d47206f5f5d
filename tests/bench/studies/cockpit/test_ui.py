"""`bench ui` as a whole: real servers, the real generator, the requests of a browser."""

import csv
import itertools
import json
import os
import signal
from collections import Counter, defaultdict

import psutil
import pytest
from typer.testing import CliRunner

from analysis.reading import results as analysed
from bench.cli.main import app
from bench.launch.local import Processes
from bench.launch.proxy import installed
from tests.bench.studies.cockpit.ui import FORM, TARGET_FORM, Ui
from tests.patience import LONG_S
from tests.ports import free_port


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cpu_by_second(path, seconds):
    """The server's CPU time in each second, by lines through its samples; of processes that were there."""
    curves = defaultdict(list)
    for row in rows(path):
        if row["role"] != "meter":
            curves[row["pid"]].append((float(row["time"]), float(row["cpu_s"])))

    def value(curve, moment):
        (time_0, cpu_0), (time_1, cpu_1) = next(
            (low, high) for low, high in itertools.pairwise(curve) if low[0] <= moment <= high[0]
        )
        return cpu_0 + (cpu_1 - cpu_0) * (moment - time_0) / (time_1 - time_0)

    return {
        second: sum(value(curve, second + 1) - value(curve, second) for curve in curves.values())
        for second in seconds
    }


def test_from_the_form_to_a_recorded_cell(open_ui):
    ui = open_ui()
    assert ui.start()["success"] is True
    running = ui.measured()
    (worker,) = running["workers"]
    assert psutil.pid_exists(worker["pid"]) and worker["served"] > 0 and running["cpu_us"] > 0
    assert running["load"]["configuration"] == "single"
    server = [each for each in ui.family() if "targets.serve" in each.cmdline()]
    ui.stop()
    cell, folder = ui.recorded()
    assert not psutil.wait_procs(server, timeout=LONG_S)[1], "Stop takes the server down"
    assert cell["status"] == "finished" and cell["measured"]["requests"] > 0
    assert (cell["configuration"], cell["scenario"], cell["load"]) == (
        "single", "slow", {"kind": "closed", "users": 4},
    )  # fmt: skip
    assert cell["generator"] == {"cpus": cell["generator"]["cpus"], "processes": 1, "engine": "swarm"}
    check_figures(ui.live(), cell, folder)
    assert ui.end() == 0 and "make report" in ui.said
    assert ui.run()["status"] == "finished" and ui.run()["cells_planned"] == 1
    assert ui.run()["host"]["cpus"] == len(os.sched_getaffinity(0)), (
        "the machine, not what bench is pinned to"
    )
    assert not list(folder.parents[3].glob(".serve-*"))
    read = analysed.load(folder.parents[3])
    assert list(read.finished["configuration"]) == ["single"] and not read.notes


def check_figures(told, cell, folder):
    """What the page shows of the window is what the files say."""
    window = range(cell["window"]["start"], cell["window"]["end"])
    shown = {row[0]: row for row in told["seconds"]}
    requests = Counter()
    for row in rows(folder / "latency.csv"):
        if row["kind"] == "service":
            requests[int(row["second"])] += int(row["count"])
    assert {second: shown[second][1] for second in window} == {each: requests[each] for each in window}
    assert cell["measured"]["requests"] == sum(requests[second] for second in window)
    metered = [second for second in window if shown[second][5] is not None]
    assert metered
    used = cpu_by_second(folder / "processes.csv", metered)
    assert {second: shown[second][5] for second in metered} == pytest.approx(used, abs=1e-6)
    sizes = defaultdict(dict)
    for row in rows(folder / "processes.csv"):
        if row["rss_bytes"] and row["role"] != "meter":
            sizes[float(row["time"])][row["pid"]] = int(row["rss_bytes"])
    weighed = {sum(each.values()) for each in sizes.values()}
    assert {shown[second][7] for second in metered} <= weighed


def test_a_configuration_that_does_not_start_says_why_and_the_next_one_does(ui):
    told = ui.start(configuration="broken")
    assert told["success"] is False
    assert "broken did not start" in told["message"] and "these are my last words" in told["message"]
    assert ui.live()["state"] == "idle"
    assert ui.start(configuration="sanic", server_workers="2")["success"] is True
    assert len(ui.until(lambda told: len(told["workers"]) == 2, "two workers")["workers"]) == 2
    ui.measured()
    ui.stop()
    ui.recorded()
    cells = {cell.parts[-5]: cell for cell in ui.results.glob("*/*/*/*/*/cell.json")}
    assert {"broken", "sanic"} <= set(cells)
    assert '"status": "failed"' in cells["broken"].read_text()
    assert "last words" in cells["broken"].read_text()


def test_a_server_that_takes_too_long_is_told_with_what_gives_it_more(open_ui):
    ui = open_ui("--startup-timeout", "1")
    told = ui.start(configuration="slow")
    assert told["success"] is False and "was not ready after 1 s" in told["message"]
    assert "give more with --startup-timeout (STARTUP_TIMEOUT=)" in told["message"]
    assert ui.end() == 0


def test_restarts_are_seen_and_recycled_workers_are_a_configuration_of_their_own(ui):
    assert ui.start(configuration="sanic", recycle_after="20")["success"] is True
    first = ui.until(lambda told: told["workers"], "a worker")["workers"][0]["pid"]
    told = ui.until(lambda told: told["restarts"] and told["workers"], "a restart")
    newest = told["last_restarts"][0]
    assert newest["exit_status"] in (0, None) and isinstance(newest["losses"], dict)
    assert first not in [each["pid"] for each in told["workers"]]
    ui.measured()
    ui.stop()
    cell, _ = ui.recorded()
    assert cell["configuration"] == "sanic-n20" and cell["server"]["max_requests"] == 20
    assert "sanic-n20" in [entry["name"] for entry in ui.run()["configurations"]]


@pytest.mark.skipif(installed("nginx") is None, reason="nginx is not installed")
def test_a_load_through_a_proxy_stands_beside_one_past_it(open_ui):
    ui = open_ui()
    assert ui.start(proxy="nginx")["success"] is True
    ui.measured()
    assert any(process.name() == "nginx" for process in ui.family())
    ui.stop()
    behind, folder = ui.recorded()
    assert (behind["configuration"], behind["proxy"]["kind"]) == ("single-nginx", "nginx")
    assert behind["measured"]["requests"] > 0 and ui.run()["proxy"]["version"][0].isdigit()
    assert not any(process.name() == "nginx" for process in ui.family())
    assert ui.start()["success"] is True
    ui.measured()
    ui.stop()
    ui.until(lambda told: told["state"] == "idle", "the end")
    assert ui.end() == 0
    read = analysed.load(folder.parents[3])
    assert sorted(read.finished["configuration"]) == ["single", "single-nginx"]


def test_a_server_that_dies_ends_the_load_and_the_cell_says_so(ui):
    ui.start()
    (worker,) = ui.until(lambda told: told["workers"], "a worker")["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    cell, _ = ui.recorded()
    assert cell["status"] == "failed" and "the server ended by itself (SIGKILL)" in cell["reason"]
    assert any("SIGKILL" in each["text"] for each in ui.live()["notices"])
    assert ui.start()["success"] is True, "another start"


def test_ctrl_c_stops_the_load_and_keeps_what_was_measured(open_ui):
    ui = open_ui()
    ui.start()
    ui.measured()
    started = ui.family()
    assert ui.end() == 0
    assert not psutil.wait_procs(started, timeout=LONG_S)[1]
    (path,) = ui.results.glob("*/*/*/*/*/cell.json")
    cell = json.loads(path.read_text())
    assert cell["status"] == "finished" and ui.run()["status"] == "finished"


def test_what_runs_already_is_swarmed_and_nothing_is_recorded(tmp_path, current, catalogue):
    with Processes().open({"current": current}, tmp_path, print) as launcher:
        server = launcher.start(catalogue.get("sanic-single"), 1, tmp_path / "m", [0])
        ui = Ui(tmp_path / "results", "--target-url", server.url)
        try:
            assert ui.post("/swarm", FORM)["success"] is False, "there is nothing to choose"
            assert ui.post("/swarm", TARGET_FORM)["success"] is True
            told = ui.until(lambda told: any(row[1] for row in told["seconds"]), "requests")
            assert told["workers"] == [] and told["cpu_us"] is None and told["load"]["url"] == server.url
            assert told["report"]["possible"] is False
            ui.stop()
            ui.until(lambda told: told["state"] == "idle", "the end")
            assert server.running and ui.end() == 0
        finally:
            ui.close()
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "give --login too"),
        (["--host", "bench.example"], "give --login too"),
        (["--login"], "WHICHWORKER_UI_PASSWORD"),
        (["--target-url", "127.0.0.1:8000"], "is no URL like"),
        (["--target-url", "http://192.0.2.1"], "--allow-remote"),
        (["--target-url", "http://127.0.0.1:1", "--startup-timeout", "5"], "leave out --startup-timeout"),
        (["--scenarios", "indexx"], 'did you mean "index"'),
        (["--catalogue", "nowhere.toml"], "there is no file"),
        (["--locustfiles", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_told_in_a_line(tmp_path, options, said):
    environment = {"COLUMNS": "200", "WHICHWORKER_UI_PASSWORD": "short"}
    done = CliRunner().invoke(app, ["ui", "--results", str(tmp_path), *options], env=environment)
    assert done.exit_code == 2 and said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_told_and_nothing_is_left_where_nothing_was_started(open_ui):
    port = free_port()
    first = open_ui("--port", str(port))
    assert first.url.endswith(str(port))
    second = open_ui("--port", str(port))
    assert second.url is None and f"port {port} on 127.0.0.1 is in use" in second.said
    assert second.process.wait(LONG_S) == 1 and "Traceback" not in second.said
    assert first.post("/server/report", {})["state"] == "failed", "there is nothing to report"
    assert first.end() == 0 and list(first.results.iterdir()) == []
