"""A route that leaks 50 KB for each request: a worker grows by a megabyte with every twenty."""

from locust import constant, task

from swarm import Steps, SwarmUser

# Each request leaves memory behind, so that a server must be alone, and is another one afterwards.
ROTATES = False

BYTES = 50_000


class Leak50k(SwarmUser):
    wait_time = constant(0)

    @task
    def leak(self) -> Steps:
        response = yield self.get(f"/leak?bytes={BYTES}", name="/leak")
        if response.ok and response.json()["leaked_bytes"] < BYTES:
            response.failure("the app says that it leaked nothing")
