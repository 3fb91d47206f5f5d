"""The loop between the web UI and what it loads, with stand-ins on both sides."""

import signal
from collections import deque

import pytest

from bench.model.errors import UserError
from bench.studies.cockpit.cockpit import Cockpit
from bench.studies.cockpit.servers import Refused

START = {
    "event": "start", "request": 5, "configuration": "sanic", "workers": 1, "max_requests": None,
    "scenario": "index", "scenarios": ["index"], "users": 4, "rate_per_s": None, "host": None,
}  # fmt: skip
FINISHED = {"event": "finished", "reason": None}


class Line:
    """Gives its events one after the other, then Ctrl-C (or what it is told to raise)."""

    def __init__(self, *events, end=KeyboardInterrupt, after=()):
        self.events, self.after, self.end, self.sent = deque(events), deque(after), end, []

    def next(self, timeout_s):
        if self.events:
            return self.events.popleft()
        if self.end is not None:
            end, self.end = self.end, None
            raise end
        if self.after:
            return self.after.popleft()
        raise UserError("the web UI ended by itself")

    def send(self, command, **fields):
        self.sent.append({"command": command, **fields})


class Served:
    def __init__(self, refuses=None):
        self.busy, self.refuses, self.finished = False, refuses, []

    def start(self, start):
        if self.refuses is not None:
            raise self.refuses
        self.busy = True
        return {"url": "http://x", "directory": "/d", "ceilings": []}

    def lines(self):
        return iter([("server", {"second": 1})] if self.busy else [])

    def finish(self, event):
        self.busy = False
        self.finished.append(event)
        return "recorded", {"kind": "note", "text": "recorded"}


class Reports:
    def __init__(self, making=False, why=None):
        self.making, self.why, self.closed = making, why, False

    def start(self):
        self.making = self.why is None
        return self.why

    def ended(self):
        return False

    def close(self):
        self.closed = True


def run(line, served, reports=None, raises=KeyboardInterrupt):
    with pytest.raises(raises):
        Cockpit(line, served, reports or Reports()).run()
    return line.sent


def test_a_start_is_served_metered_and_recorded():
    served = Served()
    sent = run(Line(START, FINISHED), served)
    assert sent[0] == {
        "command": "served", "request": 5, "url": "http://x", "directory": "/d", "ceilings": [],
    }  # fmt: skip
    assert [each["command"] for each in sent] == ["served", "server", "recorded"]
    assert served.finished == [FINISHED]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [(Refused("its last words"), "its last words"), (OSError(28, "No space left"), "No space left")],
)
def test_a_refusal_reaches_the_form(refusal, said):
    (answer,) = run(Line(START), Served(refuses=refusal))
    assert answer["command"] == "refused" and answer["request"] == 5 and said in answer["reason"]


def test_nothing_starts_while_a_report_is_made_and_none_is_made_under_load():
    (answer,) = run(Line(START), Served(), Reports(making=True))
    assert answer["command"] == "refused" and "report is being made" in answer["reason"]
    sent = run(Line(START, {"event": "report", "request": 6}), Served())
    (answer,) = [each for each in sent if each.get("request") == 6]
    assert answer["command"] == "refused" and answer["reason"] == "stop the load first"


def test_a_report_is_made_or_refused():
    asked = {"event": "report", "request": 6}
    assert run(Line(asked), Served()) == [{"command": "making", "request": 6}]
    (answer,) = run(Line(asked), Served(), Reports(why="nothing has been recorded yet"))
    assert answer["command"] == "refused" and "nothing" in answer["reason"]


def test_ctrl_c_has_a_load_stop_and_be_recorded():
    served, reports = Served(), Reports()
    sent = run(Line(START, after=[None, FINISHED]), served, reports)
    assert {"command": "stop"} in sent and served.finished == [FINISHED] and reports.closed


def test_ctrl_c_while_a_load_is_recorded_comes_after_that():
    class Interrupted(Served):
        def finish(self, event):
            signal.raise_signal(signal.SIGINT)
            return super().finish(event)

    served = Interrupted()
    sent = run(Line(START, FINISHED, end=AssertionError), served)
    assert served.finished == [FINISHED] and {"command": "stop"} not in sent


def test_ctrl_c_as_the_end_of_a_load_arrives_loses_nothing_of_it():
    class Interrupted(Line):
        def next(self, timeout_s):
            event = super().next(timeout_s)
            if event is FINISHED:
                signal.raise_signal(signal.SIGINT)
            return event

    served = Served()
    sent = run(Interrupted(START, FINISHED, end=AssertionError), served)
    assert served.finished == [FINISHED] and {"command": "stop"} not in sent


def test_a_web_ui_that_is_gone_leaves_a_cell_that_says_so():
    served = Served()
    run(Line(START, end=UserError("the web UI ended by itself")), served, raises=UserError)
    (event,) = served.finished
    assert event["reason"] == "the web UI ended while the load was running" and event["window"] is None
