"""The upload of about 2 KB on a connection of its own for each request."""

import json

from locust import constant, task

from swarm import Steps, SwarmUser

ITEMS = [{"id": number, "quantity": number % 7 + 1} for number in range(80)]
BODY = json.dumps({"user": "ada", "items": ITEMS}, separators=(",", ":")).encode()
JSON = {"Content-Type": "application/json"}
QUANTITY = sum(item["quantity"] for item in ITEMS)


class UploadClose(SwarmUser):
    wait_time = constant(0)
    keep_alive = False

    def on_start(self) -> None:
        self.order = self.post("/upload", data=BODY, headers=JSON)

    @task
    def upload(self) -> Steps:
        response = yield self.order
        if response.ok and response.json()["quantity"] != QUANTITY:
            response.failure("the app counted wrong")
