"""The small text response on a connection of its own for each request."""

from locust import constant, task

from swarm import Steps, SwarmUser


class IndexClose(SwarmUser):
    wait_time = constant(0)
    keep_alive = False

    @task
    def index(self) -> Steps:
        response = yield self.get("/index")
        if response.text != "Hello, world!":
            response.failure("wrong body")
