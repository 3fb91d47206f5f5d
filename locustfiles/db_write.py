"""An order inserted into PostgreSQL: one row, committed, so that it waits for the disk of the database."""

from locust import constant, task

from swarm import Steps, SwarmUser

NEEDS = ("database",)

ORDER = {"item": 7, "quantity": 2}


class DbWrite(SwarmUser):
    wait_time = constant(0)

    def on_start(self) -> None:
        self.order = self.post("/db/write", json=ORDER)

    @task
    def write(self) -> Steps:
        response = yield self.order
        if response.ok:
            answer = response.json()
            if type(answer.pop("order", None)) is not int or answer != ORDER:
                response.failure("the app did not write what was ordered")
