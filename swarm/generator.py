"""A generator of another machine: it joins a master's run, makes load, and ends with the run.

    python -m swarm.generator --master 10.0.0.1:5557

It starts a Locust worker for each CPU, waits for the master, and says on standard output what it is about.
The master says which scenarios there are; their files are to be here, too: the suite's own below this
project, others in a folder (`--locustfiles`). Exit status 0: the run is over. 1: it could not take part. With
`--tethered` it ends when its standard input does.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import argparse
import json
import os
import platform
import resource
import secrets
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic, perf_counter_ns, sleep, time, time_ns
from typing import Any, Final, NoReturn

import gevent
import locust.runners
from gevent.event import AsyncResult
from locust.rpc import Message, rpc
from locust.runners import WorkerRunner

from .control.elsewhere.joining import (
    CLOCK_MESSAGE,
    HELLO,
    JOINED,
    KEEP_MESSAGE,
    OVER_MESSAGE,
    REFUSED,
    WELCOME,
    CannotJoinError,
    Hello,
    Welcome,
    address_of,
)
from .control.plugin import coordinator_of
from .control.process import (
    claim,
    commands,
    emit,
    end_process,
    enter_folder,
    log_as_locust,
    quit_locust,
    search_path,
)
from .control.scenarios import LoadError, Scenarios
from .control.segments import segments
from .control.workers import REPORT_INTERVAL_S, obey_master
from .engine.clock import keep_to_master

WAIT_S: Final = 600.0
"""How long a generator waits for a master by default, ..."""
AGAIN_S: Final = 60.0
"""... and for the next one, when that ended without a word: it may have been started again."""
HELLO_EVERY_S: Final = 1.0
MASTER_SILENT_S: Final = 20.0
"""A master that said nothing for longer is gone: it answers a generator's sign of life every second."""
LISTEN_EVERY_S: Final = 1.0
LOOK_EVERY_S: Final = 0.5

OVER, CANNOT, GONE = 0, 1, 3
"""Exit statuses of a process: the run is over, it cannot take part, the master has ended or was not heard."""


# -- The generator: it starts its processes, and again where the master was lost


class Supervisor:
    """A generator's processes. `arguments` are those of the command line."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._host, self._port = address_of(arguments.master)
        self._children: list[subprocess.Popen[bytes]] = []
        self._selector = selectors.DefaultSelector()
        self._joined = 0

    def run(self) -> int:
        """Take part until the run is over; returns the exit status."""
        until = monotonic() + self._arguments.wait
        try:
            while True:
                self._await_master(until)
                status = self._take_part(max(1.0, until - monotonic()))
                if status != GONE:
                    return status
                say("the master has ended; waiting for the next one")
                until = monotonic() + AGAIN_S
        except CannotJoinError as error:
            say(f"error: {error}", sys.stderr)
            return CANNOT
        except KeyboardInterrupt:
            return CANNOT
        finally:
            self._end()

    def _await_master(self, until: float) -> None:
        """Wait until something listens there. Raises CannotJoinError."""
        where, told = f"{self._host}:{self._port}", ""
        while True:
            try:
                socket.create_connection((self._host, self._port), timeout=3.0).close()
                return
            except socket.gaierror as error:
                state = f"{self._host} is unknown here ({error.strerror})"
                if error.errno != socket.EAI_AGAIN:
                    raise CannotJoinError(state) from error
            except TimeoutError:
                state = f"{where} does not answer: is the port blocked on the way?"
            except OSError as error:
                state = f"nothing listens at {where} yet ({error.strerror})"
            if monotonic() > until:
                raise CannotJoinError(f"{state}; start the run, or give another --master")
            if state != told:
                say(f"waiting for a master: {state}")
                told = state
            self._look(HELLO_EVERY_S)

    def _take_part(self, wait_s: float) -> int:
        """Start the processes, and wait for their end. Returns the status of the first that ended."""
        given, token = self._arguments, secrets.token_hex(8)
        command = [sys.executable, "-P", "-m", "swarm.generator", "--master", given.master]
        command += ["--name", given.name, "--wait", f"{wait_s:g}", "--token", token]
        command += ["--processes", str(given.processes)]
        command += [] if given.locustfiles is None else ["--locustfiles", str(given.locustfiles.resolve())]
        variables = {**os.environ, "PYTHONPATH": search_path()}
        self._joined = 0
        for number in range(given.processes):
            child = subprocess.Popen(
                [*command, "--process", str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=variables,
                start_new_session=True,  # locustfiles may kill their own process group
            )
            self._children.append(child)
            assert child.stdout is not None
            self._selector.register(child.stdout, selectors.EVENT_READ, child)
        reason: str | None = None
        while True:
            reason = self._look(LOOK_EVERY_S) or reason
            ended = next((each for each in self._children if each.poll() is not None), None)
            if ended is None:
                continue
            reason = self._look(LOOK_EVERY_S) or reason
            self._end()
            if ended.returncode == CANNOT:
                raise CannotJoinError(reason or "a process could not begin, see above")
            if ended.returncode not in (OVER, GONE):
                raise CannotJoinError(f"a process ended by itself, with status {ended.returncode}")
            if ended.returncode == OVER:
                say("the run is over")
            return int(ended.returncode)

    def _look(self, timeout_s: float) -> str | None:
        """Hear what the processes say for at most so long; returns why one cannot take part, if one says so.

        Ends this process where its standard input has ended, if that is to be so.
        """
        if not self._selector.get_map():
            sleep(timeout_s)
            return None
        reason = None
        for key, _ in self._selector.select(timeout_s):
            if key.data is None:
                if not os.read(0, 4096):
                    raise KeyboardInterrupt
                continue
            line = key.fileobj.readline()  # type: ignore[union-attr]
            if not line:
                self._selector.unregister(key.fileobj)
                continue
            event = json.loads(line)
            if event["event"] == "refused":
                reason = event["reason"]
            elif event["event"] == "joined":
                self._note_joined(event["called"])
        return reason

    def _note_joined(self, called: str) -> None:
        self._joined += 1
        if self._joined == self._arguments.processes:
            say(f"joined {self._host}:{self._port} as {called}, processes: {self._joined}")

    def tether(self) -> None:
        """Have this process end when its standard input does."""
        self._selector.register(0, selectors.EVENT_READ, None)

    def _end(self) -> None:
        """End the processes: their input ends, and so do they."""
        for child in self._children:
            assert child.stdin is not None and child.stdout is not None
            child.stdin.close()
        for child in self._children:
            try:
                child.wait(15.0)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            assert child.stdout is not None
            if child.stdout in {key.fileobj for key in self._selector.get_map().values()}:
                self._selector.unregister(child.stdout)
            child.stdout.close()
        self._children = []


# -- One of its processes: a Locust worker


class End(AsyncResult):  # type: ignore[misc]  # gevent has no types
    """The status that this process is to end with, once it is known: what is said first holds."""

    def is_(self, status: int) -> None:
        if not self.ready():
            self.set(status)


def _be_process(arguments: argparse.Namespace) -> NoReturn:
    """Join, make load as the master says, and end with it."""
    claim()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor, which closes the input
    log_as_locust()
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL_S
    host, port = address_of(arguments.master)
    hello = Hello.here(arguments.token, arguments.name, arguments.process, arguments.processes)
    ended = End()
    gevent.spawn(_watch_input, ended)
    try:
        welcome, called = _greet(host, port, hello, arguments.wait, ended)
        names = welcome.own_names(arguments.locustfiles)
        welcome.trust()
        enter_folder(arguments.locustfiles if welcome.own else None)
        scenarios = Scenarios(list(names.values()), welcome.options)
        environment = scenarios.environment()
        runner = environment.create_worker_runner(host, port)
        obey_master(runner, scenarios, names)
        _keep_clock(runner)
        _watch_master(runner, ended)
        scenarios.open(environment, runner)
        scenarios.watch(coordinator_of(environment).code)
    except (CannotJoinError, LoadError, OSError) as error:
        emit(event="refused", reason=str(error))
        os._exit(CANNOT)
    runner.send_message(JOINED, {"token": hello.token, "process": hello.process})
    emit(event="joined", called=called)
    end_process(lambda: quit_locust(environment), ended.get())


def _greet(host: str, port: int, hello: Hello, wait_s: float, ended: End) -> tuple[Welcome, str]:
    """Say hello until there is an answer: what is to be loaded, and how the master calls this generator.

    Raises CannotJoinError.
    """
    identity = f"{hello.token}-{hello.process}"
    client = rpc.Client(host, port, identity)
    until = monotonic() + wait_s
    try:
        while monotonic() < until and not ended.ready():
            client.send(Message(HELLO, asdict(hello), identity))
            with gevent.Timeout(HELLO_EVERY_S, False):
                msg = client.recv()
                if msg.type == WELCOME:
                    data: Mapping[str, Any] = msg.data
                    return Welcome.unpacked(data["welcome"]), data["called"]
                if msg.type == REFUSED:
                    raise CannotJoinError(str(msg.data["reason"]))
    finally:
        client.close(linger=0)
    raise CannotJoinError(f"the master at {host}:{port} said nothing within {wait_s:g} s")


def _watch_input(ended: End) -> None:
    for _ in commands():
        pass
    ended.is_(GONE)


def _watch_master(runner: WorkerRunner, ended: End) -> None:
    """Note when the master says that this is the end, or says nothing any more.

    Nothing is read while a message is obeyed, and to stop thousands of users takes longer than a master may
    be silent for.
    """
    hear, obeying = runner.handle_message, False

    def heard(msg: Message) -> None:
        nonlocal obeying
        if msg.type == OVER_MESSAGE:
            ended.is_(OVER)
        elif msg.type == "quit":
            ended.is_(GONE)
        else:
            obeying = True
            try:
                hear(msg)
            finally:
                obeying = False

    def listen() -> None:
        while time() - (runner.last_heartbeat_timestamp or time()) < MASTER_SILENT_S:
            gevent.sleep(LISTEN_EVERY_S)
            if obeying:
                runner.last_heartbeat_timestamp = time()  # Locust gives a master up as well
        ended.is_(GONE)

    runner.handle_message = heard  # type: ignore[method-assign]
    gevent.spawn(listen)


def _keep_clock(runner: WorkerRunner) -> None:
    """Tell the master what the clock shows here, and keep to the master's."""

    def show(environment: object, msg: Any) -> None:
        del environment
        told: dict[str, Any] = {"number": msg.data["number"], "received": perf_counter_ns()}
        told |= {"to_unix_ns": time_ns() - perf_counter_ns(), "segments": segments()}
        runner.send_message(CLOCK_MESSAGE, {**told, "answered": perf_counter_ns()})

    def keep(environment: object, msg: Any) -> None:
        del environment
        keep_to_master(**msg.data)

    runner.register_message(CLOCK_MESSAGE, show)
    runner.register_message(KEEP_MESSAGE, keep)


# -- The command line


def say(text: str, stream: Any = None) -> None:
    """Tell people."""
    print(text, file=stream or sys.stdout, flush=True)  # it is a command


def allow_open_files() -> None:
    """Raise the soft limit as far as it goes: which loads will come is not known."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(words: Sequence[str] | None = None) -> None:
    """Be a generator, or one of its processes, by the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--master", required=True, metavar="HOST[:PORT]")
    parser.add_argument("--name", default=platform.node(), help="what the run calls this generator")
    cpus = len(os.sched_getaffinity(0))
    parser.add_argument("--processes", type=int, default=cpus, help="Locust workers; one for each CPU here")
    parser.add_argument("--locustfiles", type=Path, metavar="DIR", help="the run's, if not the suite's own")
    parser.add_argument("--wait", type=float, default=WAIT_S, metavar="S", help="how long for a master")
    parser.add_argument("--tethered", action="store_true", help="end when standard input does")
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--token", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.process is not None:
        _be_process(arguments)
    try:
        supervisor = Supervisor(arguments)
    except CannotJoinError as error:
        raise SystemExit(f"error: {error}") from error
    allow_open_files()
    if arguments.tethered:
        supervisor.tether()
    raise SystemExit(supervisor.run())


if __name__ == "__main__":
    main()
