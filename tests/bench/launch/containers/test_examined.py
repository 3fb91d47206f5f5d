"""What is looked at before a run, and how long things may take, on the stand-in for Docker."""

import pytest

from bench.experiment.generator import locustfiles
from bench.launch.containers import compose, engine
from bench.launch.own import app_check
from bench.launch.server import ServerError
from bench.model.errors import UserError
from bench.model.plans import plan
from bench.model.plans.own_app import OwnApp
from tests.fixtures.never_ready import NEVER_READY

VISITOR = """
from locust import *
from helper import PATH

@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--tenant", required={required})

class Visitor(HttpUser):
    fixed_count = {most}
    @task
    def look(self):
        self.client.get(PATH)
"""
MORE = """
class Lazy(HttpUser):
    weight = 0
    tasks = [Visitor.look]

class Steps(LoadTestShape):
    def tick(self):
        return None
"""


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "service"
    made.mkdir()
    return made


@pytest.fixture
def examine(docker, folder):
    """Examines locustfiles by their texts, under a load of 8 users each; returns what is said of them."""

    def examined(**texts):
        for name, text in texts.items():
            (folder / f"{name}.py").write_text(text)
        chosen = plan.validate(
            {
                "summary": "s", "configurations": ["sanic"], "workers": [1], "repeats": 1, "warmup_s": 1.0,
                "measured_s": 1, "scenarios": {name: {"users": [8]} for name in texts},
                "locustfiles": str(folder),
            },
            "a test",
        )  # fmt: skip
        files, said = {name: folder / f"{name}.py" for name in texts}, []
        kept, _ = locustfiles.examine(chosen, files, compose.Compose(engine.find()), said.append)
        assert docker.containers() == {}
        return kept.loaded, said

    return examined


HELPER = "PATH = '/'\n"


def test_all_files_are_looked_at_together(examine):
    usual = VISITOR.format(required=False, most=0)
    loaded, said = examine(browse=usual + MORE, order=usual, helper=HELPER)
    assert loaded == ["browse", "order"]
    notes = (
        "helper.py defines no user class, so it is no scenario",
        "browse.py: the weight of Lazy is 0",
        "browse.py has a LoadTestShape, which is not used",
    )
    assert all(sum(note in line for line in said) == 1 for note in notes), said


@pytest.mark.parametrize(
    ("required", "most", "message"),
    [
        (True, 0, 'browse.py: it requires --tenant: give SCENARIO_OPTIONS="--tenant VALUE"'),
        (False, 5, "browse.py can have at most 5 users, as each class (Visitor) has a fixed_count"),
    ],
)
def test_what_cannot_be_is_told_before_a_run(examine, required, most, message):
    with pytest.raises(UserError) as refused:
        examine(browse=VISITOR.format(required=required, most=most), helper=HELPER)
    assert message in str(refused.value)


def test_an_import_that_takes_too_long_is_told_with_what_gives_it_more(docker, folder, catalogue, current):
    (folder / "slow.py").write_text("import time\ntime.sleep(600)\n")
    own, launcher = OwnApp(app="slow:app", folder=str(folder)), compose.Compose(engine.find())
    with pytest.raises(UserError) as late:
        app_check.check_app(own, catalogue.stacks["current"], current, launcher, 1.0, print)
    assert "takes longer than 1 s" in str(late.value) and "(IMPORT_TIMEOUT=)" in str(late.value)
    assert 'slow.py", line 2' in str(late.value) and docker.containers() == {}


def test_a_start_that_takes_too_long_is_told_with_what_gives_it_more(
    make_launcher, run_folder, folder, catalogue
):
    (folder / "slow.py").write_text(NEVER_READY)
    with make_launcher(files=[folder], startup_timeout_s=1.0) as launcher:
        launcher.app_options = ["--app", "slow:app", "--app-folder", str(folder)]
        with pytest.raises(ServerError) as late:
            launcher.start(catalogue.get("sanic-single"), 1, run_folder / "m", [0])
    assert "was not ready after 1 s" in str(late.value) and "(STARTUP_TIMEOUT=)" in str(late.value)
