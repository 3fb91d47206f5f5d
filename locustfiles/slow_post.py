"""The slow handler, 200 ms, by POST: what no proxy sends again by itself once the server may have begun."""

from locust import constant, task

from swarm import Steps, SwarmUser

MILLISECONDS = 200


class SlowPost(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.question = self.post(f"/sleep?ms={MILLISECONDS}", name="/sleep")

    @task
    def sleep(self) -> Steps:
        response = yield self.question
        if response.ok and response.json()["slept_ms"] != MILLISECONDS:
            response.failure("did not sleep as long as asked")
