"""What users leave behind: it goes with them, and counts in no other cell.

A published file reads a list in the background of each user, by the connection that it is given; others poll
or receive in a method, set a timer, or listen to all requests from `on_start`. None is ended in `on_stop`.
"""

from __future__ import annotations

import pytest

import swarm  # noqa: F401  # has gevent patch this process, so that the server runs while a test waits
from tests.patience import LONG_S
from tests.swarm.processes import column, locustfile
from tests.swarm.scripted import reply

LEAVES = """
import gevent
HEARD = set()

def read_list(client):
    while True:
        client.get("/list")
        gevent.sleep(0.02)

@events.test_start.add_listener
def begin(**_):
    HEARD.clear()

@events.test_stop.add_listener
def tell(**_):
    print("heard by", len(HEARD))

class Watcher(HttpUser):
    wait_time = constant(0.02)

    def on_start(self):
        def beat():
            while True:
                self.client.get("/beat")
                gevent.sleep(0.02)
        gevent.spawn(read_list, self.client)
        gevent.spawn(beat)
        threading.Thread(target=self.receive, daemon=True).start()
        threading.Timer(600, self.leave).start()
        events.request.add_listener(self.heard)

    def receive(self):
        while True:
            self.client.get("/received")
            time.sleep(0.02)

    def leave(self):
        self.environment.runner.quit()

    def heard(self, **_):
        HEARD.add(id(self))

    @task
    def look(self):
        self.client.get("/")
"""
# The last of these comes back for ever, as a loop does that lets nothing pass.
NEVER_ENDS = LEAVES.replace(
    """            self.client.get("/received")
            time.sleep(0.02)
""",
    """            try:
                self.client.get("/received")
                time.sleep(0.02)
            except:
                pass
""",
)


@pytest.fixture
def server(serve):
    return serve({path: reply() for path in ("/", "/list", "/beat", "/received")})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    texts = {"leaves": locustfile(LEAVES).partition("\nclass Visitor")[0], "others": locustfile()}
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
    return {name: folder / f"{name}.py" for name in texts}


@pytest.mark.parametrize("processes", [1, 2])
def test_what_users_leave_counts_in_no_other_cell(server, share_session, files, tmp_path, processes):
    session = share_session(files.values(), processes)
    asked = {}
    for number, name in enumerate(["leaves", "leaves", "others"]):
        folder = tmp_path / str(number)
        session.cell(files[name], server.url, folder, users=2)
        finished = session.wait_for("finished", "failed")
        assert finished["event"] == "finished", finished
        asked[number] = set(column(folder / "latency.csv", "name"))
    assert asked == {0: {"/", "/list", "/beat", "/received"}, 1: asked[0], 2: {"/"}}
    log = session.errors
    named = "Watcher.leave, Watcher.on_start.<locals>.beat, Watcher.receive, read_list"
    assert f"of users went on after their test: {named}" in log
    if processes == 1:
        assert [line for line in log.splitlines() if line.startswith("heard by")] == ["heard by 2"] * 2


def test_what_does_not_end_is_told_and_another_process_goes_on(server, open_session, write, tmp_path):
    file = write("never", locustfile(NEVER_ENDS).partition("\nclass Visitor")[0])
    session = open_session(file)
    session.wait_for("ready")
    session.cell(file, server.url, tmp_path / "a", users=2)
    assert session.wait_for("finished", "failed")["event"] == "finished"
    session.cell(file, server.url, tmp_path / "b", users=2)
    failed = session.wait_for("finished", "failed")
    assert failed["event"] == "failed" and failed["over"], failed
    assert "have left greenlets or threads that do not end" in failed["reason"]
    assert "Watcher.receive" in failed["reason"]
    assert session.process.wait(LONG_S) == 0
