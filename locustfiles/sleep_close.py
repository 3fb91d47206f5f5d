"""Awaited I/O on a connection of its own for each request: workers end while others connect."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 10


class SleepClose(SwarmUser):
    wait_time = constant(0)
    keep_alive = False

    def on_start(self) -> None:
        self.question = self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.answered and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
