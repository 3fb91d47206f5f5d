"""A body of 16 KiB streamed in 16 pieces."""

from locust import constant, task

from swarm import Steps, SwarmUser

CHUNKS = 16
BYTES = 1024


class Stream(SwarmUser):
    wait_time = constant(0)

    @task
    def stream(self) -> Steps:
        response = yield self.get(f"/stream?chunks={CHUNKS}&bytes={BYTES}", name="/stream")
        if len(response.content) != CHUNKS * BYTES:
            response.failure("wrong length")
