"""What is examined and told before anything is measured."""

from tests.compose.real.test_own_app import HELPER
from tests.kinds.kind import Expected, Kind, refused
from tests.swarm.processes import GET, locustfile

# locustio/locust#1964, #2783.
_FIXED = locustfile(
    "class Admin(HttpUser):\n    fixed_count = 2\n    tasks = [lambda user: user.client.get('/')]"
)
_FIXED = _FIXED.replace("class Visitor(HttpUser):", "class Visitor(HttpUser):\n    fixed_count = 3")
_BOTH = (("Admin", "Visitor"),)
_TENANT = locustfile(
    """
@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--tenant", required=True)
@events.test_start.add_listener
def begin(environment, **_):
    print("tenant", environment.parsed_options.tenant)
"""
)
# The shape stands apart from the users (locustio/locust#1829, #2270).
_SHAPED = """
from people import Visitor  # noqa
from locust import LoadTestShape

class Steps(LoadTestShape):
    def tick(self):
        return (10, 10) if self.get_run_time() < 60 else None
"""
# The wait stands in the TaskSet (locustio/locust#2448).
_WAITS = f"""
from locust import HttpUser, TaskSet, between, task

class Slowly(TaskSet):
    wait_time = between(0.05, 0.1)
    @task
    def look(self):
        {GET}

class Visitor(HttpUser):
    tasks = [Slowly]
"""

KINDS = (
    Kind(
        5,
        "has a fixed_count below the users",
        {"users.py": _FIXED},
        refused("can have at most 5 users, as each class", "has a fixed_count", "16: give USERS=5"),
        in_ui=Expected(said=["there can be at most 5 users, as each class has a fixed_count"], finished=0),
        users=(16,),
        picks=_BOTH,
    ),
    Kind(5, "has a fixed_count of as many users", {"users.py": _FIXED}, users=(5,), picks=_BOTH),
    Kind(
        5,
        "lacks an option that it requires",
        {"users.py": _TENANT},
        refused('it requires --tenant: give SCENARIO_OPTIONS="--tenant VALUE"'),
    ),
    Kind(
        5,
        "is given the option that it requires",
        {"users.py": _TENANT},
        Expected(logged=["tenant acme"]),
        options=("--scenario-options=--tenant acme",),
    ),
    Kind(
        5,
        "has a load shape",
        {"people.py": locustfile(), "locustfile.py": _SHAPED},
        Expected(said=["locustfile.py has a LoadTestShape, which is not used"]),
        file="locustfile.py",
    ),
    Kind(
        5,
        "waits in a TaskSet",
        {"users.py": _WAITS},
        Expected(said=["note: users of users.py wait between their tasks (wait_time)"]),
        in_ui=Expected(never=["wait_time"]),
    ),
    Kind(
        5,
        "has a helper beside it",
        {"users.py": locustfile("from helper import NOTE"), "helper.py": HELPER},
        Expected(said=["note: helper.py defines no user class, so it is no scenario"]),
        in_ui=Expected(),
    ),
)
