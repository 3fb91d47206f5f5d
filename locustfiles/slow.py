"""A slow handler: each request waits 200 ms, so that many are in flight when a worker is replaced."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 200


class Slow(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.question = self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.ok and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
