"""Awaited I/O: each request waits 10 ms in the app, as for a database; the worker is free meanwhile."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 10


class Sleep(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.question = self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.answered and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
