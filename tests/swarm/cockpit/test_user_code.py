"""Locustfiles as people write them, behind the web UI."""

from __future__ import annotations

import csv

import pytest

from tests.swarm.cockpit.process import FORM, Cockpit
from tests.swarm.cockpit.test_loads import measured, stop

FILE = """
import json, os, sys
from locust import HttpUser, constant, events, task

@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--configuration", default="{place}'s own")
    parser.add_argument("--tenant", required=True)

@events.test_start.add_listener
def begin(environment, **_):
    options = environment.parsed_options
    print(json.dumps({{"event": "finished", "reason": None}}))
    print("start", "{place}", options.configuration, options.tenant, options.host, options.num_users)
    print("start in", os.getcwd())
    raise LookupError("no accounts")

@events.quitting.add_listener
def gate(environment, **_):
    environment.process_exit_code = 3

class WebsiteUser(HttpUser):
    wait_time = constant(0.01)
    fixed_count = 4

    @task
    def look(self):
        self.client.get("/{place}")

class Idle(WebsiteUser):
    weight = fixed_count = 0
"""
# What SwarmUser refuses, a shape that nobody uses, and a helper that the other imports.
CAREFUL = """
from locust import LoadTestShape, constant, task
from swarm import SwarmUser
from helper import helps

class Steps(LoadTestShape):
    def tick(self):
        return (10, 10)

class Careful(SwarmUser):
    wait_time = constant(0.01)

    @task
    def look(self):
        yield self.get("/", headers={b"X-Kind": helps()}, auth=("ann", "pass"))
        yield self.get("/", allow_redirects=False)
"""

PICKS = ["WebsiteUser of s0", "WebsiteUser of s1"]


@pytest.fixture
def files(tmp_path):
    made = [tmp_path / f"{place}.py" for place in ("browse", "order")]
    for path in made:
        path.write_text(FILE.format(place=path.stem))
    (tmp_path / "careful.py").write_text(CAREFUL)
    (tmp_path / "helper.py").write_text("def helps(): return b'bytes'\n")
    return [*made, tmp_path / "careful.py", tmp_path / "helper.py"]


def test_files_with_names_in_common_print_listen_fail_and_say_goodbye(files, null_server, folder):
    home = str(files[0].parent)
    cockpit = Cockpit(files, options=["--tenant", "acme"], folder=home)
    try:
        page = cockpit.get("/").body.decode()
        assert all(pick in page for pick in PICKS)
        assert "Idle" not in page and "helper" not in page
        assert "tenant" not in page  # the form offers what it can pass on, and no more
        (said,) = [each["text"] for each in cockpit.live()["notices"]]
        assert said.startswith("careful.py has a LoadTestShape, which is not used")
        both = cockpit.post("/swarm", {**FORM, "user_classes": PICKS}).json
        assert both["success"] is False and "cannot run at once" in both["message"]
        more = cockpit.post("/swarm", {**FORM, "user_count": "5", "user_classes": PICKS[1:]}).json
        assert "at most 4 users, as each class has a fixed_count" in more["message"], more
        cockpit.start(null_server, folder, user_classes=["Careful"])
        cockpit.until(measured, "a measured second")
        assert stop(cockpit)["requests"] > 0
        (said,) = [each["text"] for each in cockpit.live()["notices"] if "allow_redirects" in each["text"]]
        assert "the first TypeError: " in said and "yield the next request" in said
        event, answer = cockpit.start(null_server, folder, user_classes=PICKS[1:])
        assert answer.json["success"] is True, answer.json
        assert event["scenario"] == "s1"
        cockpit.until(measured, "a measured second")
        finished = stop(cockpit)
        assert finished["reason"] is None and finished["requests"] > 0
        with (folder / "locust_exceptions.csv").open(newline="") as file:
            assert [row["Message"] for row in csv.DictReader(file)] == [
                "listener begin of test_start: LookupError: no accounts"
            ]
        *_, said = [each["text"] for each in cockpit.live()["notices"] if "raised" in each["text"]]
        assert "raised 1 exception, the first listener begin of test_start: LookupError: no" in said
        cockpit.process.stdin.close()
        assert cockpit.wait_for("quit")["exit_status"] == 3
        cockpit.log.seek(0)
        told = [line for line in cockpit.log.read().splitlines() if line.startswith("start ")]
        assert told == [f"start order order's own acme {null_server} 4", f"start in {home}"]
    finally:
        cockpit.close()


def test_without_any_users_there_is_no_web_ui(tmp_path):
    (tmp_path / "helper.py").write_text("def helps(): pass\n")
    cockpit = Cockpit([tmp_path / "helper.py"])
    try:
        assert "no locustfile defines a user class that may run" in cockpit.ready["reason"]
    finally:
        cockpit.close()


def test_options_that_are_missing_are_said_instead_of_a_web_ui(files):
    cockpit = Cockpit(files)
    try:
        assert cockpit.ready["event"] == "failed"
        assert 'it requires --tenant: give SCENARIO_OPTIONS="--tenant VALUE"' in cockpit.ready["reason"]
    finally:
        cockpit.close()
