"""What a test is where its locustfile decides: which users it has, and what they are told.

Inputs that go back to public reports or published files are rebuilt, and say of what.
"""

from __future__ import annotations

import csv
import json

import pytest

import swarm  # noqa: F401  # has gevent patch this process, so that the server runs while a test waits
from tests.swarm.processes import locustfile
from tests.swarm.scripted import reply

CLASSES = """
from gevent.pool import Group
from locust.runners import MasterRunner, WorkerRunner

@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--profile-of-users", default="read")
    parser.add_argument("--writer-weight", type=int, default=3)

class Quick(HttpUser):
    abstract = True
    wait_time = constant(0.01)

class Reader(Quick):
    @task
    def look(self):
        self.client.get("/?reads")

class Writer(Quick):
    @task
    def look(self):
        self.client.get("/?writes")

class Admin(Quick):
    weight = 0
    @task
    def look(self):
        self.client.get("/?rules")
"""
# locustio/locust#1781: who runs is chosen by an option when Locust is ready; several published files do it.
CHOOSES = """
PROFILES = {"read": [Reader], "rule": [Admin], "none": []}

@events.init.add_listener
def choose(environment, **_):
    environment.user_classes = PROFILES[environment.parsed_options.profile_of_users]
"""
# A published file sets weights by its options when a test starts, and puts the runner's own notes away.
WEIGHS = """
@events.test_start.add_listener
def weigh(environment, **_):
    Reader.weight, Writer.weight, Admin.weight = 0, environment.parsed_options.writer_weight, 0
    environment.user_classes = [Reader, Writer, Admin]
    environment._remove_user_classes_with_weight_zero()
    if isinstance(environment.runner, MasterRunner):
        return
    environment.runner.target_user_classes_count = {}
    environment.runner.target_user_count = 0
    environment.runner._users_dispatcher = None
    environment.runner.user_greenlets = Group()
"""
# It does so for a master as well, which has no dispatcher then.
BREAKS = """
@events.test_start.add_listener
def forget(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        environment.runner._users_dispatcher = None
"""
# mozilla-services/merino-py#769: what users are to ask for comes by a message of the file's own.
SENDS = """
NAMES = []

@events.init.add_listener
def register(environment, **_):
    environment.runner.register_message("names", lambda environment, msg, **_: NAMES.extend(msg.data))

@events.test_start.add_listener
def send(environment, **_):
    if not isinstance(environment.runner, WorkerRunner):
        names = [f"n{number}" for number in range(environment.parsed_options.num_users)]
        environment.runner.send_message("names", names)
"""


@pytest.fixture
def server(serve):
    return serve({"/": reply()})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    texts = {
        "chooses": locustfile(CLASSES + CHOOSES).partition("\nclass Visitor")[0],
        "breaks": locustfile(CLASSES + BREAKS),
        "weighs": locustfile(CLASSES + WEIGHS).partition("\nclass Visitor")[0],
        "sends": locustfile(CLASSES + SENDS, body='self.client.get(f"/?{NAMES[-1]}")'),
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return {name: folder / f"{name}.py" for name in texts}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_locustfile_decides_who_runs_and_what_they_are_told(
    server, share_session, files, tmp_path, processes
):
    session = share_session(files.values(), processes)
    asked = {}
    for name, file in files.items():
        before = len(server.asked)
        session.cell(file, server.url, tmp_path / name, users=6)
        finished = session.wait_for("finished", "failed")
        if name == "breaks" and processes > 1:
            assert "users could not be spawned: AttributeError" in finished["reason"]
            continue
        assert finished["event"] == "finished", finished
        asked[name] = set(server.targets[before:])
        with (tmp_path / name / "locust_exceptions.csv").open(newline="") as raised:
            assert list(csv.DictReader(raised)) == []
    asked.pop("breaks", None)
    assert asked == {"chooses": {"/?reads"}, "weighs": {"/?writes"}, "sends": {"/?reads", "/?writes", "/?n5"}}


def test_who_was_chosen_is_known_before_a_run(forked, files):
    def told(profile):
        option = f"--option=--profile-of-users={profile}"
        status, output, errors = forked("swarm.describe", option, files["chooses"])
        assert status == 0, errors
        return json.loads(output)

    for profile, users, weightless in (("read", ["Reader"], ["Admin"]), ("rule", ["Admin"], [])):
        (found,) = told(profile)["scenarios"].values()
        assert (found["users"], found["weightless"]) == (users, weightless)
    assert "its listeners of init leave no class in environment.user_classes" in told("none")["error"]
