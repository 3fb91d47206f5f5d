"""What bench tells of the web UI's own process: settings that are left aside, and how locustfiles ended."""

import os
import sys

from bench.machine.processes import spawn
from bench.studies.cockpit.web_ui import WebUI

SAYS = """
import json, sys
settings = {"variables": [], "files": ["locust.conf"]}
print(json.dumps({"event": "ready", "port": 1, "settings": settings}), flush=True)
sys.stdin.read()
raised = ["listener gate of quitting: KeyError: 'total'"]
print(json.dumps({"event": "quit", "exit_status": 3, "raised": raised}), flush=True)
"""


class Launcher:
    """One whose programs are the script above."""

    def start_program(self, _arguments, cpus, **streams):
        return spawn([sys.executable, "-c", SAYS], cpus, **streams)


def test_what_is_left_aside_and_how_files_ended_is_told_as_of_a_run(tmp_path):
    (tmp_path / "locust.conf").write_text("users = 7\n")
    said = []
    cpus, offer = sorted(os.sched_getaffinity(0)), {"import_timeout_s": 60}
    with WebUI(Launcher(), cpus, tmp_path / "generator.log", offer, said.append, tmp_path) as web_ui:
        assert web_ui.port == 1
    settings, status, raised = said
    assert f"{tmp_path / 'locust.conf'}: Locust's own settings are ignored here" in settings
    assert "a locustfile set the exit status 3 (process_exit_code) in its last load" in status
    assert "a locustfile raised listener gate of quitting: KeyError: 'total'" in raised
    assert "generator.log" in raised
