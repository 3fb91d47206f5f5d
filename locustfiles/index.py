"""A small text response, kept-alive: what the server itself costs, as in the original question."""

from locust import constant, task

from swarm import Steps, SwarmUser


class Index(SwarmUser):
    wait_time = constant(0)

    @task
    def index(self) -> Steps:
        response = yield self.get("/index")
        if response.text != "Hello, world!":
            response.failure("wrong body")
