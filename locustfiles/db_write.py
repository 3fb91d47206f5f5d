"""An order inserted into PostgreSQL: one row, committed, so that it waits for the disk of the database."""

import json

from locust import constant, task

from swarm import Steps, SwarmUser

NEEDS = ("database",)

ORDER = {"item": 7, "quantity": 2}
# Compact, as it was always measured.
BODY = json.dumps(ORDER, separators=(",", ":")).encode()
JSON = {"Content-Type": "application/json"}


class DbWrite(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.order = self.post("/db/write", data=BODY, headers=JSON)

    @task
    def write(self) -> Steps:
        response = yield self.order
        if response.ok:
            answer = response.json()
            if type(answer.pop("order", None)) is not int or answer != ORDER:
                response.failure("the app did not write what was ordered")
