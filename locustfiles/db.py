"""Ten rows by their keys out of 10,000, read from PostgreSQL: what async apps mostly wait for."""

import random
from itertools import cycle
from typing import Any, ClassVar

from locust import constant, task

from swarm import Steps, SwarmUser

NEEDS = ("database",)

ITEMS, KEYS = 10_000, 10
# A fixed set of questions: their answers can be known beforehand.
QUESTIONS = [[(number * 211 + place * 1009) % ITEMS + 1 for place in range(KEYS)] for number in range(48)]


def item(key: int) -> dict[str, Any]:
    """The row of a key, as `targets.database prepare` made it."""
    return {"id": key, "name": f"Item {key}", "price_cents": 100 + key * 37 % 9900, "stock": key * 7 % 500}


class Db(SwarmUser):
    wait_time = constant(0)
    verified: ClassVar[dict[str, bytes]] = {}

    def on_start(self) -> None:
        asked = [(self.get(f"/db?ids={','.join(map(str, keys))}", name="/db"), keys) for keys in QUESTIONS]
        self.questions = cycle(random.sample(asked, len(asked)))

    @task
    def read(self) -> Steps:
        question, keys = next(self.questions)
        response = yield question
        # Equal bytes were checked before: parsing JSON costs more than all the rest here.
        if response.content != self.verified.get(question.path):
            if response.ok and response.json() == {"items": [item(key) for key in keys]}:
                self.verified[question.path] = response.content
            else:
                response.failure("wrong rows")
