"""Start, edit and Stop in the web UI, the test in the place of bench and of a browser."""

from __future__ import annotations

import csv
import itertools
import socket
import time
from collections import Counter

import gevent
import pytest

from swarm.cockpit.__main__ import ANOTHER_PORT
from tests.patience import LONG_S
from tests.swarm.cockpit.process import EDIT, FORM, later
from tests.swarm.processes import alive, family

FILES = {
    "latency.csv",
    "failures.csv",
    "generator.csv",
    "locust_stats.csv",
    "locust_stats_history.csv",
    "locust_failures.csv",
    "locust_exceptions.csv",
}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measured(told):
    """Whether a second was recorded that began after the warm-up."""
    load = told["load"]
    settled = load and load["settled"]
    return settled and any(row[0] >= settled + 1.2 and row[1] for row in told["seconds"])


def stop(cockpit):
    answer = later(cockpit.post, "/stop")
    event = cockpit.wait_for("finished")
    assert answer.get(timeout=LONG_S).status == 200
    return event


def test_the_page_proposes_one_scenario_and_then_what_ran_last(open_cockpit, null_server, folder):
    cockpit = open_cockpit()
    offered = cockpit.get("/server/offer").json
    assert [each["name"] for each in offered["configurations"]] == ["one", "gone"]
    first = offered["first"]
    assert (first["configuration"], first["classes"], first["users"]) == ("one", ["Index"], 64)
    cockpit.start(null_server, folder, server_workers="2", recycle_after="500")
    stop(cockpit)
    last = cockpit.get("/server/offer").json["first"]
    assert (last["workers"], last["max_requests"], last["users"]) == (2, 500, 4)


def test_start_has_bench_serve_what_was_chosen_and_stop_says_what_was_measured(cockpit, null_server, folder):
    event, answer = cockpit.start(null_server, folder, server_workers="2", recycle_after="500")
    assert answer.json["success"] is True
    asked = {key: event[key] for key in event if key != "request"}
    assert asked == {
        "event": "start", "configuration": "one", "workers": 2, "max_requests": 500, "scenario": "s0",
        "scenarios": ["s0"], "users": 4, "rate_per_s": None, "host": None, "proxy": None,
    }  # fmt: skip
    told = cockpit.until(measured, "a measured second")
    assert told["state"] == "running" and told["load"]["url"] == null_server
    finished = stop(cockpit)
    assert finished["reason"] is None and finished["users"] == 4 and finished["engine"] == "swarm"
    start, end = finished["window"]["start"], finished["window"]["end"]
    assert told["load"]["settled"] + 0.2 <= start < end <= time.time()
    assert {path.name for path in folder.iterdir()} == FILES
    counted = Counter()
    for row in rows(folder / "latency.csv"):
        counted[int(row["second"])] += int(row["count"])
    assert finished["requests"] == sum(count for second, count in counted.items() if start <= second < end)
    shown = {row[0]: row[1] for row in cockpit.live()["seconds"]}
    assert {second: shown[second] for second in counted} == dict(counted), "the page shows what the file has"


def test_what_the_generator_used_is_that_of_its_file(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    cockpit.until(lambda told: sum(row[6] is not None for row in told["seconds"]) >= 2, "two readings")
    stop(cockpit)
    shown = [row[6] for row in cockpit.live()["seconds"] if row[6] is not None]
    table = [
        [float(row[key]) for key in ("time", "cpu_s", "spin_s")] for row in rows(folder / "generator.csv")
    ]
    used = [
        max(0.0, (after[1] - after[2] - before[1] + before[2]) / (after[0] - before[0]))
        for before, after in itertools.pairwise(table)
    ]
    assert shown == pytest.approx(used)


def test_latencies_below_a_millisecond_are_seen_everywhere(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    cockpit.until(measured, "a measured second")
    (row, total) = cockpit.get("/stats/requests").json["stats"]
    stop(cockpit)
    for key in ("min_response_time", "median_response_time", "response_time_percentile_0.95"):
        assert row[key] > 0 and row[key] == total[key]
    assert row["min_response_time"] < 1
    downloaded = csv.DictReader(cockpit.get("/stats/requests/csv").body.decode().splitlines())
    for table in (list(downloaded), rows(folder / "locust_stats.csv")):
        assert float(table[0]["50%"]) > 0 and float(table[0]["50%"]) != int(float(table[0]["50%"]))


def test_a_refusal_is_shown_in_the_form_and_no_load_begins(open_cockpit):
    cockpit = open_cockpit()
    answer = later(cockpit.post, "/swarm", FORM)
    event = cockpit.wait_for("start")
    words = "one did not start (exit status 3)\n  <b>ModuleNotFoundError</b>"
    cockpit.send("refused", request=event["request"], reason=words)
    told = answer.get(timeout=LONG_S).json
    assert told["success"] is False and told["message"] == words
    live = cockpit.live()
    assert live["state"] == "idle" and live["load"] is None and live["notices"][0]["text"] == words
    assert cockpit.get("/stats/requests").json["user_count"] == 0


def test_one_start_at_a_time(cockpit, null_server, folder):
    first = later(cockpit.post, "/swarm", FORM)
    event = cockpit.wait_for("start")
    second = cockpit.post("/swarm", FORM).json
    assert second["success"] is False and "another load is being started" in second["message"]
    cockpit.send("served", request=event["request"], url=null_server, directory=str(folder), ceilings=[])
    assert first.get(timeout=LONG_S).json["success"] is True


def test_what_is_not_offered_never_reaches_bench(cockpit, null_server, folder):
    before, _ = cockpit.start(null_server, folder)
    stop(cockpit)
    for changes, said in (
        ({"configuration": "gone"}, "gone is unavailable: no Python"),
        ({"configuration": "two"}, "no configuration"),
        ({"record": "/tmp/x"}, "unknown field"),
        ({"host": "http://10.0.0.1"}, "leave Host empty"),
    ):
        told = cockpit.post("/swarm", {**FORM, **changes}).json
        assert told["success"] is False and said in told["message"]
    event, _ = cockpit.start(null_server, folder)
    assert event["request"] == before["request"] + 1, "the next that bench was asked"


def test_an_edit_changes_users_and_the_window_begins_anew(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    before = cockpit.until(measured, "a measured second")["load"]["settled"]
    told = cockpit.post("/swarm", {**EDIT, "user_count": "9"}).json
    assert told["success"] is True
    edited = cockpit.until(
        lambda told: (told["load"]["settled"] or 0) > before and measured(told), "measured again"
    )
    assert edited["load"]["users"] == 9 and cockpit.get("/stats/requests").json["user_count"] == 9
    finished = stop(cockpit)
    assert finished["users"] == 9 and finished["window"]["start"] >= edited["load"]["settled"] + 0.2


def test_another_configuration_while_it_runs_is_refused_where_it_can_be_seen(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    told = cockpit.post("/swarm", {**EDIT, "server_workers": "2"}).json
    assert told["success"] is False and "cannot change while the load runs" in told["message"]
    live = cockpit.live()
    assert live["state"] == "running" and live["notices"][-1]["text"].startswith("not changed: ")


def test_stopped_too_soon_is_no_measurement(open_cockpit, null_server, folder):
    cockpit = open_cockpit(warmup_s=30.0)
    cockpit.start(null_server, folder)
    cockpit.until(lambda told: told["load"]["settled"], "users")
    finished = stop(cockpit)
    assert "stopped too soon" in finished["reason"] and finished["window"] is None
    assert cockpit.live()["state"] == "idle"


def test_after_a_stop_another_configuration_may_be_started(cockpit, null_server, folder, tmp_path):
    cockpit.start(null_server, folder)
    cockpit.until(lambda told: told["load"]["settled"], "users")
    stop(cockpit)
    assert null_server not in cockpit.get("/").body.decode(), "the form does not offer what is gone"
    (tmp_path / "next").mkdir()
    event, answer = cockpit.start(
        null_server, tmp_path / "next", user_classes=["Index", "Sleep"], host=null_server
    )
    assert answer.json["success"] is True and event["scenario"] == "s0+s1"
    assert event["scenarios"] == ["s0", "s1"]
    cockpit.until(measured, "a measured second")
    assert {row["name"] for row in cockpit.get("/stats/requests").json["stats"]} >= {"/Index", "/Sleep"}


def test_a_load_that_begins_at_once_after_another_is_not_stopped_with_it(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    cockpit.until(lambda told: told["load"]["settled"], "users")
    stop(cockpit)
    cockpit.start(null_server, folder)
    cockpit.until(measured, "a measured second")
    assert cockpit.live()["state"] == "running"


def test_an_arrival_rate_makes_an_open_loop(cockpit, null_server, folder):
    event, _ = cockpit.start(null_server, folder, arrivals_per_second="50")
    assert event["rate_per_s"] == 50.0
    cockpit.until(measured, "a measured second")
    finished = stop(cockpit)
    seconds = finished["window"]["end"] - finished["window"]["start"]
    assert finished["arrivals"] == pytest.approx(50 * seconds, abs=3)
    assert "from_schedule" in finished["latency_us"]


def test_a_server_that_dies_ends_the_load(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    cockpit.until(lambda told: told["load"]["settled"], "users")
    cockpit.send("ended", reason="the server ended by itself (SIGKILL)\n  last words")
    finished = cockpit.wait_for("finished")
    assert finished["reason"].startswith("the server ended by itself (SIGKILL)")
    assert "last words" in cockpit.live()["notices"][-1]["text"]
    assert cockpit.get("/stats/requests").json["state"] == "stopped"


def test_the_page_goes_on_asking_until_the_last_user_has_ended(cockpit, null_server, folder):
    """Locust's page asks for news while the state is "running", and never again."""
    cockpit.start(null_server, folder, user_classes="Leaving")
    cockpit.until(measured, "a measured second")
    answer = later(cockpit.post, "/stop")
    states = []
    while not answer.ready():
        opened = cockpit.get("/").body.decode()
        states.append(cockpit.get("/stats/requests").json["state"])
        assert states[-1] == "stopped" or (states[-1] == "running" and '"state": "running"' in opened)
        gevent.sleep(0.2)
    assert answer.get(timeout=LONG_S).status == 200
    assert states.count("running") > 2
    assert cockpit.get("/stats/requests").json["state"] == "stopped"


def test_a_run_time_ends_it_too(cockpit, null_server, folder):
    cockpit.start(null_server, folder, run_time="3")
    assert cockpit.wait_for("finished")["reason"] is None


def test_a_folder_that_cannot_be_written_refuses_the_start(cockpit, null_server, tmp_path):
    _, answer = cockpit.start(null_server, tmp_path / "missing")
    assert answer.json["success"] is False and "cannot write to" in answer.json["message"]
    assert cockpit.wait_for("finished")["reason"].startswith("cannot write to")
    assert cockpit.live()["state"] == "idle"


def test_what_bench_meters_is_on_the_page_and_in_the_tab(cockpit, null_server, folder):
    cockpit.start(null_server, folder)
    told = cockpit.until(lambda told: len(told["seconds"]) > 1, "a second")
    second, now = told["seconds"][0][0], time.time()
    worker = {"pid": 4711, "born": now - 60, "ready": now - 59, "cpu": 0.25, "rss_bytes": 50 << 20}
    death = {"time": now, "pid": 4710, "exit_status": 0, "successor": now}
    cockpit.send(
        "server", second=second, cpu_s=0.25, rss_bytes=60 << 20, workers=[worker], deaths=[death], restarts=1
    )
    told = cockpit.until(lambda told: told["workers"], "the server's line")
    assert told["seconds"][0][5] == 0.25 and told["seconds"][0][7] == 60 << 20
    assert told["cpu_us"] == pytest.approx(0.25e6 / told["seconds"][0][1])
    (tab,) = cockpit.get("/stats/requests").json["extended_stats"]
    table = {row["what"]: row for row in tab["data"]}
    assert tab["key"] == "server" and table["worker 1"]["pid"] == 4711 and table["worker 1"]["memory"] == 50.0
    assert table["restarts"]["said"].startswith("1 so far") and "4710" in table["restarts"]["said"]


def test_it_ends_with_its_input_even_under_load(open_cockpit, null_server, folder):
    cockpit = open_cockpit()
    cockpit.start(null_server, folder)
    processes = family(cockpit.process.pid)
    cockpit.process.stdin.close()
    with gevent.Timeout(LONG_S, AssertionError("it goes on")):
        while alive(processes):
            gevent.sleep(0.05)


def test_a_port_in_use_is_said(open_cockpit):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = open_cockpit(port=port).ready
    assert told == {"event": "failed", "reason": f"port {port} on 127.0.0.1 is in use. {ANOTHER_PORT}"}
