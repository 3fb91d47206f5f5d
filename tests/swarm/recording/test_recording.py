"""What is recorded: whole files, exact totals, bounded memory, and plain users too."""

from __future__ import annotations

import csv
from time import time

import gevent
import numpy as np
import pytest
from locust import FastHttpUser, HttpUser, constant, task

import swarm.engine.recorder as recorder_module
from bench.model.records.columns import FILES
from swarm.control.plugin import RECORD
from swarm.recording import files
from swarm.recording.batch import FROM_SCHEDULE, SERVICE, Batch, FailureRow
from swarm.recording.files import FAILURE_COLUMNS, GENERATOR_COLUMNS, LATENCY_COLUMNS, Recording
from swarm.recording.histogram import Histogram
from swarm.recording.slices import SLICE_COLUMNS
from swarm.recording.summary import read_window
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def forever(user):
    yield user.get("/")


def fails(user):
    response = yield user.get("/")
    response.failure("always")


@pytest.fixture
def server(serve):
    return serve({"/": reply(b"12345"), "/no": reply(b"gone", "404 Not Found")})


def test_three_files_appear_when_the_test_stops(server, make_swarm, tmp_path):
    folder = tmp_path / "new" / "folder"
    swarm = make_swarm(user_class(forever), host=server.url, record=str(folder), stop_timeout=10).start(3)
    until(lambda: len(server.asked) > 100, "requests")
    gevent.sleep(1.1)
    assert not list(folder.glob("*.csv"))
    swarm.stop()
    assert {path.name for path in folder.iterdir()} == {"latency.csv", "failures.csv", "generator.csv"}
    latency = rows(folder / "latency.csv")
    assert tuple(latency[0]) == LATENCY_COLUMNS
    assert sum(int(row["count"]) for row in latency) == len(server.asked) == swarm.coordinator.requests
    assert {(row["method"], row["name"], row["kind"]) for row in latency} == {("GET", "/", "service")}
    assert all(time() - 60 < int(row["second"]) <= time() for row in latency)
    assert not rows(folder / "failures.csv")
    generator = rows(folder / "generator.csv")
    assert tuple(generator[0]) == GENERATOR_COLUMNS
    assert all(row["users"] == row["connections_open"] == "3" for row in generator)
    assert all(float(row["cpu_s"]) > 0 and int(row["rss_bytes"]) > 0 for row in generator)


def test_requests_of_a_test_without_recording_are_not_in_the_next(server, make_swarm, tmp_path):
    swarm = make_swarm(user_class(forever), host=server.url, stop_timeout=10).start(2)
    until(lambda: len(server.asked) > 50, "requests")
    swarm.stop()
    before = len(server.asked)
    setattr(swarm.environment.parsed_options, RECORD, str(tmp_path))
    swarm.start(2)
    until(lambda: len(server.asked) > before + 50, "more requests")
    swarm.stop()
    assert sum(int(row["count"]) for row in rows(tmp_path / "latency.csv")) == len(server.asked) - before


def test_what_cannot_be_recorded_is_an_error(server, make_swarm, tmp_path):
    (tmp_path / "file").write_text("")
    swarm = make_swarm(user_class(forever), host=server.url, record=str(tmp_path / "file" / "x")).start()
    until(lambda: swarm.coordinator.error, "the error is known")
    assert "cannot record into" in swarm.coordinator.error
    assert swarm.environment.process_exit_code == 1


def test_a_recording_for_which_there_is_no_memory_is_an_error(server, make_swarm, tmp_path, monkeypatch):
    def hungry(_spool):
        raise MemoryError

    monkeypatch.setattr(files, "_read_spool", hungry)
    swarm = make_swarm(user_class(forever), host=server.url, record=str(tmp_path), stop_timeout=10).start()
    until(lambda: server.asked, "a request")
    swarm.stop()
    assert swarm.coordinator.error == "cannot write the recording: no memory is left"
    assert swarm.environment.process_exit_code == 1 and not list(tmp_path.iterdir())


def test_failures_beyond_a_thousand_in_a_second_are_one_row_each_kind(
    null_server, make_swarm, tmp_path, monkeypatch
):
    monkeypatch.setattr(recorder_module, "FAILURE_ROWS_PER_SECOND", 10)
    swarm = make_swarm(user_class(fails), host=null_server, record=str(tmp_path), stop_timeout=10).start(4)
    gevent.sleep(1.2)
    swarm.stop()
    failures = rows(tmp_path / "failures.csv")
    assert tuple(failures[0]) == FAILURE_COLUMNS
    seconds = {int(float(row["time"])) for row in failures}
    assert len(failures) <= (10 + 1) * len(seconds)
    assert any(int(row["count"]) > 100 for row in failures)
    total = sum(int(row["count"]) for row in failures)
    assert total == swarm.coordinator.failures == swarm.stats.num_failures
    assert all(row["latency_us"] == row["bytes_received"] == "" for row in failures if int(row["count"]) > 1)


@pytest.mark.parametrize("base", [HttpUser, FastHttpUser])
def test_plain_users_are_recorded_too(server, make_swarm, tmp_path, base):
    class Plain(base):
        wait_time = constant(0.01)

        @task
        def work(self):
            self.client.get("/", name="root")
            self.client.get("/no")
            with self.client.get("/", name="checked", catch_response=True) as response:
                response.failure("wrong")

    swarm = make_swarm(Plain, host=server.url, record=str(tmp_path), stop_timeout=10).start(2)
    until(lambda: len(server.asked) > 30, "requests")
    swarm.stop()
    each = len(server.asked) // 3
    latency = rows(tmp_path / "latency.csv")
    assert {row["name"] for row in latency} == {"root"}
    assert sum(int(row["count"]) for row in latency) == each
    kinds = [(row["name"], row["kind"]) for row in rows(tmp_path / "failures.csv")]
    assert sorted(set(kinds)) == [("/no", "http_4xx"), ("checked", "check")]
    assert len(kinds) == 2 * each


def test_swarm_requests_that_a_listener_hears_are_recorded_once(server, make_swarm, tmp_path):
    swarm = make_swarm(user_class(forever), host=server.url, record=str(tmp_path), stop_timeout=10)
    swarm.environment.events.request.add_listener(lambda **_: None)
    swarm.start(2)
    until(lambda: len(server.asked) > 50, "requests")
    swarm.stop()
    assert sum(int(row["count"]) for row in rows(tmp_path / "latency.csv")) == len(server.asked)


def batch_of(second, *latencies, name="/"):
    batch = Batch()
    batch.add_histogram(second, "GET", name, SERVICE, Histogram.of(np.array(latencies, dtype=np.int64)))
    return batch


def test_batches_of_the_same_second_are_merged_and_late_ones_are_in_order(tmp_path):
    recording = Recording(tmp_path)
    for second, *latencies in ((100, 1000), (103, 7), (101, 5), (100, 1000, 2000), (150, 1)):
        recording.add(batch_of(second, *latencies))
    recording.finish()
    assert [(row["second"], row["bucket_us"], row["count"]) for row in rows(tmp_path / "latency.csv")] == [
        ("100", "1.000", "2"),
        ("100", "2.000", "1"),
        ("101", "0.005", "1"),
        ("103", "0.007", "1"),
        ("150", "0.001", "1"),
    ]


@pytest.mark.parametrize("name", ['a, "b"', "zwei\nZeilen", "ä", "=1+1"])
def test_names_and_details_may_be_anything(tmp_path, name):
    recording = Recording(tmp_path)
    batch = batch_of(100, 5, name=name)
    batch.failures.append(FailureRow(100.5, "GET", name, "check", 1.0, None, None, None, 1, None, name))
    recording.add(batch)
    recording.finish()
    assert rows(tmp_path / "latency.csv")[0]["name"] == name
    [failure] = rows(tmp_path / "failures.csv")
    assert (failure["name"], failure["detail"], failure["connection_age_s"]) == (name, name, "")
    inside, outside = read_window(tmp_path, 100, 101), read_window(tmp_path, 101, 102)
    assert (inside.requests, inside.failures) == (1, 1)
    assert (outside.requests, outside.failures) == (0, 0)


def test_successes_are_counted_from_a_second_on(tmp_path):
    recording = Recording(tmp_path)
    for second, *latencies in ((100, 1), (101, 2, 3), (100, 4), (102, 5)):
        recording.add(batch_of(second, *latencies))
    of_another_kind = Batch()
    of_another_kind.add_histogram(101, "GET", "/", FROM_SCHEDULE, Histogram.of(np.array([7])))
    of_another_kind.failures.append(
        FailureRow(101.5, "GET", "/", "check", 1.0, None, None, None, 1, None, "")
    )
    recording.add(of_another_kind)
    assert [recording.successes_since(second) for second in (0, 100, 101, 102, 103)] == [5, 5, 3, 1, 0]
    recording.discard()


def test_a_recording_that_is_given_up_leaves_nothing(tmp_path):
    recording = Recording(tmp_path)
    recording.add(batch_of(100, 5))
    recording.discard()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("latency", files.LATENCY_COLUMNS),
        ("failures", files.FAILURE_COLUMNS),
        ("generator", files.GENERATOR_COLUMNS),
        ("trace", files.TRACE_COLUMNS),
        ("slices", SLICE_COLUMNS),
    ],
)
def test_the_columns_are_those_that_readers_expect(name, columns):
    assert list(FILES[name].types) == list(columns)
