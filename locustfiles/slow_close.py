"""The slow handler, 200 ms, on a connection of its own for each request."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 200


class SlowClose(SwarmUser):
    wait_time = constant(0)
    keep_alive = False

    def on_start(self) -> None:
        self.question = self.get(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.ok and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
