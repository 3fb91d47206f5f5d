"""The one request of the known answers: a small GET, over and over."""

from locust import constant, task

from swarm import Steps, SwarmUser


class Answer(SwarmUser):
    """Asks, waits for the answer, and asks again."""

    wait_time = constant(0)

    @task
    def answer(self) -> Steps:
        """Ask once."""
        yield self.get("/answer")
