"""How a SwarmUser asks: what it sends, what it reads, and what it refuses."""

from textwrap import indent

from tests.compose.real.test_own_app import HELPER
from tests.kinds.kind import Expected, Kind

_USERS = """
from locust import constant, task
from swarm import SwarmUser
{head}

class Visitor(SwarmUser):
    wait_time = constant(0.02)

    @task
    def look(self):
"""
_SENDS = """
given = {"auth": ("ann", "pass"), "headers": {b"X-Kind": b"bytes"}}
sent = yield self.post("/got", files={"note": NOTE}, **given)
if sent.json() != EXPECTED:
    sent.failure(sent.text)
"""
_READS = """
for kind in ("gzip", "br"):
    packed = yield self.get("/packed/" + kind, headers={"Accept-Encoding": kind})
    if packed.text != "hello":
        packed.failure(repr(packed.content[:20]))
"""
_TOWNS = """
for name in ("Köln", "東京", "Bad Ems", "K%C3%B6ln"):
    town = yield self.get("/towns/" + name, params={"q": "ö ü"}, name="/towns")
    if town.text != name.replace("%C3%B6", "ö") + "ö ü":
        town.failure(repr(town.text[:60]))
"""
_REFUSED = ("no option 'verify'", "class attribute `verify`")


def swarm_user(body: str, head: str = "") -> str:
    """A locustfile with a SwarmUser whose task has these lines."""
    return _USERS.format(head=head) + indent(body, " " * 8)


KINDS = (
    Kind(
        3,
        "sends files and auth and bytes as headers",
        {"users.py": swarm_user(_SENDS, "from helper import EXPECTED, NOTE"), "helper.py": HELPER},
        file="users.py",
    ),
    Kind(3, "reads gzip and br", {"users.py": swarm_user(_READS)}),
    Kind(3, "names towns in paths and parameters", {"users.py": swarm_user(_TOWNS)}),
    Kind(
        3,
        "gives an option that is none",
        {"users.py": swarm_user('yield self.get("/", verify=False)')},
        Expected(1, ["no request was made: the scenario raised TypeError", *_REFUSED], finished=0, failed=1),
        in_ui=Expected(said=_REFUSED, raised=_REFUSED, finished=0, failed=1),
    ),
)
