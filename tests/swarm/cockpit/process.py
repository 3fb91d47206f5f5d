"""`python -m swarm.cockpit` as a process, the test in the place of bench, and a browser without a screen."""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlencode

import gevent
import gevent.monkey

from tests.patience import LONG_S
from tests.swarm.processes import alive, family, start

ONE = {"name": "one", "summary": "The one.", "unavailable": None, "most_workers": 4, "recycles": "requests"}
OFFER: dict[str, Any] = {
    "configurations": [ONE, {**ONE, "name": "gone", "unavailable": "no Python"}],
    "warmup_s": 0.2,
    "most_users": 500,
    "processes": 1,
    "host": "127.0.0.1",
    "port": 0,
    "socket": None,
    "names": [],
    "password": None,
    "target": None,
    "report": None,
    "full": 0.9,
}
FORM = {
    "user_count": "4",
    "spawn_rate": "100",
    "user_classes": ["Index"],
    "shape_class": "Default",
    "host": "",
    "run_time": "",
    "profile": "",
    "configuration": "one: The one.",
    "server_workers": "1",
    "recycle_after": "",
    "arrivals_per_second": "",
}
AT_START = ("shape_class", "host", "run_time", "profile")
EDIT = {key: value for key, value in FORM.items() if key not in AT_START}
"""Locust's dialog for a running test; it sends all user classes there are."""


def later(function: Callable[..., Any], *arguments: Any) -> Any:
    """Do what waits beside the test: in a greenlet where gevent has patched this process, else in a thread.

    What is patched waits for the hub of the thread that made it, so that no other thread can.
    """
    if gevent.monkey.is_module_patched("subprocess"):
        return gevent.spawn(function, *arguments)
    return gevent.get_hub().threadpool.spawn(function, *arguments)


class Answer:
    """What the web UI answered."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = dict(response.getheaders())
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Cockpit:
    def __init__(self, scenarios: Iterable[object], **changes: Any) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = start("-m", "swarm.cockpit", **pipes)
        files = [
            {"name": f"s{number}", "file": str(file), "unavailable": None}
            for number, file in enumerate(scenarios)
        ]
        self.send("offer", **{**OFFER, "scenarios": files, **changes})
        self.ready = self.wait_for("ready", "failed")
        self.port = self.ready.get("port")
        self.cookie = ""

    # -- As bench

    def send(self, command: str, **fields: Any) -> None:
        self.process.stdin.write(json.dumps({"command": command, **fields}) + "\n")
        self.process.stdin.flush()

    def wait_for(self, *names: str) -> dict[str, Any]:
        """The next event of one of these names; others are passed over."""
        with gevent.Timeout(LONG_S, AssertionError(f"no event {names}")):
            while line := later(self.process.stdout.readline).get():
                event = json.loads(line)
                if event["event"] in names:
                    return event
        self.log.seek(0)
        raise AssertionError(f"the web UI ended: {self.log.read()}")

    # -- As a browser

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG_S)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookie:
            given["Cookie"] = self.cookie
        try:
            connection.request(method, path, body, given)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, form: dict[str, Any] | None = None, **headers: str) -> Answer:
        body = urlencode(form or {}, doseq=True)
        return self.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded", **headers)

    def start(self, url: str, directory: object, **form: Any) -> tuple[dict[str, Any], Answer]:
        """Press Start, and serve what is asked for; returns bench's event and what the page is told."""
        answer = later(self.post, "/swarm", {**FORM, **form})
        event = self.wait_for("start")
        self.send("served", request=event["request"], url=url, directory=str(directory), ceilings=[])
        return event, answer.get(timeout=LONG_S)

    def live(self, since: int = 0) -> dict[str, Any]:
        found = self.get(f"/server/live?since={since}")
        assert found.status == 200 and len(found.body) < 8192
        return found.json

    def until(self, condition: Any, what: str) -> dict[str, Any]:
        """The live figures as soon as they fulfil a condition."""
        with gevent.Timeout(LONG_S, AssertionError(f"never happened: {what}")):
            while not condition(told := self.live()):
                gevent.sleep(0.05)
        return told

    def close(self) -> None:
        if self.process.poll() is None:
            for each in alive(family(self.process.pid)):
                each.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            stream.close()
