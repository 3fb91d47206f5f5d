"""Awaited I/O: each request waits 10 ms in the app, as for a database; the worker is free meanwhile."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 10


class Sleep(SwarmUser):
    wait_time = constant(0)

    @task
    def sleep(self) -> Steps:
        response = yield self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")
        if response.answered and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
