"""All users send an order at once, then pause for 2 and 5 s in turn: as long as servers keep connections."""

import json
import time

from locust import task

from swarm import Steps, SwarmUser

# The moments are the clock's, the same for all users: only then are all connections of a proxy idle.
ROTATES = False
CYCLE_S, SECOND_AT_S = 7.0, 2.0

BODY = json.dumps({"user": "ada", "items": [{"id": 1, "quantity": 2}]}, separators=(",", ":")).encode()
JSON = {"Content-Type": "application/json"}


class Pausing(SwarmUser):
    def wait_time(self) -> float:
        """Until the next of the two moments in a cycle."""
        passed = time.time() % CYCLE_S
        return (SECOND_AT_S if passed < SECOND_AT_S else CYCLE_S) - passed

    def on_start(self) -> None:
        self.order = self.post("/upload", data=BODY, headers=JSON)

    @task
    def upload(self) -> Steps:
        response = yield self.order
        if response.ok and response.json()["quantity"] != 2:
            response.failure("the app counted wrong")
