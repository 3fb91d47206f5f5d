"""What listeners see of a session, and what is theirs and what is Locust's."""

from tests.kinds.kind import Expected, Kind
from tests.swarm.processes import locustfile

# Accounts are made in test_start, as many as there are users (locustio/locust#1939), and one logs in for all.
_LOGS_IN = """
import requests
ACCOUNTS, TOKEN = [], {}
@events.test_start.add_listener
def log_in(environment, **_):
    options = environment.parsed_options
    ACCOUNTS[:] = range(options.num_users)
    TOKEN["x-token"] = requests.post(options.host + "/login", timeout=5).json()["token"]
    print("begins", environment.host, options.num_users, environment.runner.target_user_count)
class Base(HttpUser):
    abstract = True
    def on_start(self):
        self.mine = ACCOUNTS.pop()
"""
# More than are spawned at once.
_MANY = 70
# A published LoadTestShape has this option, which is one of the suite's, too.
_ITS_OWN_RATE = """
@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--arrival_rate", type=float, default=50.0)
class Base(HttpUser):
    abstract = True
    def wait(self):
        time.sleep(1 / self.environment.parsed_options.arrival_rate)
"""
_GATE = """
@events.quitting.add_listener
def gate(environment, **_):
    environment.process_exit_code = 3
"""


def _based(head: str, body: str) -> str:
    """A locustfile whose class is one of `Base`."""
    return locustfile(head, body=body).replace("Visitor(HttpUser)", "Visitor(Base)")


KINDS = (
    Kind(
        4,
        "makes accounts and logs in at the start",
        {"users.py": _based(_LOGS_IN, 'self.client.get("/orders", headers=TOKEN)')},
        Expected(logged=[f"{_MANY} {_MANY}"]),
        users=(_MANY,),
    ),
    Kind(
        4,
        "has an option --arrival_rate of its own",
        {"users.py": _based(_ITS_OWN_RATE, 'self.client.get("/"); self.wait()')},
    ),
    Kind(
        4,
        "meets a variable of Locust's own",
        {"users.py": locustfile()},
        Expected(said=["note: LOCUST_USERS: Locust's own settings are ignored here"]),
        variables={"LOCUST_USERS": "7"},
    ),
    Kind(
        4,
        "sets an exit status when it quits",
        {"users.py": locustfile(_GATE)},
        Expected(said=["note: a locustfile set the exit status 3"]),
    ),
    Kind(
        4,
        "has two files with a class of one name",  # locustio/locust#2160
        {f"{name}.py": locustfile(name="WebsiteUser") for name in ("browse", "order")},
        Expected(finished=2),
        picks=(("WebsiteUser of browse",), ("WebsiteUser of order",)),
    ),
)
