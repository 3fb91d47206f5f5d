"""Requests of 6 s: what becomes of those in flight when the server is told to end."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 6000


class Long(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.question = self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.ok and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
