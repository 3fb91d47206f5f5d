"""A small JSON document, serialised anew for each request."""

from locust import constant, task

from swarm import Steps, SwarmUser

EXPECTED = {
    "id": 1,
    "name": "Whichworker",
    "tags": ["sanic", "asgi", "worker"],
    "price": 12.5,
    "available": True,
    "owner": {"id": 7, "name": "Ada"},
}


class JsonDocument(SwarmUser):
    wait_time = constant(0)
    verified = b""

    @task
    def document(self) -> Steps:
        response = yield self.get("/json")
        # Equal bytes were checked before: parsing JSON costs more than all the rest here.
        if response.content != self.verified:
            if response.answered and response.json() == EXPECTED:
                JsonDocument.verified = response.content
            else:
                response.failure("wrong document")
