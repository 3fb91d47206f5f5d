"""`bench ui` as a process of its own, and the requests of a browser."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import psutil

from tests.patience import LONG_S, wait_until

ROOT = Path(__file__).parents[4]
STACK = ROOT / "targets" / "stacks" / "current.txt"

CATALOGUE = f"""
[stack.current]
python = ["3.14", "3.13", "3.12", "3.11"]
requirements = "{STACK}"

[configuration.sanic]
summary = "Sanic's own server."
stack = "current"
argv = ["sanic", "{{app}}", "--host", "{{host}}", "--port", "{{port}}", "--workers", "{{workers}}",
        "--no-motd", "--no-access-logs"]
recycle = "app"
environment = {{ SANIC_KEEP_ALIVE_TIMEOUT = "75" }}
loop = "uvloop"
parser = "sanic"
keep_alive_s = 75
backlog = 100

[configuration.single]
summary = "Sanic in one process."
stack = "current"
argv = ["sanic", "{{app}}", "--host", "{{host}}", "--port", "{{port}}", "--single-process",
        "--no-motd", "--no-access-logs"]
recycle = "none"
environment = {{ SANIC_KEEP_ALIVE_TIMEOUT = "75" }}
loop = "uvloop"
parser = "sanic"
keep_alive_s = 75
backlog = 100
max_workers = 1

[configuration.broken]
summary = "Does not start."
stack = "current"
argv = ["python", "-c", "raise SystemExit('boom: <b>these are my last words</b>')"]
recycle = "none"
loop = "uvloop"
parser = "sanic"
keep_alive_s = 75
backlog = 100

[configuration.slow]
summary = "Takes its time."
stack = "current"
argv = ["python", "-c", "import time; time.sleep(600)"]
recycle = "none"
loop = "uvloop"
parser = "sanic"
keep_alive_s = 75
backlog = 100
"""

FORM = {
    "user_count": "4",
    "spawn_rate": "100",
    "user_classes": ["Slow"],  # they wait for most of their time: what the load is does not matter
    "shape_class": "Default",
    "host": "",
    "run_time": "",
    "profile": "",
    "configuration": "single",
    "server_workers": "1",
    "recycle_after": "",
    "arrivals_per_second": "",
}
TARGET_FORM = {
    key: FORM[key] for key in FORM if key not in ("configuration", "server_workers", "recycle_after")
}


class Ui:
    """A web UI on a port of its own. It is ended with its process; ``said`` is what it printed so far."""

    def __init__(self, results, *options):
        self.results = results
        command = [sys.executable, "-m", "bench", "ui", "--port", "0", "--results", str(results)]
        self.process = subprocess.Popen(
            [*command, "--scenarios", "slow", "--warmup", "0.3", *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "300"},
        )
        self.said = ""
        self._started = 0.0
        self.url = self._address()

    def _address(self):
        for line in self.process.stdout:
            self.said += line
            found = re.search(r"web UI: (http://\S+)/server ", line)
            if found:
                return found[1]
        return None  # it ended: `said` says why

    def ask(self, path, form=None):
        data = None if form is None else urllib.parse.urlencode(form, doseq=True).encode()
        with urllib.request.urlopen(self.url + path, data, timeout=LONG_S) as answer:
            return answer.read()

    def post(self, path, form):
        return json.loads(self.ask(path, form))

    def start(self, **changes):
        self._started = time.time()
        return self.post("/swarm", {**FORM, **changes})

    def stop(self):
        return self.post("/stop", {})

    def idle(self):
        """The same, when no load runs."""
        if self.live()["state"] != "idle":
            self.stop()
        self.until(lambda told: told["state"] == "idle", "no load")
        return self

    def live(self):
        return json.loads(self.ask("/server/live?since=0"))

    def until(self, condition, what):
        """The live figures as soon as they fulfil a condition."""

        def fulfilled():
            return told if condition(told := self.live()) else None

        return wait_until(fulfilled, what, again_s=0.1)

    def measured(self):
        """Wait for two whole seconds of which everything is known, after the warm-up."""

        def known(told):
            settled = told["load"] and told["load"]["settled"]
            seconds = [row for row in told["seconds"] if settled and row[0] >= settled + 0.3]
            return sum(row[1] is not None and row[5] is not None for row in seconds) >= 2

        return self.until(known, "two seconds measured")

    def recorded(self):
        """Wait until the cell of the last start is recorded; returns its cell.json and its folder."""

        def noted(told):
            return any(
                "recorded" in each["text"] and each["time"] > self._started for each in told["notices"]
            )

        self.until(noted, "a record")
        newest = max(self.results.glob("*/[!.]*/*/*/r?/cell.json"), key=lambda path: path.stat().st_mtime_ns)
        return json.loads(newest.read_text()), newest.parent

    def run(self):
        (path,) = self.results.glob("*/run.json")
        return json.loads(path.read_text())

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self):
        """Press Ctrl-C; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        self.said += self.process.communicate(timeout=LONG_S)[0]
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=LONG_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        self.process.stdout.close()
