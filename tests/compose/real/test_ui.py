"""The web UI with servers and load in containers."""

import json
import re
import signal
import urllib.parse
import urllib.request

import psutil

from tests.bench.studies.cockpit.ui import FORM
from tests.compose.real.checkout import cells, end
from tests.compose.real.engine import containers, inspect
from tests.patience import CONTAINERS_S, wait_until


def ask(url, path, form=None):
    data = None if form is None else urllib.parse.urlencode(form, doseq=True).encode()
    with urllib.request.urlopen(url + path, data, timeout=CONTAINERS_S) as answer:
        return json.loads(answer.read())


def live(url):
    return ask(url, "/server/live?since=0")


def measured(told):
    """Whether two whole seconds are known of both sides."""
    known = [row for row in told["seconds"] if row[1] is not None and row[5] is not None]
    return told["load"]["settled"] is not None and len(known) >= 4


def address(process):
    for line in process.stdout:
        if found := re.search(r"web UI: (http://\S+)/server ", line):
            return found[1]
    raise AssertionError("it ended")


def test_what_is_chosen_runs_in_containers_that_nobody_else_reaches(checkout, results, nothing_left):
    options = ("--port", "0", "--warmup", "0.3", "--scenarios", "slow,db", "--results", results)
    ui = checkout.start(".venvs/suite/bin/python", "-m", "bench", "ui", "--launcher", "compose", *options)
    try:
        url = address(ui)
        listening = psutil.Process(ui.pid).net_connections("tcp")
        assert [each.laddr.ip for each in listening if each.status == "LISTEN"] == ["127.0.0.1"]
        assert ask(url, "/swarm", {**FORM, "configuration": "uvicorn", "proxy": "nginx"})["success"] is True
        wait_until(lambda: measured(live(url)), "it is measured", CONTAINERS_S)
        ours = containers(f"whichworker.checkout={checkout.hash}", running=True)
        assert len(ours) == 4, "the network, the web UI, the server and the proxy"
        assert not any(inspect(each)["NetworkSettings"]["Ports"] for each in ours), "nothing is published"
        ask(url, "/stop", {})
        wait_until(lambda: cells(results), "the cell is recorded", CONTAINERS_S)
        again = {**FORM, "configuration": "gunicorn-sanic", "user_classes": ["Db"]}
        assert ask(url, "/swarm", again)["success"] is True
        wait_until(lambda: measured(live(url)), "the next is measured", CONTAINERS_S)
        ui.send_signal(signal.SIGINT)
        said, _ = ui.communicate(timeout=CONTAINERS_S)
        assert ui.returncode == 0, said
    finally:
        end(ui)
    recorded = {(cell["configuration"], cell["scenario"]): cell for cell in cells(results)}
    assert set(recorded) == {("uvicorn-nginx", "slow"), ("gunicorn-sanic", "db")}
    assert {cell["status"] for cell in recorded.values()} == {"finished"}
    (run,) = results.glob("*/run.json")
    assert json.loads(run.read_text())["database"]["where"] == "compose"
    assert {path.stat().st_uid for path in (results, *results.rglob("*"))} == {checkout.uid}
