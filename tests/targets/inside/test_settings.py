"""What an app does by its environment: garbage collection. And that variants serve as they say."""

import json
import os
import subprocess

import pytest

from tests.patience import LONG_S, wait_until
from tests.ports import free_port

from ..conftest import PROJECT, serving, stack_python
from ..test_serve import backlog

TUNED = """
import asyncio, gc, json
from targets.inside.settings import apply_settings
class App:
    def register_listener(self, listener, event):
        assert event == "before_server_start"
        listeners.append(listener)
listeners = []
apply_settings(App())
before = gc.get_threshold()
for listener in listeners:
    asyncio.run(listener(None))
print(json.dumps([len(listeners), gc.get_freeze_count() > 0, before, gc.get_threshold()]))
"""


@pytest.mark.parametrize(
    ("variables", "frozen", "threshold"),
    [
        ({}, False, None),
        ({"WHICHWORKER_GC_FREEZE": "1"}, True, None),
        ({"WHICHWORKER_GC_THRESHOLD": "50000"}, False, 50000),
        ({"WHICHWORKER_GC_THRESHOLD": "50000", "WHICHWORKER_GC_FREEZE": "1"}, True, 50000),
    ],
)
def test_garbage_is_collected_as_the_environment_says(variables, frozen, threshold):
    done = subprocess.run(
        [stack_python("current"), "-c", TUNED],
        cwd=PROJECT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 0, done.stderr
    count, was_frozen, before, after = json.loads(done.stdout)
    assert count == (1 if variables else 0), "nothing is registered that nobody asked for"
    assert was_frozen == frozen
    assert after == ([threshold, *before[1:]] if threshold else before)


AGE = """
from targets.inside import settings
settings.recycle_after = lambda app, **given: print(sorted(given.items()))
settings.apply_settings(None)
"""


@pytest.mark.parametrize(("age", "told"), [(None, ""), ("5", ", ('minimum_age_s', 5.0)")])
def test_workers_live_as_long_as_the_environment_says(age, told):
    variables = {"WHICHWORKER_MAX_REQUESTS": "9", "WHICHWORKER_MAX_REQUESTS_JITTER": "1"}
    variables |= {} if age is None else {"WHICHWORKER_MINIMUM_AGE_S": age}
    done = subprocess.run(
        [stack_python("current"), "-c", AGE],
        cwd=PROJECT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.stdout == f"[('jitter', 1), ('max_requests', 9){told}]\n", done.stderr


def test_sanics_own_server_has_the_backlog_that_its_app_says(tmp_path):
    with serving(tmp_path, "sanic-backlog-511") as served:
        served.wait_ready()
        assert backlog(served.port) == 511
        assert served.get_json("/whoami")["configuration"] == "sanic-backlog-511"


def test_a_variant_serves_as_it_says(tmp_path):
    with serving(tmp_path, "uvicorn-h11") as served:
        served.wait_ready()
        whoami, server = served.get_json("/whoami"), served.server
        assert whoami["configuration"] == server["configuration"] == "uvicorn-h11"
        assert (whoami["loop"], whoami["parser"]) == ("uvloop", "h11")
        assert server["command"][server["command"].index("--http") + 1] == "h11"


def test_what_a_server_prints_may_come_by_a_pipe(tmp_path):
    with serving(tmp_path, "uvicorn-access-log-pipe") as served:
        served.wait_ready()
        assert os.readlink(f"/proc/{served.server['pid']}/fd/1").startswith("pipe:")  # noqa: PTH115
        served.get_json("/whoami")
        log = served.metrics / "server.log"
        wait_until(lambda: '"GET /whoami HTTP/1.1" 200' in log.read_text(), "the request is in the log")
        assert served.end()[0] == 0
        assert "Finished server process" in log.read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [('add = ["--nonsense"]', "No such option"), ('replace = { "--backlog" = "many" }', "'many'")],
)
def test_a_flag_that_a_server_refuses_is_told_in_its_own_words(tmp_path, changes, words):
    catalogue = tmp_path / "mine.toml"
    catalogue.write_text(f'[variant.odd]\nof = "uvicorn"\nvaries = "x"\n{changes}\n')
    command = [stack_python("current"), "-m", "targets.serve", "odd", "--catalogue", catalogue]
    done = subprocess.run(
        [*command, "--metrics", tmp_path / "metrics", "--port", str(free_port())],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LONG_S,
    )
    assert done.returncode == 3 and words in done.stderr
    assert "serve: odd ended with status 2 while starting" in done.stderr
