"""One configuration being served: started, watched, metered and stopped."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.catalogue.configurations import WATCHDOG_S, Configuration, patience_s
from targets.catalogue.recycling import Recycling
from targets.catalogue.variants import PIPE
from targets.inside.own_app import PROJECT, RESERVED, OwnApp
from targets.serving import deploys
from targets.serving.deploys import DeployError, Deploys
from targets.serving.metering import Meter
from targets.serving.processes import ProcessTree
from targets.serving.readiness import NotReadyError, Place, UndeclaredError, ask_whoami, read_identity

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
WATCHED_SIGNALS = STOP_SIGNALS | {signal.SIGCHLD, deploys.SIGNAL}
"""To be blocked while a server is run: they are waited for, so that none interrupts at a wrong moment."""

_LAST_LINES = 60  # with fewer, gunicorn's own traceback hides that of the app
_POLL_S = 0.01
# Some servers start a worker that dies while it starts again and again. So many deaths more than there
# are workers are no accident (an import may run and end a program of its own).
_STILLBORN = 2

# Settings in the caller's environment would change what a configuration states.
_FOREIGN = ("SANIC_", *RESERVED)


class NeverReadyError(Exception):
    """The server did not become ready; the message tells why and shows its last lines."""


class EndedError(Exception):
    """The server ended by itself while serving; the message tells how and shows its last lines."""


@dataclass(frozen=True)
class Order:
    """What to serve and how: the command line of serve, checked. Times are seconds.

    `own` is the app that `targets.own` stands for in the command; None where the command names the app.
    `deploys`: the app will have new releases; with a `swap_command` by a second copy, at its `swap_place`.
    """

    configuration: Configuration
    command: list[str]
    place: Place
    workers: int
    recycling: Recycling
    log_requests: bool
    metrics: Path
    sample_interval: float
    startup_timeout: float
    grace_period: float
    own: OwnApp | None = None
    deploys: bool = False
    swap_place: Place | None = None
    swap_command: list[str] | None = None


class Server:
    """A server from its start to its end. `WATCHED_SIGNALS` must be blocked."""

    def __init__(self, order: Order, tree: ProcessTree, meter: Meter) -> None:
        self._order = order
        self._tree = tree
        self._meter = meter
        self._log = order.metrics / "server.log"
        self._requests = order.metrics / "requests.csv"
        self._identity = order.metrics / "identity.json"
        way = deploys.way_of(order.configuration, order.workers) if order.swap_place is None else deploys.SWAP
        self._deploys = Deploys(order.metrics / "release", way) if order.deploys else None
        self._deploy_due = False
        self._started = self._began = 0.0  # one moment, by the clock that people set and by one that goes on
        self._exit_status: int | None = None
        self._announced_before = 0
        self._sample_due = 0.0
        self._stop_signal: int | None = None

    def run(self) -> None:
        """Serve until a signal asks to stop.

        Raises `NeverReadyError` or `EndedError` if it cannot, `DeployError` if it cannot be told to deploy.
        """
        if self._order.log_requests:
            self._requests.write_text("time,pid,id,event\n")
        self._start()
        try:
            whoami = self._become_ready()
        finally:
            self._meter.settle(self._tree.pids(), self._tree.root)
        if whoami is not None:
            self._write_server_json(whoami)
            self._serve()
        self._stop(self._order.grace_period)

    def _start(self, second: list[str] | None = None) -> None:
        """Start it, or a `second` copy of it by a command of its own beside it."""
        self._started, self._began = time.time(), time.monotonic()
        self._announced_before = self._meter.announced
        folder = PROJECT if self._order.own is None else self._order.own.folder
        command, beside = second or self._order.command, second is not None
        place = self._order.swap_place if beside else self._order.place
        if place is not None and place.socket is not None:
            place.socket.unlink(missing_ok=True)  # what is there is that of a server which was killed
        try:
            piped = self._order.configuration.output == PIPE
            environment = self._environment()
            pid = self._tree.start(command, environment, folder, self._log, piped=piped, beside=beside)
        except OSError as error:
            raise NeverReadyError(f"cannot run {command[0]}: {error.strerror}") from error
        self._meter.roots.add(pid)

    def _environment(self) -> dict[str, str]:
        log = {"WHICHWORKER_REQUEST_LOG": str(self._requests.resolve())} if self._order.log_requests else {}
        return {
            **(self._inherited() if self._order.own is None else self._of_own(self._order.own)),
            "PYTHONUNBUFFERED": "1",
            "WHICHWORKER_CONFIGURATION": self._order.configuration.name,
            "WHICHWORKER_READY": str(self._meter.announcements.resolve()),
            **log,
            **({} if self._deploys is None else self._deploys.variables),
            **self._order.configuration.variables(self._order.recycling),
        }

    def _inherited(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        path = [str(PROJECT), *filter(None, [inherited.get("PYTHONPATH")])]
        return {**inherited, "PYTHONPATH": os.pathsep.join(path)}

    def _of_own(self, own: OwnApp) -> dict[str, str]:
        named = {"WHICHWORKER_APP": own.name, "WHICHWORKER_IDENTITY": str(self._identity.resolve())}
        if self._order.startup_timeout > WATCHDOG_S:
            named["WHICHWORKER_PATIENCE_S"] = str(patience_s(self._order.startup_timeout))
        return {**own.environment(os.environ), **named}

    def _become_ready(self) -> dict[str, Any] | None:
        """Wait until it says the right things of itself; None if asked to stop meanwhile."""
        timeout = self._order.startup_timeout
        deadline = time.monotonic() + timeout
        while True:
            self._watch(_POLL_S)
            if self._stop_signal is not None:
                return None
            if self._tree.root is None:
                how = _killed(self._exit_status) or f"ended with status {self._exit_status}"
                raise NeverReadyError(self._story(f"{how} while starting"))
            if self._meter.stillborn >= self._order.workers + _STILLBORN:
                how = _killed(self._meter.stillborn_status)
                last = f": the last whose end was seen {how}" if how else ""
                raise NeverReadyError(self._story(f"keeps starting workers that die{last}"))
            try:
                return self._ask()
            except NotReadyError as problem:
                if time.monotonic() > deadline:
                    raise NeverReadyError(
                        self._story(
                            f"was not ready after {timeout:g} s: {problem}; give more with --startup-timeout "
                            "(STARTUP_TIMEOUT=)"
                        )
                    ) from None
            except UndeclaredError as problem:
                raise NeverReadyError(self._story(f"is not what it should be: {problem}")) from None

    def _ask(self) -> dict[str, Any]:
        self._meter.read_announcements()
        missing = self._order.workers - len(self._meter.workers)
        if missing > 0:
            raise NotReadyError(f"{missing} of {self._order.workers} workers have not started the app")
        return self._ask_at(self._order.place)

    def _ask_at(self, place: Place) -> dict[str, Any]:
        order, pids = self._order, self._tree.pids()
        if order.own is None:
            return ask_whoami(place, order.configuration, pids)
        return read_identity(self._identity, place, order.configuration, pids)

    def _serve(self) -> None:
        """Meter until asked to stop, and deploy when told to."""
        while self._stop_signal is None:
            self._watch(self._order.sample_interval)
            if self._deploy_due and self._deploys is not None:
                self._deploy(self._deploys)
            if self._tree.root is None and self._stop_signal is None:
                if not self._may_respawn():
                    self._stop(grace_period=0)
                    raise EndedError(self._story(f"ended by itself with status {self._exit_status}"))
                self._start()

    def _deploy(self, releases: Deploys) -> None:
        self._deploy_due = False
        releases.publish()
        if releases.way == "HUP":
            self._tree.signal(signal.SIGHUP)
        elif releases.way == "inspector":
            try:
                releases.ask_inspector()
            except DeployError as error:
                raise DeployError(self._story(f"was not told to reload: {error}")) from error
        elif self._order.swap_place is not None:
            self._swap(self._order.swap_place)
        else:
            self._end(signal.SIGTERM, self._order.grace_period)
            if self._stop_signal is None:
                self._start()

    def _swap(self, place: Place) -> None:
        """Start a second copy, say when it answers, and stop the first one when told to."""
        self._start(self._order.swap_command)
        deadline = time.monotonic() + self._order.startup_timeout
        while not self._second_answers(place):
            if self._stop_signal is not None:
                return
            if self._tree.root is None or time.monotonic() > deadline:
                raise DeployError(self._story("was started a second time, and this copy never answered"))
            self._watch(_POLL_S)
        (self._order.metrics / deploys.STANDBY).write_text(place.url)
        while not self._deploy_due:
            if self._stop_signal is not None:
                return
            self._watch(_POLL_S)
        self._deploy_due = False
        self._end_former()

    def _second_answers(self, place: Place) -> bool:
        self._meter.read_announcements()
        if self._meter.announced - self._announced_before < self._order.workers:
            return False
        try:
            self._ask_at(place)
        except NotReadyError:
            return False
        except UndeclaredError as problem:
            raise DeployError(self._story(f"is not what it should be: {problem}")) from problem
        return True

    def _end_former(self) -> None:
        """Have the former copy end, as `_end` does the whole server."""
        deadline = time.monotonic() + self._order.grace_period
        former = self._tree.former
        ending = self._tree.former_pids()
        if former is not None:
            os.kill(former, signal.SIGTERM)
        while self._stop_signal is None and (left := set(ending) & set(self._tree.pids())):
            self._watch(_POLL_S)
            ending = [*left, *self._tree.former_pids()]
            if time.monotonic() > deadline:
                self._tree.kill(left)
        self._tree.forget_former()

    def _may_respawn(self) -> bool:
        """Whether it ended as declared: after its requests, for a process manager to start it again."""
        order = self._order
        return (
            order.recycling.max_requests is not None
            and order.configuration.recycle == "respawn"
            and self._exit_status == 0
            # One that did not even start would be started again for ever.
            and self._meter.announced > self._announced_before
        )

    def _stop(self, grace_period: float) -> None:
        """Pass the signal on, and wait; a second signal, or the end of the grace period, kills."""
        # SIGHUP means "reload" to some servers.
        number = signal.SIGINT if self._stop_signal == signal.SIGINT else signal.SIGTERM
        self._stop_signal = None
        self._end(number, grace_period)
        self._meter.sample([])

    def _end(self, number: int, grace_period: float) -> None:
        """Have the whole server end by a signal; one that asks to stop meanwhile kills, as time does."""
        deadline = time.monotonic() + grace_period
        self._tree.signal(number)
        while self._tree.pids():
            self._watch(_POLL_S)
            if self._stop_signal is not None or time.monotonic() > deadline:
                self._tree.kill()

    def _watch(self, timeout: float) -> None:
        """Sample when it is time, and wait for a signal, at most `timeout` seconds."""
        now = time.monotonic()
        if now >= self._sample_due:
            self._meter.sample(self._tree.pids())
            self._sample_due = now + self._order.sample_interval
        timeout = min(timeout, max(0.0, self._sample_due - time.monotonic()))
        received = signal.sigtimedwait(WATCHED_SIGNALS, timeout)
        if received is not None and received.si_signo in STOP_SIGNALS:
            self._stop_signal = received.si_signo
        if received is not None and received.si_signo == deploys.SIGNAL:
            self._deploy_due = True
        root = self._tree.root
        for pid, status in self._tree.reap():
            self._meter.died(pid, status)
            if pid == root:
                self._exit_status = status

    def _write_server_json(self, whoami: dict[str, Any]) -> None:
        order = self._order
        content = {
            "configuration": order.configuration.name,
            "command": order.command,
            "environment": dict(order.configuration.environment),
            "url": order.place.url,
            "pid": self._tree.root,
            "workers": order.workers,
            "max_requests": order.recycling.max_requests,
            "max_requests_jitter": order.recycling.max_requests_jitter,
            "max_rss_mib": order.recycling.max_rss_mib,
            "deploys_by": None if self._deploys is None else self._deploys.way,
            "started": self._started,
            "ready_s": round(time.monotonic() - self._began, 3),
            "whoami": whoami,
        }
        temporary = order.metrics / "server.json.tmp"
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        temporary.replace(order.metrics / "server.json")

    def _story(self, what: str) -> str:
        written = self._log.read_text(errors="replace").splitlines()
        # Newer Pythons mark the part of a line that failed, in a line of its own.
        lines = [line for line in written if line.strip(" ~^") or not line][-_LAST_LINES:]
        if not lines:
            return f"{self._order.configuration.name} {what}; it printed nothing"
        return "\n".join([f"{self._order.configuration.name} {what}. The last lines of {self._log}:", *lines])


def _killed(exit_status: int | None) -> str:
    """By which signal a process was killed, in words; empty where it was not, or nobody knows."""
    if exit_status is None or exit_status >= 0:
        return ""
    # Models are loaded at the start, and the kernel writes nothing where a server's log is.
    why = ", as by the kernel where memory runs out" if exit_status == -signal.SIGKILL else ""
    return f"was killed ({signal.Signals(-exit_status).name}{why})"
