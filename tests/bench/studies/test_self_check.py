import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from bench.cli.trust import self_check as command
from bench.machine import cpus
from bench.model import documents
from bench.model.files import ROOT
from bench.studies.self_check import clocks, measure, readings, tables, tools
from bench.studies.self_check.readings import Arm, HiccupError, MeasurementError, Reading, Readings
from tests.patience import LONG_S, wait_until

WRK = """Running 3s test @ http://127.0.0.1:42459/index
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.18ms    1.39ms  24.62ms   94.99%
    Req/Sec    30.64k     1.83k   33.97k    80.00%
  Latency Distribution
     50%  994.00us
     75%    1.24ms
     90%    3.50ms
     99%    1.02s{blank}
  92846 requests in 3.10s, 8.25MB read
Requests/sec:  29950.32
Transfer/sec:      8.23MB
""".format(blank=" ")
HEY = """
Summary:
  Total:\t3.0015 secs
  Slowest:\t0.0174 secs
  Requests/sec:\t36573.0980

Response time histogram:
  0.000 [1]\t|
  0.002 [21615]\t|■■■■

Latency distribution:
  10% in 0.0004 secs
  50% in 0.0015 secs
  90% in 0.0034 secs
  99% in 0.0055 secs

Status code distribution:
  [200]\t36018 responses
"""
LOCUST = """\
Type     Name                 # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
--------|-------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
GET      /index                 3473     0(0.00%) |     10       0      86      9 | 4238.71        0.00
--------|-------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
         Aggregated             3473     0(0.00%) |     10       0      86      9 | 4238.71        0.00

Response time percentiles (approximated)
Type     Name                   50%    66%    75%    80%    90%    95%    98%    99%  99.9%   100% # reqs
--------|-------------------|------|------|------|------|------|------|------|------|------|------|------
GET      /index                   9     11     12     13     16     18     31     84     86     87   3473
--------|-------------------|------|------|------|------|------|------|------|------|------|------|------
         Aggregated               9     11     12     13     16     18     31     84     86     87   3473

"""


def test_what_wrk_says():
    said = tools.read_wrk(WRK)
    assert (said.requests, said.requests_per_s) == (92846, 29950.32)
    assert said.latency_us == {"p50": 994.0, "p90": 3500.0, "p99": 1_020_000.0}


def test_what_hey_says():
    said = tools.read_hey(HEY)
    assert said.requests == 36018 and said.requests_per_s == pytest.approx(12000)
    assert said.latency_us == pytest.approx({"p50": 1500.0, "p90": 3400.0, "p99": 5500.0})


def test_what_locust_says():
    said = tools.read_locust(LOCUST)
    assert (said.requests, said.requests_per_s) == (3473, 4238.71)
    assert said.latency_us == {"p50": 9000.0, "p90": 16000.0, "p99": 84000.0}


@pytest.mark.parametrize(
    ("read", "output", "message"),
    [
        (tools.read_wrk, WRK + "  Socket errors: connect 0, read 3, write 0, timeout 0\n", "read 3"),
        (tools.read_wrk, WRK + "  Non-2xx or 3xx responses: 7\n", "responses: 7"),
        (tools.read_wrk, WRK.replace("99%    1.02s", "99%    1.02h"), "expected"),
        (tools.read_wrk, "unable to connect", "expected"),
        (tools.read_hey, HEY + "\nError distribution:\n  [3]\tGet: connection refused\n", r"\[3\]"),
        (tools.read_hey, HEY + "  [500]\t2 responses\n", "500"),
        (tools.read_hey, HEY.replace("99% in", "99.9% in"), "expected"),
        (tools.read_locust, LOCUST.replace("0(0.00%)", "5(0.14%)"), "5 failed"),
        (tools.read_locust, "", "expected"),
    ],
)
def test_what_is_not_as_expected_is_an_error(read, output, message):
    with pytest.raises(MeasurementError, match=message):
        read(output)


def test_a_locust_that_made_no_request_may_succeed_at_once():
    said = LOCUST.replace(" 3473 ", "    0 ").replace("4238.71", "   0.00")
    rows = [line for line in said.splitlines() if "/index" not in line and not line.endswith("3473")]
    with pytest.raises(readings.HiccupError, match="no request"):
        tools.read_locust("\n".join(rows))


def test_percentiles_are_of_successful_requests_in_the_window(tmp_path):
    path = tmp_path / "latency.csv"
    rows = [
        "9,GET,/,service,1.000,1000",
        "10,GET,/,service,100.000,89",
        "10,GET,/,lateness,7.000,500",
        "11,GET,/a,service,200.000,10",
        "11,GET,/,service,300.000,1",
        "12,GET,/,service,9.000,1000",
    ]
    path.write_text("\n".join(["second,method,name,kind,bucket_us,count", *rows]))
    assert readings.percentiles(path, 10, 12) == {"p50": 100.0, "p90": 200.0, "p99": 200.0}


def test_memory_is_that_at_the_end_and_the_lag_the_longest_in_the_window(tmp_path):
    path = tmp_path / "generator.csv"
    rows = ["10.01,1,900,10", "11.0,1,60.0,20", "12.01,1,5.0,30", "10.02,2,1.0,1", "12.02,2,2.0,2"]
    path.write_text("\n".join(["time,process,loop_lag_ms,rss_bytes", *rows, "13.0,1,99.0,99"]))
    # The lag of a row is of the second before it.
    assert readings.memory_and_lag(path, 10, 12) == (32, 60.0)
    with pytest.raises(HiccupError, match="held up"):
        readings.memory_and_lag(path, 20, 22)


def test_the_clock_of_a_process_is_its_cpu_time():
    before, own_before = clocks.cpu_s([os.getpid()]), time.process_time()
    while time.process_time() < own_before + 0.05:
        pass
    spent, own_spent = clocks.cpu_s([os.getpid()]) - before, time.process_time() - own_before
    assert spent == pytest.approx(own_spent, abs=0.01)


def test_a_window_is_spanned_by_readings_or_there_is_no_figure():
    rates, deadline = None, time.monotonic() + LONG_S
    with clocks.Trail(clocks.Clocks({"own": [os.getpid()]})) as trail:
        while rates is None:
            assert time.monotonic() < deadline
            time.sleep(1.1)
            end = int(time.time())
            with suppress(HiccupError):  # on a busy machine: the next second may be read in time
                rates = trail.between(end - 1, end)
    assert 0 <= rates["own"] < 1
    with pytest.raises(MeasurementError, match="not read"):
        trail.between(end - 10, end)


def test_the_rate_of_a_window_is_that_between_its_outermost_readings():
    times = (9.0, 9.9, 10.01, 10.5, 11.99, 12.5)
    marks = [clocks.Mark(at, {"half": at / 2, "late": max(0.0, at - 10.01)}) for at in times]
    assert clocks.rates_within(marks, 10, 12) == pytest.approx({"half": 0.5, "late": 1.0})
    with pytest.raises(MeasurementError, match="not read"):
        clocks.rates_within(marks[:4], 10, 12)


def test_a_process_that_ends_spoils_the_measurement():
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(MeasurementError, match="ended"):
        clocks.Clocks({"gone": [process.pid]}).read()


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def await_status(pid, stopped):
    process = psutil.Process(pid)
    wait_until(lambda: (process.status() == psutil.STATUS_STOPPED) == stopped, f"stopped: {stopped}")


def test_a_stopped_process_goes_on_afterwards(sleeper):
    with clocks.stopped(sleeper.pid):
        await_status(sleeper.pid, stopped=True)
    await_status(sleeper.pid, stopped=False)


def test_a_stopped_process_goes_on_when_its_stopper_is_killed(sleeper):
    code = "import sys, time; from bench.studies.self_check import clocks\n"
    code += "with clocks.stopped(int(sys.argv[1])): time.sleep(600)"
    stopper = subprocess.Popen([sys.executable, "-c", code, str(sleeper.pid)], cwd=ROOT)
    try:
        await_status(sleeper.pid, stopped=True)
    finally:
        stopper.kill()
        stopper.wait()
    await_status(sleeper.pid, stopped=False)


def reading(arm, number, rate, cpu_us, **changes):
    fields = {
        "latency_us": {"p50": 2100.0, "p90": 3200.0, "p99": 4300.0},
        "server_busy": 0.9,
        "generator_busy": 0.5,
        "meter_busy": 0.004,
        "meter_cpus": (0,),
    }
    return Reading(arm, number, rate * 3, rate, cpu_us=cpu_us, **(fields | changes))


RATES = {"swarm": 30000, "wrk": 30300, "hey": 15000, "locust": 6000}


@pytest.fixture
def measured():
    """Two rounds, the second at half the speed, which no ratio within a round shows."""
    found = []
    for arm in command.arms(list(tools.TOOLS.values())):
        slow = 1 if arm.configuration == "sanic" or arm.generator == "locust" else 2
        for number in (1, 2):
            rate = RATES[arm.generator] / slow / number
            rate *= 1 if arm.metered and arm.recorded else 1.25
            found.append(reading(arm, number, rate, 30.0 * slow))
    return Readings(found)


def test_tools_stand_beside_the_suite_and_large_differences_are_marked(measured):
    figures, ratios = tables.beside_tools(measured, ["sanic"], ["wrk", "hey", "locust"])
    assert [row[1] for row in figures.rows] == ["SwarmUser", "wrk", "hey"]
    assert figures.rows[0][2:] == ["22,500", "2.10", "3.20", "4.30", "30.0", "90%", "50%"]
    assert ratios.rows[0][2] == "1.01 (1.01 to 1.01)"
    assert ratios.rows[1][2] == "**0.50 (0.50 to 0.50)**"
    assert "1 of 10" in ratios.notes[0]


def test_a_tool_that_is_missing_leaves_no_trace(measured):
    (figures,) = tables.beside_tools(measured, ["sanic"], ["locust"])
    assert [row[1] for row in figures.rows] == ["SwarmUser"]


def test_servers_stand_beside_the_first_as_each_generator_sees_them(measured):
    (table,) = tables.between_servers(measured, ["sanic", "uvicorn"], ["wrk", "locust"])
    assert table.headings == ["configuration", "SwarmUser", "wrk"]
    assert table.rows == [["uvicorn", *["0.500 (0.500 to 0.500)"] * 2]]
    assert table.notes[1:] == ["Over sanic, wrk sees 1.00 to 1.00 times the ratios that SwarmUser sees."]
    assert tables.between_servers(measured, ["sanic"], ["wrk"]) == []


def test_an_unknown_server_is_named_before_anything_is_measured(tmp_path):
    asked = ["yardsticks", "--results", str(tmp_path), "--configurations", "unicorn"]
    result = CliRunner().invoke(command.app, asked)
    assert result.exit_code == 2 and "did you mean 'uvicorn'" in result.output


def test_what_a_naive_benchmark_says(measured):
    (table,) = tables.naive(measured, ["sanic", "uvicorn"])
    assert table.rows[0][1:4] == ["4,500 / 22,500", "**0.20 (0.20 to 0.20)**", "90% / 90%"]
    assert table.rows[0][4] == "2 / 2.10"
    text = " ".join(table.notes)
    assert (
        "answers 1.00 (1.00 to 1.00) times" in text
        and "2.00 (2.00 to 2.00) times as many under the suite" in text
    )


def test_what_measuring_costs(measured):
    (table,) = tables.cost(measured)
    assert [row[:2] for row in table.rows] == [
        ["metering", "sanic, 1 worker"],
        ["metering", "sanic, 2 workers"],
        ["recording", "null server"],
        ["recording", "sanic, 1 worker"],
    ]
    assert table.rows[0][2] == "**0.80 (0.80 to 0.80)**" and table.rows[0][5] == "0.40% of CPU 0"


def test_tables_are_markdown(measured):
    text = documents.markdown(tables.cost(measured), "Measured somewhere.")
    lines = text.splitlines()
    assert lines[1] == "|---|--:|--:|--:|--:|--:|" and len({line.count("|") for line in lines[:6]}) == 1
    assert lines[-2:] == ["", "Measured somewhere."]


def test_the_generator_is_held_against_its_goals():
    rates = {tables.OURS: 80_000, tables.FAST: 8_000, tables.HTTP: 2_000, tables.BARE: 100_000}
    found = [
        reading(arm, number, rate / number, 1.0, generator_rss_bytes=100 << 20, generator_lag_ms=1.0)
        for arm, rate in rates.items()
        for number in (1, 2)
    ]
    many = reading(tables.OURS, 1, 70_000, 1.0, generator_rss_bytes=200 << 20, generator_lag_ms=13.0)
    table = tables.generators(Readings(found), many, connections=10_064, users=64)
    # Half a CPU for 80,000 and for 40,000 requests in a second.
    assert table.rows[0] == ["SwarmUser, recording", "60,000", "40,000 to 80,000", "9.4", "90%"]
    assert [row[0] for row in table.rows][1:] == [
        "FastHttpUser, recording",
        "HttpUser, recording",
        "SwarmUser, no recording",
    ]
    assert table.notes == [
        "SwarmUser / FastHttpUser: 10.00 (10.00 to 10.00); the goal is at least 12.",
        "SwarmUser / wrk: unknown, wrk is not installed (Debian: apt install wrk).",
        "With / without recording: 0.80 (0.80 to 0.80); the goal is at least 0.95.",
        "With 10,064 connections: 70,000 requests/s, 10.2 KiB of memory per connection; the longest it did "
        "not look at its sockets was 13 ms.",
    ]


def test_a_document_without_the_markers_is_refused_before_anything_is_measured(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("by hand\n")
    done = CliRunner().invoke(command.app, ["self", "--readme", str(page)])
    assert done.exit_code == 1 and "<!-- measured: make bench-self -->" in done.stderr
    assert page.read_text() == "by hand\n"


def test_the_methodology_has_the_markers():
    documents.check(command.DOCUMENT, [command.TOOLS_BLOCK, command.LOCUST_BLOCK, command.COST_BLOCK])


def test_a_round_measures_every_arm(catalogue, current):
    installed = [tool.name for tool in tools.TOOLS.values() if tool.installed]
    arms = [Arm("sanic-single", 1, name) for name in ("swarm", *installed)]
    arms += [Arm("sanic-single", 1, "swarm", metered=False), tables.BARE, tables.FAST]
    split = cpus.split_here(1)
    measuring = measure.rounds(
        catalogue.configurations,
        {"current": current},
        split,
        print,
        users=4,
        seconds=2,  # in one second a busy machine may answer nothing
        random=random.Random(1),
        also=[readings.FAST_HTTP_USER],
    )
    with measuring as rounds:
        found = {each.arm: each for each in rounds.measure(arms, 1)}
        with rounds.afresh(8) as of_more:
            (more,) = of_more.measure([tables.OURS], 1)
    assert set(found) == set(arms)
    for arm, each in found.items():
        assert each.requests > 0 and each.cpu_us > 0 and each.server_busy > 0
        assert (each.latency_us is not None) == arm.recorded
        assert (each.meter_busy is None) == (arm.configuration is None)
    unmetered = found[Arm("sanic-single", 1, "swarm", metered=False)]
    assert more.generator_rss_bytes > 0 and more.generator_lag_ms >= 0
    assert unmetered.meter_busy == 0 and unmetered.meter_cpus == split.server


def test_an_interrupted_measurement_leaves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "bench", "yardsticks", "--results", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    parent = psutil.Process(process.pid)

    def serves():
        assert process.poll() is None
        return any("targets.serve" in " ".join(child.cmdline()) for child in parent.children())

    try:
        wait_until(serves, "a server is started")
        family = parent.children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=LONG_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130 and "nothing was kept" in output
    assert psutil.wait_procs(family, LONG_S)[1] == []
    assert list(tmp_path.iterdir()) == []


def test_tools_that_are_missing_are_named(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert [tool.name for tool in command._installed()] == ["locust"]
    said = capsys.readouterr().out
    assert re.search("wrk is not installed.*\n.*hey is not installed", said)


def test_scenario_files_are_where_they_are_looked_for():
    assert all(Path(path).exists() for path in (*measure.SCENARIOS.values(), tools.FAST_HTTP_USER))
