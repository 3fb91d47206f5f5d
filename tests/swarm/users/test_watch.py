"""Requests that a task makes and does not yield: told once, with the place, and counted as an exception."""

from __future__ import annotations

import logging
from functools import partial

import pytest
from locust import TaskSet, task
from locust.exception import RescheduleTask, StopUser

from swarm import SwarmUser
from swarm.users.unsent import RUNS
from tests.swarm.scripted import reply


@pytest.fixture
def server(serve):
    return serve({path: reply() for path in ("/", "/login", "/a", "/b")})


@pytest.fixture
def told(server, make_swarm, caplog):
    """Lets users of a class live to their end: what was logged, and what Locust counts as exceptions."""

    def live(user_class, users=1):
        with caplog.at_level(logging.WARNING, logger="swarm"):
            swarm = make_swarm(user_class, host=server.url).start(users).join()
        logged = [record.getMessage() for record in caplog.records if record.name == "swarm.users.unsent"]
        exceptions = list(swarm.runner.exceptions.values())
        return logged, exceptions

    return live


class Rounds(SwarmUser):
    """Runs its tasks often enough for the watch to have ended."""

    abstract = True
    rounds = 0

    def wait_time(self):
        self.rounds += 1
        if self.rounds == 3 * RUNS:
            raise StopUser
        return 0


def line_of(function, text):
    """Where a line of a function is, as `FILE:LINE, in NAME`."""
    code = function.__code__
    lines = open(code.co_filename).read().splitlines()  # noqa: PTH123, SIM115
    number = next(n for n in range(code.co_firstlineno, len(lines)) if text in lines[n - 1])
    return f"{code.co_filename}:{number}, in {code.co_name}"


def plain_and_dropped(user):
    user.get("/a")


def plain_and_returned(user):  # scrapy/scrapy#708: a request returned where one is yielded
    return user.post("/a", json={"a": 1})


def between_others(user):
    yield user.get("/a")
    user.get("/b", name="b")
    yield user.get("/a")


def never_reached(user):
    user.get("/b")
    return
    yield


def a_pause(user):
    yield user.get("/a")
    user.pause(0.5)


@pytest.mark.parametrize(
    ("steps", "text", "what"),
    [
        (plain_and_dropped, "user.get", "GET /a"),
        (plain_and_returned, "user.post", "POST /a"),
        (between_others, 'name="b"', "GET b"),
        (never_reached, "user.get", "GET /b"),
        (a_pause, "user.pause", "a pause of 0.5 s"),
    ],
)
def test_what_a_task_drops_is_told_once(told, steps, text, what):
    class Visitor(Rounds):
        tasks = [steps]  # noqa: RUF012

    logged, exceptions = told(Visitor, users=3)
    place = line_of(steps, text)
    assert [line.partition(" was ")[0] for line in logged] == [f"{place}: {what}"]
    [row] = exceptions
    assert row["count"] == 1
    assert row["msg"].startswith(f"NeverSent: {what}")
    # Locust's own table and CSV name the line.
    file, line, _, name = place.replace(", in ", ":in:").rsplit(":", 3)
    assert row["traceback"].startswith(f'  File "{file}", line {line}, in {name}\n')
    assert text in row["traceback"]
    assert "^" not in row["traceback"]


def test_hooks_and_helpers_are_watched_and_places_told_apart(told):
    class Part(TaskSet):
        def on_start(self):
            self.user.get("/a", name="start of the set")

        @task
        def leave(self):
            self.interrupt(reschedule=False)

        def on_stop(self):
            self.user.get("/a", name="stop of the set")

    class Visitor(Rounds):
        tasks = [Part]  # noqa: RUF012

        def on_start(self):
            self.log_in("start")

        def log_in(self, name):
            self.post("/login", name=name)

        @task
        def visit(self):
            yield from ()
            self.help()

        def help(self):
            self.get("/a", name="in a helper")

        def on_stop(self):
            self.get("/a", name="stop")

    _, exceptions = told(Visitor, users=4)
    assert {row["count"] for row in exceptions} == {1}
    assert {row["msg"].removeprefix("NeverSent: ").partition(" was ")[0] for row in exceptions} == {
        "POST start",
        "GET start of the set",
        "GET in a helper",
        "GET stop of the set",
        "GET stop",
    }


def keeps(user):
    if not hasattr(user, "kept"):
        user.kept = [user.get("/a"), user.post("/b", data=b"x")]
    first, second = user.kept
    yield first
    yield second


def chooses(user):
    yield max([user.get("/a"), user.get("/b", name="b")], key=lambda request: request.path)


def hands_on(user):
    yield (yield_me := user.get("/a"))
    yield yield_me


def partly(user):
    yield from between(user, user.get("/a"))


def between(user, request):
    response = yield request
    assert response.ok
    user.later = user.get("/b")


def raises_after(user):
    yield user.get("/a")
    raise RescheduleTask


@pytest.mark.parametrize("steps", [keeps, chooses, hands_on, partly, raises_after, partial(keeps)])
def test_what_is_kept_or_sent_is_not_told(told, server, steps):
    class Visitor(Rounds):
        tasks = [steps]  # noqa: RUF012

        def on_start(self):
            self.order = self.post("/login", json={"a": 1})

    assert told(Visitor, users=2) == ([], [])
    assert server.asked


def test_exceptions_of_watched_and_other_runs_are_the_same_one(told):
    def fails(user):
        yield user.get("/a")
        raise KeyError("k")

    class Visitor(Rounds):
        tasks = [fails]  # noqa: RUF012

    _, [row] = told(Visitor)
    assert row["count"] == 3 * RUNS
    assert row["traceback"].startswith(f'  File "{__file__}"')


def test_after_its_first_runs_a_task_is_run_as_it_is(make_swarm, server):
    watches = []

    class Visitor(Rounds):
        @task
        def look(self):
            watches.append(self._watch)
            first = self.get("/a")
            assert (self.get("/a") is first) is (self._watch is None)
            yield first

    swarm = make_swarm(Visitor, host=server.url)
    swarm.start(3).join()
    assert [watch is not None for watch in watches].count(True) == RUNS
    swarm.start(3).join()  # another test: watched anew
    assert [watch is not None for watch in watches].count(True) == 2 * RUNS
    assert {
        row["msg"].removeprefix("NeverSent: ").partition(" was ")[0]
        for row in swarm.runner.exceptions.values()
    } == {"GET /a"}


def test_a_coroutine_is_refused_each_time(told, server):
    """anmol098/waka-readme-stats#523: code of an asynchronous client, of which nothing was ever sent."""

    class Visitor(Rounds):
        @task
        async def look(self):
            self.get("/a")

    _, exceptions = told(Visitor)
    assert sum(row["count"] for row in exceptions) == 3 * RUNS
    assert all("write `def` and `yield`" in row["msg"] for row in exceptions)
    assert not server.asked
