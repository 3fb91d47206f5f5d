"""Recycling by memory, what serve refuses, and that an app which is not recycled pays nothing."""

import http.client
import os
import re
import subprocess
from contextlib import suppress

from tests.patience import wait_until

from .conftest import PROJECT, alive, stack_python


def test_granian_replaces_a_worker_that_exceeds_its_memory(serve):
    served = serve("granian", "--max-rss", "200").wait_ready()
    assert served.server["max_rss_mib"] == 200
    assert served.server["max_requests"] is None
    first = served.server["whoami"]["pid"]
    for _ in range(200):
        served.get_json("/leak?bytes=1000")
    assert alive(first), "requests alone replace nobody"
    for _ in range(12):
        # One may be under way at the moment of the replacement.
        with suppress(OSError, http.client.HTTPException):
            served.get_json("/leak?bytes=16777216")
    wait_until(lambda: not alive(first), "the worker is replaced")
    wait_until(lambda: len(served.events("ready", "worker")) == 2, "its successor is noted")
    assert served.end() == (0, "")


def test_serve_says_what_a_configuration_cannot_do(serve):
    refused = {
        ("granian", "--max-requests", "500"): "serve: granian counts no requests, .* give max_rss instead\n",
        ("sanic", "--max-rss", "90"): "serve: sanic never replaces a worker for its memory: .*\n",
        ("sanic-single", "--max-requests", "500"): "serve: sanic-single never replaces a worker .*\n",
    }
    for command, message in refused.items():
        status, stderr = serve(*command).wait()
        assert status == 2
        assert re.fullmatch(message, stderr), stderr


def test_nothing_runs_in_a_request_that_was_not_asked_for():
    count = "from targets.app import app; print(len(app.request_middleware), len(app.response_middleware))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHICHWORKER_")}

    def middlewares(**variables):
        ran = subprocess.run(
            [stack_python("current"), "-c", count],
            cwd=PROJECT, env={**environment, **variables}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return ran.stdout.split()

    assert middlewares() == ["0", "0"]
    assert middlewares(WHICHWORKER_REQUEST_LOG=os.devnull) == ["1", "1"]
    assert middlewares(WHICHWORKER_MAX_REQUESTS="5", WHICHWORKER_MAX_REQUESTS_JITTER="0") == ["0", "1"]


def test_the_request_log_knows_requests_that_have_an_id(serve):
    served = serve("gunicorn-uvicorn", "--log-requests").wait_ready()
    connection = served.connect()
    for number in 1, None, 2:
        connection.request("GET", "/json", headers={} if number is None else {"X-Request-Id": str(number)})
        connection.getresponse().read()
    rows = [(row["id"], row["event"]) for row in served.rows("requests.csv")]
    assert rows == [("1", "started"), ("1", "finished"), ("2", "started"), ("2", "finished")]
    assert {int(row["pid"]) for row in served.rows("requests.csv")} == {served.server["whoami"]["pid"]}
    assert served.end() == (0, "")


def test_without_being_asked_for_there_is_no_request_log(serve):
    served = serve("sanic-single", environment={"WHICHWORKER_REQUEST_LOG": "/nowhere/log"}).wait_ready()
    assert served.request("GET", "/json")[0] == 200
    assert not (served.metrics / "requests.csv").exists()
