"""CPU work in Python, about a millisecond for each request: the worker is blocked for the whole of it."""

from locust import constant, task

from swarm import Steps, SwarmUser

UNITS = 100
RESULT = 4089345937


class Cpu(SwarmUser):
    wait_time = constant(0)

    @task
    def work(self) -> Steps:
        response = yield self.get(f"/cpu?units={UNITS}", name="/cpu")
        if response.answered and response.json()["result"] != RESULT:
            response.failure("wrong result")
