"""GET of a small text by the suite's own user, the answer checked."""

from locust import constant, task

from swarm import Steps, SwarmUser


class Swarm(SwarmUser):
    """Driven by the epoll engine."""

    wait_time = constant(0)

    @task
    def index(self) -> Steps:
        """Ask and check."""
        response = yield self.get("/index")
        if response.text != "Hello, world!":
            response.failure("wrong body")
