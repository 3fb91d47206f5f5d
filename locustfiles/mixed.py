"""An ordinary day: mostly reads that await something, some uploads, little CPU work, short think times."""

from locust import between, task

from swarm import Steps, SwarmUser

# Its users wait between their tasks: slices would cut what is measured.
ROTATES = False

# Compact, as it was always measured.
ORDER = b'{"user":"ada","items":[{"id":1,"quantity":2}]}'
JSON = {"Content-Type": "application/json"}


class Visitor(SwarmUser):
    wait_time = between(0.001, 0.005)

    @task(5)
    def browse(self) -> Steps:
        yield self.get("/index")
        yield self.get("/sleep?ms=5", name="/sleep")

    @task(3)
    def read(self) -> Steps:
        yield self.get("/json")

    @task(1)
    def order(self) -> Steps:
        yield self.post("/upload", data=ORDER, headers=JSON)

    @task(1)
    def compute(self) -> Steps:
        yield self.get("/cpu?units=20", name="/cpu")
