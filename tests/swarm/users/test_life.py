"""Locust's life of a user: tasks and task sets, waits, hooks, and the exceptions that steer them."""

from __future__ import annotations

from collections import Counter

import pytest
from locust import (
    SequentialTaskSet,
    TaskSet,
    constant,
    tag,
    task,
)
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser

from swarm import SwarmUser
from tests.swarm.harness import until, user_class
from tests.swarm.scripted import reply


@pytest.fixture
def server(serve):
    paths = ("/", "/a", "/b", "/c", "/d", "/start", "/stop", "/in", "/out")
    return serve({path: reply() for path in paths})


def asks(path):
    """A task that asks for one path."""

    def ask(holder):
        user = holder if isinstance(holder, SwarmUser) else holder.user
        yield user.get(path)

    ask.__name__ = f"ask_{path[1:]}"
    return ask


def ends(holder):
    raise StopUser


def test_weights(server, make_swarm):
    class Weighted(SwarmUser):
        tasks = {asks("/a"): 3, asks("/b"): 1}  # noqa: RUF012

    make_swarm(Weighted, host=server.url).start(2)
    until(lambda: len(server.asked) >= 800, "800 requests")
    seen = Counter(server.targets)
    assert 2 < seen["/a"] / seen["/b"] < 4.5  # the chance of leaving this range is below 1e-6


def test_tags(server, make_swarm):
    class Tagged(SwarmUser):
        @tag("wanted")
        @task
        def a(self):
            yield self.get("/a")

        @task
        def b(self):
            yield self.get("/b")

    make_swarm(Tagged, host=server.url, tags=["wanted"]).start()
    until(lambda: len(server.asked) > 20, "20 requests")
    assert set(server.targets) == {"/a"}


def test_a_task_is_a_sequence_with_parts(server, live):
    def part(user):
        yield user.get("/b")
        response = yield user.get("/c")
        return response.status_code

    statuses = []

    def steps(user):
        yield user.get("/a")
        statuses.append((yield from part(user)))
        yield user.get("/d")

    live(server.url, steps)
    assert server.targets == ["/a", "/b", "/c", "/d"]
    assert statuses == [200]


def test_nested_and_sequential_task_sets(server, make_swarm):
    class Inner(SequentialTaskSet):
        tasks = [asks("/b"), asks("/c")]  # noqa: RUF012

        @task
        def leave(self):
            self.interrupt()

        def on_start(self):
            yield self.user.get("/in")

        def on_stop(self):
            yield self.user.get("/out")

    class Outer(SequentialTaskSet):
        tasks = [asks("/a"), Inner, asks("/d"), ends]  # noqa: RUF012

    class Nested(SwarmUser):
        tasks = [Outer]  # noqa: RUF012

    make_swarm(Nested, host=server.url).start().join()
    assert server.targets == ["/a", "/in", "/b", "/c", "/out", "/d"]


def test_a_task_set_knows_its_user_and_parent(server, make_swarm):
    seen = []

    class Inner(TaskSet):
        @task
        def look(self):
            seen.append((self.user, self.parent))
            yield self.user.get("/")
            raise StopUser

    class Knowing(SwarmUser):
        tasks = [Inner]  # noqa: RUF012

    make_swarm(Knowing, host=server.url).start().join()
    [(user, parent)] = seen
    assert user is parent
    assert isinstance(user, Knowing)


def test_interrupt_without_rescheduling_waits_first(server, make_swarm):
    class Inner(TaskSet):
        @task
        def leave(self):
            yield self.user.get("/a")
            raise InterruptTaskSet(reschedule=False)

    waits = []

    class Waiting(SwarmUser):
        tasks = [Inner]  # noqa: RUF012

        def wait_time(self):
            waits.append(len(server.asked))
            if len(waits) == 3:
                raise StopUser
            return 0.001

    make_swarm(Waiting, host=server.url).start().join()
    assert waits == [1, 2, 3]


def test_rescheduling_skips_the_rest_of_a_task(server, make_swarm):
    """At once, without the wait; or after it."""
    waits = []

    class Changing(SwarmUser):
        rounds = 0

        def wait_time(self):
            waits.append(len(server.asked))
            return 0.001

        @task
        def change(self):
            self.rounds += 1
            yield self.get("/a")
            if self.rounds <= 2:
                raise RescheduleTaskImmediately
            if self.rounds == 3:
                raise RescheduleTask
            raise StopUser
            yield self.get("/b")

    make_swarm(Changing, host=server.url).start().join()
    assert server.targets == ["/a"] * 4
    assert waits == [3]


def test_scheduled_tasks_come_first(server, make_swarm):
    class Scheduling(SwarmUser):
        @task
        class Set(TaskSet):
            def on_start(self):
                self.schedule_task(asks("/b"))
                self.schedule_task(asks("/a"), first=True)

            @task
            def end(self):
                raise StopUser

    make_swarm(Scheduling, host=server.url).start().join()
    assert server.targets == ["/a", "/b"]


@pytest.mark.parametrize("as_generator", [True, False])
def test_on_start_and_on_stop(server, make_swarm, as_generator):
    order = []

    class Hooked(SwarmUser):
        @task
        def work(self):
            order.append("task")
            yield self.get("/a")
            raise StopUser

    class Yielding(Hooked):
        def on_start(self):
            yield self.get("/start")
            order.append("start")

        def on_stop(self):
            yield self.get("/stop")
            order.append("stop")

    class Plain(Hooked):
        def on_start(self):
            order.append("start")

        def on_stop(self):
            order.append("stop")

    make_swarm(Yielding if as_generator else Plain, host=server.url).start().join()
    assert order == ["start", "task", "stop"]
    assert server.targets == (["/start", "/a", "/stop"] if as_generator else ["/a"])


def test_on_stop_runs_when_a_waiting_user_is_stopped(server, make_swarm):
    class Waiting(SwarmUser):
        wait_time = constant(1000)

        @task
        def work(self):
            yield self.get("/a")

        def on_stop(self):
            yield self.get("/stop")

    swarm = make_swarm(Waiting, host=server.url, stop_timeout=10).start(3)
    until(lambda: len(server.asked) == 3, "all have asked")
    until(lambda: all(g.args[0]._state == "waiting" for g in swarm.runner.user_greenlets), "all wait")
    swarm.stop()
    assert Counter(server.targets) == {"/a": 3, "/stop": 3}
    assert swarm.stats.total.num_requests == 6


def test_a_task_that_raises_is_reported_and_the_user_goes_on(server, make_swarm):
    class Clumsy(SwarmUser):
        rounds = 0

        @task
        def stumble(self):
            self.rounds += 1
            yield self.get("/a")
            if self.rounds == 3:
                raise StopUser
            raise ZeroDivisionError("by nought")

    swarm = make_swarm(Clumsy, host=server.url).start().join()
    [exception] = swarm.runner.exceptions.values()
    assert (exception["count"], exception["msg"]) == (2, "ZeroDivisionError: by nought")
    assert server.targets == ["/a"] * 3
    assert swarm.stats.total.num_requests == 3


def test_exceptions_that_locust_is_told_not_to_catch_end_the_user(server, make_swarm):
    def stumble(user):
        yield user.get("/a")
        raise ZeroDivisionError("by nought")

    swarm = make_swarm(user_class(stumble), host=server.url, catch_exceptions=False).start().join()
    assert server.targets == ["/a"]
    assert [e["msg"] for e in swarm.runner.exceptions.values()] == ["ZeroDivisionError: by nought"]


def test_an_on_start_that_raises_ends_its_user_only(server, make_swarm):
    class Clumsy(SwarmUser):
        def on_start(self):
            yield self.get("/start")
            raise ZeroDivisionError("at the start")

        work = task(asks("/a"))

    class Well(SwarmUser):
        work = task(asks("/b"))

    swarm = make_swarm(Clumsy, Well, host=server.url).start(2)
    until(lambda: swarm.runner.user_count == 1 and "/b" in server.targets, "the other user goes on")
    assert "/a" not in server.targets
    assert [e["msg"] for e in swarm.runner.exceptions.values()] == ["ZeroDivisionError: at the start"]


@pytest.mark.parametrize("nonsense", [42, None, "GET /"])
def test_a_task_that_yields_nonsense_is_told_so(server, make_swarm, nonsense):
    told = []

    def steps(user):
        try:
            yield nonsense
        except TypeError as error:
            told.append(str(error))
        yield user.get("/")
        raise StopUser

    make_swarm(user_class(steps), host=server.url).start().join()
    assert told == [f"a task yielded {nonsense!r}; yield self.get(...) or self.pause(...)"]
    assert server.targets == ["/"]


def test_tasks_that_wait_for_nothing_do_not_keep_others_from_theirs(server, make_swarm):
    class Idle(SwarmUser):
        @task
        def nothing(self):
            pass

    swarm = make_swarm(Idle, user_class(asks("/a")), host=server.url).start(2)
    until(lambda: len(server.asked) > 20, "the other user has its turn")
    assert swarm.runner.user_count == 2


def test_a_task_set_that_leaves_at_once_starves_nobody(server, make_swarm):
    class Revolving(TaskSet):
        @task
        def leave(self):
            self.interrupt()

    class Restless(SwarmUser):
        tasks = [Revolving]  # noqa: RUF012

    class Working(SwarmUser):
        tasks = [asks("/a")]  # noqa: RUF012

    make_swarm(Restless, Working, host=server.url).start(2)
    until(lambda: len(server.asked) >= 5, "requests of the other user")


def test_what_a_plain_task_returns_is_ignored(server, make_swarm):
    class Returning(SwarmUser):
        @task
        def compute(self):
            self.tasks = [asks("/a"), ends]
            return 42

    swarm = make_swarm(Returning, host=server.url).start().join()
    assert swarm.environment.runner.exceptions == {}
