import os
import signal
import subprocess
import sys
import time

import pytest

from bench.experiment import observe
from bench.experiment.observe import Observer
from bench.launch.server import ORDINARY, StartedServer
from bench.model.cells import Block, Cell, ClosedLoop, Goal, OpenLoop
from bench.model.plans.recycling import Probe
from targets.catalogue.recycling import NEVER, Recycling
from tests.patience import LONG_S

LOAD = OpenLoop("constant", 100.0, 8)
START = 1000.0
KILL = Probe(kind="kill", scenario="index", rate_per_s=100.0, after_s=3.0, measured_s=12)
TERMINATE = KILL.model_copy(update={"kind": "terminate"})
DEPLOY = KILL.model_copy(update={"kind": "deploy"})
SWAP = KILL.model_copy(update={"kind": "swap"})
MANY = Recycling(50, 5)


def cell_of(**keys):
    return Cell("uvicorn", "index", LOAD, workers=1, repeat=1, block=1, **keys)


RECYCLED = cell_of(recycling=MANY, goal=Goal(2, 100, 1.0))
CONTROL = cell_of(recycling=NEVER, goal=Goal(0, 100, 1.0))


class Rig:
    """A server whose files and status the test writes, and what it is told."""

    def __init__(self, folder, cell):
        self.status = None
        self.folder = folder
        self.enough_said = 0
        self.stopped = []
        self.signals = []
        self.shown = []
        (folder / "workers.csv").write_text("time,event,pid,role,exit_status\n")
        self.happens("900,born,7,worker,", "901,ready,7,worker,")
        self.server = StartedServer("http://127.0.0.1:1", {"pid": 7}, folder, (0,), self)
        self.observer = Observer(cell, self.server, self, self, lambda event, note: self.shown.append(note))

    def poll(self):
        return self.status

    def cause(self):
        return None

    def kill(self, pid):
        moment = time.time()
        os.kill(pid, signal.SIGKILL)
        return moment

    def signal(self, number):
        self.signals.append(number)

    def enough(self):
        self.enough_said += 1

    def stop(self, server):
        self.stopped.append(server)

    def happens(self, *rows):
        with (self.folder / "workers.csv").open("a") as file:
            file.writelines(row + "\n" for row in rows)

    def replace(self, number):
        at = START + number
        self.happens(f"{at},died,{number},worker,0", f"{at},born,{number + 1},worker,")
        self.happens(f"{at},ready,{number + 1},worker,")

    def report(self, second, requests, failures_per_s=0.0, window_start=START):
        self.observer.on_progress(
            {
                "time": START + second,
                "window_start": window_start,
                "requests": requests,
                "failures_per_s": failures_per_s,
            }
        )


@pytest.fixture
def rig(tmp_path):
    return lambda cell: Rig(tmp_path, cell)


def block_of(*cells):
    return Block(1, "uvicorn", 1, 1, cells)


def test_how_servers_of_recycling_are_run():
    assert observe.options(block_of(), None) == ORDINARY
    assert observe.options(block_of(Cell("uvicorn", "index", ClosedLoop(1), 1, 1, 1)), None) == ORDINARY
    recycled = observe.options(block_of(RECYCLED), None)
    assert recycled.arguments() == [
        *("--max-requests", "50", "--max-requests-jitter", "5"),
        *("--sample-interval", "0.05", "--memory-interval", "0.25", "--log-requests"),
    ]
    control = observe.options(block_of(CONTROL), None).arguments()
    assert control == recycled.arguments()[4:]
    killed = observe.options(block_of(cell_of(recycling=NEVER, probe=KILL)), None).arguments()
    stopped = observe.options(block_of(cell_of(recycling=NEVER, probe=TERMINATE)), None).arguments()
    assert killed == control and " ".join(stopped).count("--grace-period 30") == 1
    deployed = observe.options(block_of(cell_of(recycling=NEVER, probe=DEPLOY)), None).arguments()
    assert deployed == [*stopped, "--deploys"]
    swapped = observe.options(block_of(cell_of(recycling=NEVER, probe=SWAP)), None)
    assert swapped.arguments() == deployed and swapped.swapped


def test_it_is_enough_when_both_have_been_reached_and_not_before(rig):
    seen = rig(RECYCLED)
    seen.report(0.5, None, window_start=None)
    seen.report(1, 500)
    seen.replace(7)
    seen.report(2, 600)
    assert seen.enough_said == 0
    seen.replace(8)
    seen.report(3, 90)  # both replaced, not enough requests
    assert seen.enough_said == 0
    seen.report(4, 100)
    assert seen.enough_said == 1
    seen.report(5, 200)
    assert seen.enough_said == 1
    assert seen.observer.finish(START) is None
    assert seen.observer.outcome() == "2 replaced"
    assert (seen.observer.probe, seen.observer.server_ended) == (None, None)


def test_what_was_replaced_before_the_window_does_not_count(rig):
    seen = rig(RECYCLED)
    for number in (7, 8):
        seen.replace(number)
    seen.report(30, 500, window_start=START + 20)
    assert seen.enough_said == 0 and seen.shown == ["0/2 replaced, 0 failed"]


def test_a_control_waits_for_its_requests_only(rig):
    seen = rig(CONTROL)
    seen.report(1, 99)
    assert seen.enough_said == 0
    seen.report(2, 100)
    assert seen.enough_said == 1


def test_what_happened_so_far_is_shown(rig):
    seen = rig(RECYCLED)
    seen.report(1, 10, failures_per_s=3.0)
    seen.replace(7)
    seen.report(3, 20, failures_per_s=5.0)
    assert seen.shown == ["0/2 replaced, 3 failed", "1/2 replaced, 13 failed"]


@pytest.mark.parametrize("cell", [RECYCLED, CONTROL])
def test_a_server_that_ends_is_noted_and_ends_the_cell_five_seconds_later(rig, cell):
    seen = rig(cell)
    seen.report(1, 10)
    seen.happens(f"{START + 1.5},died,7,worker,3")
    seen.status = 5
    assert seen.observer.watch() is None
    assert seen.observer.server_ended == {"time": START + 1.5, "exit_status": 3}
    seen.report(6.4, 10_000)  # what was wanted is not waited for, nor does it end the cell sooner
    assert seen.enough_said == 0
    seen.report(6.5, 10_000)
    assert seen.enough_said == 1
    assert seen.observer.finish(START) is None
    assert seen.observer.outcome() == "0 replaced, the server ended"


def test_a_server_that_ends_in_the_last_moment_is_noted_too(rig):
    seen = rig(CONTROL)
    seen.happens(f"{START + 1.5},died,7,worker,")
    seen.status = 5
    assert seen.observer.finish(START) is None
    assert seen.observer.server_ended == {"time": START + 1.5, "exit_status": None}


@pytest.mark.parametrize("status", [6, -9, 0])
def test_what_is_no_end_of_the_server_fails_the_cell(rig, status):
    """Metrics that cannot be written, a serve that is killed, or one that somebody else stops."""
    seen = rig(RECYCLED)
    seen.happens(f"{START + 1.5},died,7,worker,")
    seen.status = status
    assert "the server ended by itself" in seen.observer.watch()


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def test_kill_ends_the_worker_that_has_served_for_longest(rig, sleeper):
    seen = rig(cell_of(recycling=NEVER, probe=KILL.model_copy(update={"after_s": 0.0})))
    seen.happens("902,died,7,worker,", f"903,born,{sleeper.pid},worker,")
    now = time.time()
    seen.report(0, 0, window_start=now)
    assert seen.observer.watch() is None and seen.observer.probe is None  # nobody is ready
    seen.happens(f"904,ready,{sleeper.pid},worker,", "905,ready,1,worker,")
    assert seen.observer.watch() is None
    assert sleeper.wait(LONG_S) == -9
    assert seen.observer.probe["kind"] == "kill" and seen.observer.probe["pid"] == sleeper.pid
    assert now <= seen.observer.probe["time"] <= time.time()
    before = dict(seen.observer.probe)
    assert seen.observer.watch() is None and seen.observer.probe == before  # once only
    assert seen.observer.finish(START) is None and seen.enough_said == 0


def test_terminate_stops_the_server_by_way_of_the_launcher(rig):
    seen = rig(cell_of(recycling=NEVER, probe=TERMINATE))
    now = time.time()
    seen.observer.watch()
    seen.report(0, None, window_start=None)
    seen.observer.watch()
    seen.report(0, 0, window_start=now + 1000)
    seen.observer.watch()
    assert seen.stopped == [] and seen.observer.probe is None  # in the warm-up, and before it is due
    seen.report(0, 0, window_start=now - 3.0)
    assert seen.observer.watch() is None and seen.observer.watch() is None
    assert seen.stopped == [seen.server]
    assert seen.observer.probe["kind"] == "terminate" and seen.observer.probe["pid"] == 7
    seen.happens(f"{START + 6},died,7,worker,-15")
    seen.status = 0
    assert seen.observer.watch() is None
    assert seen.observer.server_ended == {"time": START + 6, "exit_status": -15}


def test_deploy_tells_serve_once_and_looks_who_has_the_new_release(rig):
    seen = rig(cell_of(recycling=NEVER, probe=DEPLOY))
    (seen.folder / "ready.csv").write_text("901,7,1\n")
    now = time.time()
    seen.report(0, 0, window_start=now - 3.0)
    assert seen.observer.watch() is None and seen.observer.watch() is None
    assert seen.signals == [signal.SIGUSR1] and seen.stopped == []
    with (seen.folder / "ready.csv").open("a") as file:
        file.write("905,8,2\n906,9,2\n")
    assert seen.observer.finish(START) is None
    assert now <= seen.observer.probe.pop("time")
    assert seen.observer.probe == {"kind": "deploy", "pid": 7, "renewed": [8, 9]}


class Leads:
    """A front that notes where it is led to."""

    def __init__(self):
        self.led_to = []

    def lead_to(self, url):
        self.led_to.append(url)

    def failure(self):
        return None


def test_a_swap_leads_the_proxy_to_the_second_copy_and_then_ends_the_first(rig, monkeypatch):
    seen = rig(cell_of(recycling=NEVER, probe=SWAP))
    front = seen.server.front = Leads()
    monkeypatch.setattr(observe, "_DRAIN_S", 0.0)
    seen.report(0, 0, window_start=time.time() - 3.0)
    assert seen.observer.watch() is None and seen.observer.watch() is None
    assert seen.signals == [signal.SIGUSR1] and front.led_to == [], "it does not answer yet"
    (seen.folder / "standby").write_text("http://127.0.0.1:2")
    assert seen.observer.watch() is None
    assert seen.signals == [signal.SIGUSR1] and front.led_to == ["http://127.0.0.1:2"]
    assert seen.observer.watch() is None and seen.observer.watch() is None
    assert seen.signals == [signal.SIGUSR1] * 2 and len(front.led_to) == 1
    assert seen.observer.probe["kind"] == "swap" and seen.stopped == []


def test_a_probe_that_could_not_be_sent_fails_the_cell(rig):
    seen = rig(cell_of(recycling=NEVER, probe=KILL))
    assert seen.observer.finish(START) == "the probe was never sent: no worker was ready"
    seen.happens(f"{START + 1.5},died,7,worker,1")
    seen.status = 5
    assert seen.observer.watch().startswith("nothing was left for the probe: the server ended by itself")
