"""An order of about 2 KB uploaded as JSON and validated by the app."""

import json

from locust import constant, task

from swarm import Steps, SwarmUser

ITEMS = [{"id": number, "quantity": number % 7 + 1} for number in range(80)]
ORDER = {"user": "ada", "items": ITEMS}
# Compact, as it was always measured.
BODY = json.dumps(ORDER, separators=(",", ":")).encode()
JSON = {"Content-Type": "application/json"}
QUANTITY = sum(item["quantity"] for item in ITEMS)


class Upload(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.order = self.post("/upload", data=BODY, headers=JSON)

    @task
    def upload(self) -> Steps:
        response = yield self.order
        if response.answered and response.json()["quantity"] != QUANTITY:
            response.failure("the app counted wrong")
