"""The loop between the web UI and what it loads: one thing at a time, and figures every second."""

import contextlib
import time

from bench.cockpit.line import Line
from bench.cockpit.records import Start
from bench.cockpit.reports import Reports
from bench.cockpit.served import Refused, Served
from bench.dialogue import Event
from bench.errors import UserError

# How often the server's files are looked at.
_TICK_S = 0.25
# What a load that is interrupted gets to stop its users and write its files.
_STOP_S = 30.0


class Cockpit:
    """Does what the web UI asks for. ``reports`` is ``None`` where nothing is recorded."""

    def __init__(self, line: Line, served: Served, reports: Reports | None) -> None:
        """``line`` has been entered by the caller."""
        self._line = line
        self._served = served
        self._reports = reports

    def run(self) -> None:
        """Serve until interrupted (``KeyboardInterrupt``); what is recorded by then is kept.

        Raises:
            UserError: the web UI ended by itself.
        """
        try:
            while True:
                self._turn()
        finally:
            self._put_away()

    def _turn(self) -> None:
        """One event at most, and what there is to tell."""
        event = self._line.next(_TICK_S)
        if event is not None:
            self._obey(event)
        self._tell()

    def _tell(self) -> None:
        for command, fields in self._served.lines():
            self._line.send(command, **fields)
        if self._reports is not None and self._reports.ended():
            self._line.send("reported", failed=self._reports.failure())

    def _obey(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._start(event)
            case "finished":
                self._finish(event)
            case "report":
                self._report(event)

    def _start(self, event: Event) -> None:
        request = event["request"]
        if self._reports is not None and self._reports.making:
            self._line.send("refused", request=request, reason="the report is being made: wait for it")
            return
        try:
            served = self._served.start(Start.of(event))
        except Refused as refusal:
            self._line.send("refused", request=request, reason=str(refusal))
        except OSError as error:
            self._line.send("refused", request=request, reason=f"the server was not started: {error}")
        else:
            self._line.send("served", request=request, **served)

    def _finish(self, event: Event) -> None:
        told = self._served.finish(event)
        if told is not None:
            command, fields = told
            self._line.send(command, **fields)

    def _report(self, event: Event) -> None:
        reason = "nothing is recorded here" if self._reports is None else self._begin_report(self._reports)
        if reason is None:
            self._line.send("making", request=event["request"])
        else:
            self._line.send("refused", request=event["request"], reason=reason)

    def _begin_report(self, reports: Reports) -> str | None:
        return "stop the load first" if self._served.busy else reports.start()

    def _put_away(self) -> None:
        """Have a load that runs stop and be recorded."""
        if self._reports is not None:
            self._reports.close()
        if not self._served.busy:
            return
        self._line.send("stop")
        deadline = time.monotonic() + _STOP_S
        with contextlib.suppress(UserError):  # the web UI may be what has ended
            while self._served.busy and time.monotonic() < deadline:
                event = self._line.next(_TICK_S)
                if event is not None and event["event"] == "finished":
                    self._finish(event)
        if self._served.busy:
            self._served.finish(_lost())


def _lost() -> Event:
    """The end of a load whose generator is gone."""
    figures = ("users", "window", "engine", "requests", "failures", "latency_us", "arrivals", "completions")
    return {"reason": "the web UI ended while the load was running", **dict.fromkeys(figures)}
