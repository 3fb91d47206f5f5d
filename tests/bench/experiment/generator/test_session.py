import http.server
import sys
import threading
from pathlib import Path

import psutil
import pytest

from bench.experiment.generator.session import CellError, Load, Session, arguments
from bench.machine import clock

FAKE = Path(__file__).with_name("fake_session.py")


@pytest.fixture
def server():
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


@pytest.fixture
def load(server, tmp_path):
    return Load(server, "index.py", users=2, warmup_s=0.1, measured_s=1, directory=tmp_path)


def open_session(tmp_path, mode, **options):
    return Session([sys.executable, str(FAKE), mode], [0], tmp_path / "generator.log", **options)


def children():
    return psutil.Process().children(recursive=True)


def test_one_process_runs_cell_after_cell(tmp_path, load):
    before, heard = children(), []
    with open_session(tmp_path, "well") as session:
        first = session.run(load, lambda: None, heard.append)
        (only,) = [child for child in children() if child not in before]
        second = session.run(load, lambda: None, heard.append)
        assert only.is_running() and only.cpu_affinity() == [0]
    assert first["requests"] > 0 and second["requests"] > 0
    assert heard and {event["event"] for event in heard} == {"progress"}
    assert not only.is_running()


def test_a_generator_that_dies_fails_its_cell_and_is_started_again(tmp_path, load):
    with open_session(tmp_path, "dies") as session:
        for _ in range(2):
            with pytest.raises(CellError, match=r"the load generator died \(exit status 7\)") as caught:
                session.run(load, lambda: None, lambda event: None)
            assert "boom: the generator gives up" in str(caught.value)


def test_a_generator_that_hangs_is_replaced(tmp_path, load):
    before = children()
    with open_session(tmp_path, "hangs", slack_s=0.2) as session:
        with pytest.raises(CellError, match="did not end the cell in time"):
            session.run(load, lambda: None, lambda event: None)
        assert [child for child in children() if child not in before] == []


def test_a_server_that_is_gone_ends_the_cell_at_once_and_keeps_the_generator(tmp_path, load):
    answers = iter([None] * 4 + ["the server is gone"] * 100)
    with open_session(tmp_path, "well") as session:
        with pytest.raises(CellError, match="the server is gone"):
            session.run(load, lambda: next(answers), lambda event: None)
        kept = children()
        assert session.run(load, lambda: None, lambda event: None)["event"] == "finished"
        assert children() == kept


def test_a_clock_that_is_set_ends_the_cell_at_once_and_keeps_the_generator(tmp_path, load, monkeypatch):
    with open_session(tmp_path, "well") as session:
        hour_back = lambda _event: monkeypatch.setattr(clock, "_ahead_s", lambda: before - 3600)  # noqa: E731
        before = clock._ahead_s()
        with pytest.raises(CellError, match=r"was set back by 3[56]\d\d\.\d s"):
            session.run(load, lambda: None, hour_back)
        kept = children()
        monkeypatch.undo()
        assert session.run(load, lambda: None, lambda event: None)["event"] == "finished"
        assert children() == kept


def test_a_generator_that_takes_too_long_to_be_ready_is_told_with_what_gives_it_more(
    tmp_path, load, monkeypatch
):
    monkeypatch.setattr("bench.experiment.generator.dialogue._READY_SLACK_S", 0.1)
    words = [sys.executable, "-c", "import time; time.sleep(600)"]
    session = Session(words, [0], tmp_path / "generator.log", import_s=0.2)
    with session, pytest.raises(CellError, match=r"not ready after 0.5 s: .* --import-timeout \(IMPORT_TIM"):
        session.run(load, lambda: None, print)


def test_a_generator_is_told_how_long_its_processes_may_take_to_import():
    words = arguments(["a.py"], 2, import_s=90.0)
    assert words[words.index("--import-timeout") + 1] == "90"
