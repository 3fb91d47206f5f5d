"""What comes from a generator counts for the cell that it belongs to, whatever else comes."""

import json
import os
import signal
import sys
import threading
import time
from queue import SimpleQueue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.experiment.generator.dialogue import Dialogue, EndedError, _read
from bench.experiment.generator.session import CellError, Load, Session
from bench.machine.processes import spawn
from tests.patience import LONG_S

LOAD = {"host": "http://127.0.0.1:9", "scenario": "index.py", "users": 2, "warmup_s": 0.0, "measured_s": 1}
FOREIGN = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"Load test starting", b"\xff\xfe\x00", b"[" * 20_000, b"null", b"7", b'{"event": 5}', b"{}"]
    ),
    st.builds(
        lambda event, cell: json.dumps(
            {"event": event, "cell": cell, "requests": 666, "reason": "a lie"}
        ).encode(),
        st.sampled_from(["finished", "failed", "progress", "ready", "quit"]),
        st.one_of(st.none(), st.text(max_size=8), st.integers(), st.lists(st.none())),
    ),
).map(lambda text: text.replace(b"\n", b" ") + b"\n")


class Scripted:
    """In the place of a dialogue: a generator that says foreign things around its events, and some late."""

    running = True

    def __init__(self, foreign):
        self._foreign = foreign
        self._late = []
        self.cells = 0
        reading, self._pipe = os.pipe()
        self._events = SimpleQueue()
        self._reader = threading.Thread(target=_read, args=(os.fdopen(reading, "rb"), self._events))
        self._reader.start()

    def say(self, **event):
        self._say(json.dumps(event).encode() + b"\n")

    def _say(self, line):
        view = memoryview(line)
        while view:
            view = view[os.write(self._pipe, view) :]

    def send(self, command, **fields):
        assert command == "cell"
        number, self.cells = self.cells, self.cells + 1
        between = self._foreign[number % len(self._foreign)] if self._foreign else []
        for line in between:
            self._say(line)
        for event in self._late:  # of cells before
            self.say(**event)
        self.say(event="progress", cell=fields["cell"], requests=number)
        ended = {"event": "finished", "cell": fields["cell"], "requests": number, "window": {"start": number}}
        for line in between:
            self._say(line)
        self.say(**ended)
        self._late.append({**ended, "requests": -1})

    def next(self, timeout_s):
        return self._events.get(timeout=max(timeout_s, LONG_S))

    def end(self, patience_s=0.0):
        os.close(self._pipe)
        self._reader.join()
        return []


@settings(deadline=None, max_examples=150)
@given(st.lists(st.lists(FOREIGN, max_size=4), max_size=4), st.integers(1, 5))
def test_nothing_foreign_or_late_moves_a_figure_into_another_cell(foreign, cells):
    scripted = Scripted(foreign)
    session = Session([], [0], log=None)
    session._dialogue, session._ready = scripted, {"engines": {}, "processes": 1}
    try:
        for number in range(cells):
            heard = []
            event = session.run(Load(**LOAD, directory=ANYWHERE), lambda: None, heard.append)
            assert (event["requests"], event["window"]) == (number, {"start": number})
            assert [each["requests"] for each in heard] == [number]
    finally:
        session._end()


class _Anywhere:
    def resolve(self):
        return "anywhere"


ANYWHERE = _Anywhere()


def test_an_error_that_is_not_the_generators_own_begins_the_dialogue_anew(tmp_path):
    fake = os.path.join(os.path.dirname(__file__), "fake_session.py")  # noqa: PTH118, PTH120
    with Session([sys.executable, fake, "well"], [0], tmp_path / "log") as session:
        load = Load(**LOAD | {"measured_s": 3}, directory=tmp_path)

        def fails(_event):
            raise CellError("the terminal is gone")

        with pytest.raises(CellError, match="the terminal is gone"):
            session.run(load, lambda: None, fails)
        assert session._dialogue is None
        assert (
            session.run(Load(**LOAD, directory=tmp_path), lambda: None, lambda _: None)["event"] == "finished"
        )


KEEPS_OPEN = """
import json, subprocess
kept = subprocess.Popen(["sleep", "600"])
print(json.dumps({"event": "last", "pid": kept.pid}), flush=True)
"""


def test_a_program_that_keeps_the_pipe_open_does_not_hide_the_end(tmp_path):
    dialogue = Dialogue(spawn, [sys.executable, "-c", KEEPS_OPEN], [0], tmp_path / "log")
    event = dialogue.next(LONG_S)
    try:
        deadline = time.monotonic() + LONG_S
        with pytest.raises(EndedError):
            while time.monotonic() < deadline:
                assert dialogue.next(0.1) is None
    finally:
        os.kill(event["pid"], signal.SIGKILL)
        dialogue.end()
