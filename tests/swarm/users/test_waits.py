"""How long users wait between tasks."""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

import pytest
from locust import (
    TaskSet,
    between,
    constant,
    constant_pacing,
    constant_throughput,
    task,
)
from locust.exception import StopUser

from swarm import SwarmUser
from tests.swarm.harness import user_class
from tests.swarm.scripted import reply

WAITS = {
    "constant": constant(0.1),
    "between": between(0.1, 0.12),
    "constant_pacing": constant_pacing(0.1),
    "constant_throughput": constant_throughput(10),
    "own": lambda user: 0.1,
}


@pytest.fixture
def server(serve):
    return serve({path: reply() for path in ("/", "/a")})


@pytest.mark.parametrize("wait", WAITS)
def test_wait_time(server, make_swarm, wait):
    """Pacing shortens its waits by what the tasks took, and by what a wait was late; the others do not."""
    times = []

    def steps(user):
        times.append(perf_counter())
        yield user.get("/")
        if len(times) == 4:
            raise StopUser

    make_swarm(user_class(steps, wait_time=WAITS[wait]), host=server.url).start().join()
    if wait.startswith("constant_"):
        assert all(moment - times[0] >= 0.1 * number - 0.01 for number, moment in enumerate(times))
    else:
        assert all(after - before >= 0.1 for before, after in pairwise(times))


def test_pacing_counts_the_time_that_tasks_take(server, make_swarm):
    begun, ended = [], []

    def steps(user):
        begun.append(perf_counter())
        yield user.get("/")
        yield user.pause(0.3)
        ended.append(perf_counter())
        if len(begun) == 4:
            raise StopUser

    make_swarm(user_class(steps, wait_time=constant_pacing(0.31)), host=server.url).start().join()
    waits = [begin - end for end, begin in zip(ended, begun[1:], strict=False)]
    assert min(waits) < 0.15  # what is left of 0.31 s; a busy machine may hold up some


def test_a_task_set_may_have_a_wait_time_of_its_own(server, make_swarm):
    class Set(TaskSet):
        def wait_time(self):
            raise StopUser

        @task
        def work(self):
            yield self.user.get("/a")

    class Waiting(SwarmUser):
        wait_time = constant(1000)
        tasks = [Set]  # noqa: RUF012

    make_swarm(Waiting, host=server.url).start().join()
    assert server.targets == ["/a"]
