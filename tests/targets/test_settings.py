"""What an app does by its environment: garbage collection. And that variants serve as they say."""

import json
import os
import subprocess

import pytest

from tests.patience import LONG_S, wait_until
from tests.ports import free_port

from .conftest import PROJECT, serving, stack_python

TUNED = """
import asyncio, gc, json
from targets.settings import apply_settings
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
