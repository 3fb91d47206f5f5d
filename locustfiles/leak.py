"""A route that leaks 2 KB for each request: what recycling workers is the safety net for."""

from locust import constant, task

from swarm import Steps, SwarmUser

# Each request leaves memory behind, so that a server must be alone, and is another one afterwards.
ROTATES = False

BYTES = 2000


class Leak(SwarmUser):
    wait_time = constant(0)

    @task
    def leak(self) -> Steps:
        response = yield self.get(f"/leak?bytes={BYTES}", name="/leak")
        if response.answered and response.json()["leaked_bytes"] < BYTES:
            response.failure("the app says that it leaked nothing")
