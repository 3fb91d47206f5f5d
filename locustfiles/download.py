"""A body of 64 KiB, sent at once."""

from locust import constant, task

from swarm import Steps, SwarmUser

BYTES = 65_536


class Download(SwarmUser):
    wait_time = constant(0)

    @task
    def download(self) -> Steps:
        response = yield self.get(f"/download?bytes={BYTES}", name="/download")
        if len(response.content) != BYTES:
            response.failure("wrong length")
