"""The trace: each request has an id, which the server sees, and a row that says what became of it."""

from __future__ import annotations

import csv
from decimal import Decimal
from itertools import pairwise
from time import time

import gevent
import gevent.event
import pytest
from locust.exception import StopUser

from swarm import Arrivals, FailureKind
from swarm.control.plugin import RECORD, TRACE
from swarm.recording.batch import Batch, TraceRow
from swarm.recording.files import TRACE_COLUMNS, Recording
from tests.ports import free_port
from tests.swarm.harness import until, user_class
from tests.swarm.http.test_failures import LOSSES, time_out
from tests.swarm.scripted import reply, then_reset


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def times(row):
    return [Decimal(row[column]) for column in ("due", "sent", "ended")]


def once(steps):
    """A task that goes through `steps` and ends its user."""

    def whole(user):
        yield from steps(user)
        raise StopUser

    return whole


def ask(user):
    yield user.get("/")


@pytest.fixture
def traced(make_swarm, tmp_path):
    """A swarm whose requests are traced into tmp_path: `traced(host, steps, **attributes)`."""

    def make(host, steps, **attributes):
        return make_swarm(
            user_class(steps, **attributes),
            host=host,
            record=str(tmp_path),
            locust_options={TRACE: True},
            stop_timeout=20,
        )

    return make


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept alive", "connection per request"])
def test_every_request_has_an_id_that_the_server_saw_and_a_row(serve, traced, tmp_path, keep_alive):
    server = serve({"/": reply(), "/two": reply()})

    def steps(user):
        yield user.get("/")
        yield user.post("/two", data=b"body", name="second, of two")

    swarm = traced(server.url, steps, keep_alive=keep_alive).start(5)
    until(lambda: len(server.asked) > 200, "requests")
    swarm.stop()
    found = rows(tmp_path / "trace.csv")
    assert tuple(found[0]) == TRACE_COLUMNS
    seen = {asked.headers["x-request-id"]: asked for asked in server.asked}
    assert len(seen) == len(server.asked) == len(found) == swarm.coordinator.requests
    assert {row["id"] for row in found} == seen.keys() == {f"0-{n + 1}" for n in range(len(found))}
    for row in found:
        asked = seen[row["id"]]
        second = asked.target == "/two"
        assert (row["method"], asked.body) == (("POST", b"body") if second else ("GET", b""))
        assert (row["name"], row["kind"]) == ("second, of two" if second else "/", "")
    ours_and_theirs = {(row["connection"], seen[row["id"]].connection) for row in found}
    assert len(ours_and_theirs) == server.connections  # one to one
    assert {ours for ours, _ in ours_and_theirs} == {str(n + 1) for n in range(server.connections)}


def test_times_are_exact_in_order_and_of_one_clock(serve, traced, tmp_path):
    before = time()
    swarm = traced(serve({"/": reply()}).url, ask).start(3)
    until(lambda: swarm.stats.total.num_requests > 100, "requests")
    swarm.stop()
    found = rows(tmp_path / "trace.csv")
    assert before - 1 < times(found[0])[0] <= times(found[-1])[2] < time() + 1
    assert all(before <= after for before, after in pairwise(times(row)[2] for row in found))
    assert all(due == sent < ended for due, sent, ended in map(times, found))
    assert all(len(row["sent"].partition(".")[2]) == 6 for row in found)
    latencies = {Decimal(row["bucket_us"]) for row in rows(tmp_path / "latency.csv")}
    for _, sent, ended in map(times, found):
        took_us = (ended - sent) * 1_000_000
        assert any(-1 <= took_us - edge <= 1 + edge / 1000 for edge in latencies)


@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept alive", "connection per request"])
@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_has_its_row_and_the_same_id_among_the_failures(serve, traced, tmp_path, loss, keep_alive):
    script, kind = LOSSES[loss]
    server = serve({"/": script, "/ok": reply()})

    def steps(user):
        yield user.get("/ok")
        yield user.get("/", timeout=time_out(kind))
        yield user.get("/ok")

    traced(server.url, once(steps), keep_alive=keep_alive).start().join()
    found, [failure] = rows(tmp_path / "trace.csv"), rows(tmp_path / "failures.csv")
    ids = [asked.headers["x-request-id"] for asked in server.asked]
    assert [row["id"] for row in found] == ids == ["0-1", "0-2", "0-3"]
    assert [row["kind"] for row in found] == ["", kind, ""]
    assert [row["connection"] for row in found] == [str(asked.connection) for asked in server.asked]
    assert (failure["id"], failure["kind"]) == ("0-2", kind)


@pytest.mark.parametrize(
    ("host", "kind"), [("127.0.0.1", FailureKind.REFUSED), ("255.255.255.255", FailureKind.CONNECT_FAILED)]
)
def test_what_never_connected_has_an_id_and_no_connection(traced, tmp_path, host, kind):
    traced(f"http://{host}:{free_port()}", once(ask)).start().join()
    [row], [failure] = rows(tmp_path / "trace.csv"), rows(tmp_path / "failures.csv")
    assert (row["id"], row["kind"], row["connection"]) == ("0-1", kind, "")
    assert (failure["id"], failure["kind"]) == ("0-1", kind)
    due, sent, ended = times(row)
    assert due == sent <= ended


def test_the_kind_is_what_the_task_judged(serve, traced, tmp_path):
    server = serve({"/": reply(), "/no": reply(b"", "404 Not Found")})

    def steps(user):
        (yield user.get("/")).failure("wrong")
        (yield user.get("/no")).success()

    traced(server.url, once(steps)).start().join()
    assert [row["kind"] for row in rows(tmp_path / "trace.csv")] == ["check", ""]
    assert [row["id"] for row in rows(tmp_path / "failures.csv")] == ["0-1"]


@pytest.mark.parametrize("use_cookies", [False, True])
def test_a_request_that_could_not_be_sent_on_a_closed_connection_keeps_its_id(
    serve, traced, tmp_path, use_cookies
):
    server = serve({"/": then_reset(reply(b"", "200 OK", "set-cookie: a=1")), "/after": reply()})

    def steps(user):
        yield user.get("/")
        until(lambda: server.open == 0, "reset while the task holds the engine up, so sending finds it")
        yield user.get("/after")
        yield user.get("/after")

    swarm = traced(server.url, once(steps), use_cookies=use_cookies).start().join()
    assert [asked.headers["x-request-id"] for asked in server.asked] == ["0-1", "0-2", "0-3"]
    assert [asked.headers.get("cookie") for asked in server.asked[1:]] == ["a=1" if use_cookies else None] * 2
    found = rows(tmp_path / "trace.csv")
    assert [(row["id"], row["connection"], row["kind"]) for row in found] == [
        ("0-1", "1", ""),
        ("0-2", "2", ""),
        ("0-3", "2", ""),
    ]
    assert swarm.engine.counters.idle_closes == 1
    assert not rows(tmp_path / "failures.csv")


def test_what_is_cut_by_the_end_has_no_row(serve, make_swarm, tmp_path):
    opened = gevent.event.Event()

    def slow(client, _asked):
        opened.wait()
        client.send(reply())

    server = serve({"/": reply(), "/slow": slow, "/bye": reply()})

    def steps(user):
        yield user.get("/")
        yield user.get("/slow")

    tester = user_class(steps, on_stop=lambda user: (yield user.get("/bye")))
    options = {TRACE: True}
    swarm = make_swarm(tester, host=server.url, record=str(tmp_path), locust_options=options).start(3)
    until(lambda: server.targets.count("/slow") == 3, "three are in flight")
    swarm.stop()
    opened.set()
    found = rows(tmp_path / "trace.csv")
    assert sorted(row["name"] for row in found) == ["/"] * 3 + ["/bye"] * 3
    sent = {asked.headers["x-request-id"] for asked in server.asked if asked.target != "/slow"}
    assert {row["id"] for row in found} == sent
    assert len({asked.headers["x-request-id"] for asked in server.asked}) == 9


def test_the_answer_at_which_a_task_ends_its_user_by_force_has_its_row(serve, traced, tmp_path):
    server = serve({"/": reply()})

    def ends(user):
        yield user.get("/")
        user.stop(force=True)

    swarm = traced(server.url, ends, arrivals=Arrivals(1000)).start()
    until(lambda: server.asked and not swarm.runner.user_count, "the user has ended")
    swarm.stop()
    assert [row["id"] for row in rows(tmp_path / "trace.csv")] == ["0-1"]
    kinds = [row["kind"] for row in rows(tmp_path / "latency.csv")]
    assert sorted(kinds) == ["from_schedule", "lateness", "service"]


# -- Open loops


def stalls_first(seconds):
    """A script that lets its first request wait."""
    asked_before = []

    def script(client, _asked):
        asked_before.append(1)
        gevent.sleep(seconds if len(asked_before) == 1 else 0)
        client.send(reply())

    return script


def test_in_an_open_loop_a_request_is_due_by_the_schedule(serve, traced, tmp_path):
    """50 per second, one user, a stall of half a second: what came due in it waited."""
    server = serve({"/": stalls_first(0.5), "/two": reply()})

    def steps(user):
        yield user.get("/")
        yield user.get("/two")

    swarm = traced(server.url, steps, arrivals=Arrivals(50)).start()
    until(lambda: len(server.asked) >= 80, "arrivals")
    swarm.stop()
    found = rows(tmp_path / "trace.csv")
    first = [times(row) for row in found if row["name"] == "/"]
    dues = [due for due, _, _ in first]
    assert all(abs(due - dues[0] - n * Decimal("0.02")) <= Decimal("0.000001") for n, due in enumerate(dues))
    assert all(due <= sent < ended for due, sent, ended in first)
    for n in range(1, 20):  # each was sent after the stall, which began with the first
        assert first[n][1] - dues[n] >= Decimal("0.499") - n * Decimal("0.02")
    assert all(due == sent for due, sent, _ in (times(row) for row in found if row["name"] == "/two"))
    recorded = [row for row in rows(tmp_path / "latency.csv") if row["kind"] == "lateness"]
    assert sum(int(row["count"]) for row in recorded) == len(first)


def test_the_first_request_of_an_arrival_is_due_with_it_even_after_a_pause(serve, traced, tmp_path):
    server = serve({"/": reply(), "/two": reply(), "/bye": reply()})

    def steps(user):
        yield user.pause(0.05)
        yield user.get("/")
        yield user.get("/two")

    attributes = {"arrivals": Arrivals(20), "on_stop": lambda user: (yield user.get("/bye"))}
    swarm = traced(server.url, steps, **attributes).start(5)
    until(lambda: len(server.asked) >= 20, "arrivals")
    swarm.stop()
    by_name = {"/": [], "/two": [], "/bye": []}
    for row in rows(tmp_path / "trace.csv"):
        due, sent, _ = times(row)
        by_name[row["name"]].append(sent - due)
    assert all(waited >= Decimal("0.05") for waited in by_name["/"])
    assert by_name["/bye"] == [0] * 5
    assert not any(by_name["/two"])


# -- Around it


def test_without_a_trace_there_is_no_header_and_no_file(serve, make_swarm, traced, tmp_path):
    server = serve({"/": reply(b"", "404 Not Found")})
    swarm = traced(server.url, ask).start(2)
    until(lambda: len(server.asked) > 20, "traced requests")
    swarm.stop()
    assert all("x-request-id" in asked.headers for asked in server.asked)
    before, folder = len(server.asked), tmp_path / "second"
    setattr(swarm.environment.parsed_options, RECORD, str(folder))
    setattr(swarm.environment.parsed_options, TRACE, False)
    swarm.start(2)
    until(lambda: len(server.asked) > before + 20, "more requests")
    swarm.stop()
    assert not any("x-request-id" in asked.headers for asked in server.asked[before:])
    assert {path.name for path in folder.iterdir()} == {"latency.csv", "failures.csv", "generator.csv"}
    assert {row["id"] for row in rows(folder / "failures.csv")} == {""}
    assert not swarm.engine.listeners


def test_numbers_begin_again_with_each_test(serve, traced, tmp_path):
    server = serve({"/": reply()})
    swarm = traced(server.url, once(ask))
    for number in ("first", "second"):
        setattr(swarm.environment.parsed_options, RECORD, str(tmp_path / number))
        swarm.start(2).join()
        found = rows(tmp_path / number / "trace.csv")
        assert sorted((row["id"], row["connection"]) for row in found) == [("0-1", "1"), ("0-2", "2")]
    assert len(server.asked) == 4


def test_listeners_of_locusts_event_hear_what_is_traced(serve, traced, tmp_path):
    heard = []
    swarm = traced(serve({"/": reply()}).url, ask)
    swarm.environment.events.request.add_listener(lambda **fields: heard.append(fields["name"]))
    swarm.start()
    until(lambda: len(heard) > 20, "requests")
    swarm.stop()
    assert len(heard) == len(rows(tmp_path / "trace.csv"))


def traced_row(number, ended, **fields):
    row = TraceRow(f"1-{number}", "GET", "/", 5, 6, ended, None, "")
    return row._replace(**fields)


def test_rows_are_written_in_the_order_of_their_end(tmp_path):
    """Of several processes, whose batches overlap, and over more seconds than are held in memory."""
    second = 1_000_000_000
    recording = Recording(tmp_path, trace=True)
    for ends in ((100 * second + 7, 100 * second + 3), (99 * second, 100 * second + 5), (200 * second,)):
        batch = Batch(trace=[traced_row(end, end) for end in ends])
        recording.add(Batch.unpacked(batch.packed()))
    recording.finish()
    ids = [int(row["id"].removeprefix("1-")) for row in rows(tmp_path / "trace.csv")]
    assert ids == sorted(ids)
    assert len(ids) == 5
    assert {path.name for path in tmp_path.iterdir()} == {
        "latency.csv",
        "failures.csv",
        "generator.csv",
        "trace.csv",
    }


def test_a_row_as_it_is_written(tmp_path):
    recording = Recording(tmp_path, trace=True)
    odd = traced_row(
        1, 1_790_000_000_000_000_999, due=1_789_999_999_999_999_000, name='a, "b"\n', kind="check"
    )
    recording.add(Batch(trace=[odd, traced_row(2, 1_790_000_001_000_000_000, connection=3)]))
    recording.finish()
    first, second = rows(tmp_path / "trace.csv")
    assert (first["name"], first["connection"], first["kind"]) == ('a, "b"\n', "", "check")
    assert (first["due"], first["ended"]) == ("1789999999.999999", "1790000000.000000")
    assert (second["connection"], second["kind"], second["sent"]) == ("3", "", "0.000000")


def test_a_traced_recording_that_is_given_up_leaves_nothing(tmp_path):
    recording = Recording(tmp_path, trace=True)
    recording.add(Batch(trace=[traced_row(1, 7)]))
    recording.discard()
    assert not list(tmp_path.iterdir())
