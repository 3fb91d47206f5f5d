"""What is known of locustfiles before a run: `swarm.describe`.

Inputs that go back to public reports or published files are rebuilt, and say of what.
"""

from __future__ import annotations

import json

import pytest

from tests.swarm.processes import finish, locustfile, start


@pytest.fixture
def described(forked):
    """What is known of files: `described(*files, options=["--tenant"])`."""

    def describe(*files, options=()):
        status, output, errors = forked("swarm.describe", *(f"--option={word}" for word in options), *files)
        assert status == 0, errors
        return json.loads(output)

    return describe


def test_all_files_are_described_as_a_session_loads_them(described, write):
    """Shapes apart from users (locust#1829, #2270), waits in a TaskSet (#2448), fixed counts (#2783)."""
    people = write("people", locustfile("print('loaded')"))
    shaped = write(
        "shaped",
        "from people import Visitor\nfrom locust import LoadTestShape\n"
        "class Steps(LoadTestShape):\n    def tick(self): return None\n",
    )
    waiting = write(
        "waiting",
        "from locust import *\nclass Inner(TaskSet):\n    wait_time = between(1, 2)\n"
        "    @task\n    def look(self): pass\n"
        "class Outer(TaskSet):\n    tasks = [Inner]\nclass Reader(HttpUser):\n    tasks = [Outer]\n"
        "class Lazy(HttpUser):\n    weight = 0\n    tasks = [Inner]\n"
        "class Nothing(HttpUser):\n    pass\n",
    )
    fixed = write(
        "fixed", locustfile("class Admin(HttpUser):\n    fixed_count = 2\n    tasks = [lambda user: None]")
    )
    fixed.write_text(
        fixed.read_text().replace("class Visitor(HttpUser):", "class Visitor(HttpUser):\n    fixed_count = 3")
    )
    helper = write("helper", "def helps(): pass\n")
    told = described(people, shaped, waiting, fixed, helper)
    assert told["error"] is None
    found = {name.rpartition("/")[2]: each for name, each in told["scenarios"].items()}
    assert found["people.py"]["shapes"] == [] and found["shaped.py"]["shapes"] == ["Steps"]
    assert found["shaped.py"]["users"] == ["Visitor"]
    assert found["waiting.py"]["waits"] and found["waiting.py"]["weightless"] == ["Lazy"]
    assert found["waiting.py"]["idle"] == ["Nothing"] and found["waiting.py"]["most_users"] is None
    assert found["fixed.py"]["most_users"] == 5
    assert found["helper.py"]["users"] == []
    assert "Locust's own are not: Visitor: measure it in blocks" in found["people.py"]["rotates_not"]


def test_which_scenarios_can_rotate(described, write):
    head = "from locust import *\nfrom swarm import SwarmUser\n"
    body = "    @task\n    def look(self): yield self.get('/')\n"
    ready = write("ready", f"{head}class Ready(SwarmUser):\n    wait_time = constant(0)\n{body}")
    unset = write("unset", f"{head}class Unset(SwarmUser):\n{body}")
    slow = write("lazy", f"{head}class Lazy(SwarmUser):\n    wait_time = between(1, 2)\n{body}")
    # A module of somebody's own is imported by one of them.
    log_in = "from locust import events\n@events.{}.add_listener\ndef log_in(environment, **_): pass\n"
    write("accounts", log_in.format("test_start"))
    listens = write("listens", f"{log_in.format('test_stop')}{ready.read_text()}")
    helped = write("helped", f"import accounts\n{ready.read_text()}")
    told = described(ready, unset, slow, "locustfiles/index.py", listens)["scenarios"]
    assert [each["rotates_not"] is None for each in told.values()] == [True, True, False, True, False]
    why = told[str(listens)]["rotates_not"]
    assert why.startswith("a rotation is one test of all servers, and log_in listens to test_stop of each")
    assert "log_in listens to test_start" in described(helped)["scenarios"][str(helped)]["rotates_not"]
    assert "users without wait_time, which Lazy has: measure it in blocks" in told[str(slow)]["rotates_not"]


OPTIONS = """
@events.init_command_line_parser.add_listener
def add(parser):
    {body}
"""
BROKEN = {
    # A published file needs two, and gives one of them a default in vain.
    "required": (
        "parser.add_argument('--api-version', required=True, default='1', env_var='API_VERSION')\n"
        "    parser.add_argument('--apikey', required=True)",
        (),
        'it requires --api-version and --apikey: give SCENARIO_OPTIONS="--api-version VALUE --apikey VALUE", '
        "or export API_VERSION",
    ),
    # A published file parses the command line itself, where it was to add its options.
    "parses": (
        "parser.add_argument('--n', type=int); parser.parse_args()",
        ("--n=many",),
        "invalid int value: 'many'",
    ),
    "taken": ("parser.add_argument('--json')", (), "conflicting option string: --json"),
    "unknown": ("pass", ("--tenant", "acme"), "--tenant acme: no locustfile has such an option"),
    "locust's": ("pass", ("--users", "3"), "--users is Locust's own option"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_options_that_cannot_be_are_told_before_a_run(described, write, case):
    body, given, message = BROKEN[case]
    file = write("optional", locustfile(OPTIONS.format(body=body)))
    assert message in described(file, options=given)["error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import sys; sys.exit('no credentials')",
            "ended the program when it was loaded: SystemExit: no credentials",
        ),
        (locustfile("1 / 0"), "ZeroDivisionError: division by zero (line 4)"),
        # locustio/locust#2057: Locust ends where a listener of init fails, since #3009.
        (
            locustfile("@events.init.add_listener\ndef connect(**_): raise OSError('no queue')"),
            "its listener connect of the event init failed: OSError: no queue",
        ),
        (
            locustfile("@events.init.add_listener\ndef warm(environment, **_): environment.host + '/health'"),
            "(host and users are those of a load: listen to test_start where they are needed)",
        ),
        (
            locustfile() + "Other = type('Visitor', (HttpUser,), {})",
            "several of its user classes are called Visitor",
        ),
    ],
)
def test_files_that_cannot_be_loaded_are_told_before_a_run(described, write, text, message):
    assert message in described(write("broken", text))["error"]


def test_a_file_that_ends_the_process_is_known_by_its_exit_status(write):
    status, errors = finish(
        start("-m", "swarm.describe", write("gone", "import os; os._exit(5)"), stdout=-1, stderr=-1)
    )
    assert (status, errors) == (5, "")
