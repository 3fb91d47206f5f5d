"""The loop between the web UI and what it loads: one thing at a time, and figures every second."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.experiment.generator.dialogue import Event
from bench.launch.server import last_lines
from bench.machine.processes import spawn, terminate, uninterrupted, wait_or_kill
from bench.model.errors import UserError
from bench.studies.cockpit.records import Start
from bench.studies.cockpit.servers import Backend, Refused
from bench.studies.cockpit.web_ui import WebUI

# How often the server's files are looked at.
_TICK_S = 0.25
# What a load that is interrupted gets to stop its users and write its files.
_STOP_S = 30.0


class Reports:
    """Makes one report at a time. ``close`` ends one that is being made."""

    def __init__(self, run: Path, cpus: Sequence[int], log: Path) -> None:
        """``run`` is the run's folder; ``log`` takes what the command says."""
        self._run = run
        self._cpus = cpus
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._status = 0

    @property
    def folder(self) -> Path:
        """Where the report appears."""
        return self._run.resolve() / "report"

    @property
    def making(self) -> bool:
        return self._process is not None

    def start(self) -> str | None:
        """Begin to make it; returns why not, where it cannot be."""
        if self.making:
            return "a report is being made already"
        if not (self._run / "run.json").exists():
            return "nothing has been recorded yet: start a load, and stop it"
        command = [sys.executable, "-m", "bench", "report", str(self._run.resolve())]
        with self._log.open("wb") as log:
            self._process = spawn(command, self._cpus, stdout=log, stderr=log)
        return None

    def ended(self) -> bool:
        """Whether the one that was being made has ended since it was last asked; ``failure`` says how."""
        if self._process is None or self._process.poll() is None:
            return False
        self._status = self._process.returncode
        self._process = None
        return True

    def failure(self) -> str | None:
        """Why the last one was not made; ``None`` if it was."""
        if self._status == 0:
            return None
        return "the report could not be made:" + last_lines(self._log)

    def close(self) -> None:
        if self._process is not None:
            terminate(self._process)
            wait_or_kill(self._process, _END_S)


class Cockpit:
    """Does what the web UI asks for. ``reports`` is ``None`` where nothing is recorded."""

    def __init__(self, web_ui: WebUI, backend: Backend, reports: Reports | None) -> None:
        """``web_ui`` has been entered."""
        self._web_ui = web_ui
        self._backend = backend
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
        # Nor may it be lost between the web UI and here.
        with uninterrupted():
            event = self._web_ui.next(_TICK_S)
            if event is not None and event["event"] == "finished":
                self._finish(event)
        if event is not None:
            self._obey(event)
        self._tell()

    def _tell(self) -> None:
        for command, fields in self._backend.lines():
            self._web_ui.send(command, **fields)
        if self._reports is not None and self._reports.ended():
            self._web_ui.send("reported", failed=self._reports.failure())

    def _obey(self, event: Event) -> None:
        match event["event"]:
            case "start":
                self._start(event)
            case "report":
                self._report(event)

    def _start(self, event: Event) -> None:
        request = event["request"]
        if self._reports is not None and self._reports.making:
            self._web_ui.send("refused", request=request, reason="the report is being made: wait for it")
            return
        try:
            served = self._backend.start(Start.of(event))
        except Refused as refusal:
            self._web_ui.send("refused", request=request, reason=str(refusal))
        except OSError as error:
            self._web_ui.send("refused", request=request, reason=f"the server was not started: {error}")
        else:
            self._web_ui.send("served", request=request, **served)

    def _finish(self, event: Event) -> None:
        with uninterrupted():  # the load is told of once: half recorded it would be lost
            told = self._backend.finish(event)
        if told is not None:
            command, fields = told
            self._web_ui.send(command, **fields)

    def _report(self, event: Event) -> None:
        reason = "nothing is recorded here" if self._reports is None else self._begin_report(self._reports)
        if reason is None:
            self._web_ui.send("making", request=event["request"])
        else:
            self._web_ui.send("refused", request=event["request"], reason=reason)

    def _begin_report(self, reports: Reports) -> str | None:
        return "stop the load first" if self._backend.busy else reports.start()

    def _put_away(self) -> None:
        """Have a load that runs stop and be recorded."""
        if self._reports is not None:
            self._reports.close()
        if not self._backend.busy:
            return
        self._web_ui.send("stop")
        deadline = time.monotonic() + _STOP_S
        with contextlib.suppress(UserError):  # the web UI may be what has ended
            while self._backend.busy and time.monotonic() < deadline:
                event = self._web_ui.next(_TICK_S)
                if event is not None and event["event"] == "finished":
                    self._finish(event)
        if self._backend.busy:
            self._backend.finish(_lost())


def _lost() -> Event:
    """The end of a load whose generator is gone."""
    figures = ("users", "window", "engine", "requests", "failures", "latency_us", "arrivals", "completions")
    return {"reason": "the web UI ended while the load was running", **dict.fromkeys(figures)}


_END_S = 5.0
