"""Runs ``targets.serve`` on this machine for a bench on another one.

``python -m bench.launch.remote.there.agent FOLDER`` reads commands from its input and writes events to its
output, as JSON lines; a command with an ``id`` has an answer with the same. The first event is ``hello``,
with the ``facts`` of this machine and the ``scratch`` folder below FOLDER, which goes with this process.

* ``prepare``: it runs on some ``cpus`` from now on, and its servers may have so many ``open_files``.
* ``ping``: the answer has the Unix times at which it was ``received`` and ``sent``.
* ``start``: the words of serve's ``command``, its ``environment`` beside this one's, and its ``cpus``.
  ``key`` is its name from then on, and that of the folder below ``scratch`` for its metrics. It may be
  another program, which runs other people's code: a ``guarded`` one leaves nothing that it started.
* ``signal`` sends one (``number``) to a serve, ``end`` kills all of it, ``kill`` kills one of its server's
  processes (``pid``): that answer has the ``time`` when it was done, or null where there is no such process.
* ``fetch`` sends what is new in a server's files, ``drop`` removes them.
* ``read``: at some Unix times (``at``) the CPU clocks of servers are read, whose keys are by ``names``;
  ``readings`` is the event that follows.
* ``host``: the answer has the ``rows`` of the CPU times of this machine from ``start`` to now.
* ``carried``: the answer has what the network of this machine has ``carried`` so far.
* ``cpu``: the answer has the CPU ``seconds`` of the program whose pid is in ``file``, and what is below it;
  or null.
* ``write``: a file (``name``, ``data``) for servers, below ``scratch``.
* ``listen``: take connections at ``address`` and ``port`` until ``unlisten``; the answer has ``why`` not, or
  null. ``connect`` and ``transfer`` are the other side (``wire``): the answer has what is ``found`` as well.

``grown`` is the event of a file of a server, with what it grew by (``data``, base64). What is small is sent
as it grows, all when it is fetched. ``ended``, with serve's ``status``, follows the last of them.

It ends with its input, or when no command has come for half a minute (bench pings more often), and with it
all servers. If it is killed, the kernel has each serve end (``tether``).
"""

import base64
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from bench.launch.remote.there import wire
from bench.launch.remote.there.clocks import read_clocks
from bench.launch.remote.there.facts import facts
from bench.launch.remote.there.relay import Lines
from bench.launch.remote.there.served import ALL, AT_ONCE, OFTEN, Served
from bench.machine import segments
from bench.machine.host import HostSampler
from bench.machine.processes import kill_tree, spawn, wait_or_kill
from bench.model import folders

SILENCE_S = 30.0
_LOOK_S, _OFTEN_S = 0.05, 2.0
# What a server may take to end in order when nobody is there any more.
_END_S = 8.0
_TEMPORARY = "whichworker-agent-"


class Agent:
    """All that runs here for one bench."""

    def __init__(self, scratch_folder: Path) -> None:
        self._scratch = scratch_folder
        self._served: dict[str, Served] = {}
        self._listener: wire.Listener | None = None
        self._host = HostSampler()
        self._heard = time.monotonic()
        self._sent_at = 0.0

    def run(self) -> None:
        """Do as is asked until the input ends; then nothing is left."""
        threading.Thread(target=self._watch, daemon=True).start()
        _send(event="hello", pid=os.getpid(), facts=facts(), scratch=str(self._scratch))
        lines = Lines(sys.stdin.fileno())
        with self._host, self._ending():
            while (line := lines.next(_LOOK_S)) != b"":
                if line is not None:
                    self._heard = time.monotonic()
                    self._obey(json.loads(line), time.time())
                self._look()

    def _watch(self) -> None:
        """End this process where its bench is silent for long, or reads nothing: it may never come back.

        The kernel then ends each serve, and that its server.
        """
        while time.monotonic() - self._heard < SILENCE_S:
            time.sleep(1.0)
        os._exit(1)

    def _obey(self, command: dict[str, Any], received: float) -> None:
        do, answer = command["do"], None
        gone = "key" in command and do != "start" and command["key"] not in self._served
        if not gone:
            answer = getattr(self, f"_do_{do}")(command)
        if "id" in command:
            _send(event="answer", id=command["id"], received=received, **(answer or {}), sent=time.time())

    def _do_ping(self, _: dict[str, Any]) -> None:
        """Nothing: every answer has the times."""

    def _do_prepare(self, command: dict[str, Any]) -> None:
        os.sched_setaffinity(0, command["cpus"])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < command["open_files"]:
            resource.setrlimit(resource.RLIMIT_NOFILE, (command["open_files"], hard))

    def _do_start(self, command: dict[str, Any]) -> None:
        key = command["key"]
        place, own_log = self._scratch / key, self._scratch / f"{key}.log"
        with own_log.open("wb") as log:
            process = spawn(
                command["command"],
                command["cpus"],
                stdout=log,
                stderr=log,
                environment=command["environment"],
                guarded=command.get("guarded", False),
            )
        self._served[key] = Served(key, process, place, own_log)

    def _do_signal(self, command: dict[str, Any]) -> None:
        self._served[command["key"]].process.send_signal(command["number"])

    def _do_end(self, command: dict[str, Any]) -> None:
        kill_tree(self._served[command["key"]].process)

    def _do_kill(self, command: dict[str, Any]) -> dict[str, Any]:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            serve = psutil.Process(self._served[command["key"]].process.pid)
            if command["pid"] in {each.pid for each in serve.children(recursive=True)}:
                moment = time.time()
                os.kill(command["pid"], signal.SIGKILL)
                return {"time": moment}
        return {"time": None}

    def _do_fetch(self, command: dict[str, Any]) -> None:
        self._send_files(self._served[command["key"]], ALL)

    def _do_drop(self, command: dict[str, Any]) -> None:
        served = self._served.pop(command["key"])
        shutil.rmtree(served.place, ignore_errors=True)
        served.own_log.unlink(missing_ok=True)

    def _do_read(self, command: dict[str, Any]) -> None:
        """In a thread: servers are looked after meanwhile."""
        known = {name: self._served.get(key) for name, key in command["names"].items()}
        places = {name: served.place for name, served in known.items() if served is not None}

        def read() -> None:
            _send(event="readings", rotation=command["rotation"], readings=read_clocks(places, command["at"]))

        threading.Thread(target=read, daemon=True).start()

    def _do_host(self, command: dict[str, Any]) -> dict[str, Any]:
        self._host.sample()  # what was asked for may end between two samples
        return {"rows": self._host.rows(command["start"], time.time())}

    def _do_carried(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"carried": segments.carried()}

    def _do_cpu(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            program = psutil.Process(int(Path(command["file"]).read_text()))
            times = [each.cpu_times() for each in (program, *program.children(recursive=True))]
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return {"seconds": None}
        return {"seconds": sum(used.user + used.system for used in times)}

    def _do_write(self, command: dict[str, Any]) -> None:
        (self._scratch / command["name"]).write_bytes(base64.b64decode(command["data"]))

    def _do_listen(self, command: dict[str, Any]) -> dict[str, Any]:
        try:
            self._listener = wire.Listener(command["address"], command["port"])
        except OSError as error:
            return {"why": error.strerror}
        return {"why": None}

    def _do_connect(self, command: dict[str, Any]) -> dict[str, Any]:
        return _tried(wire.connect, command)

    def _do_transfer(self, command: dict[str, Any]) -> dict[str, Any]:
        return _tried(wire.transfer, command)

    def _do_unlisten(self, _: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.close()

    def _look(self) -> None:
        """Send what is new of all servers."""
        now = time.monotonic()
        due = now - self._sent_at >= _OFTEN_S
        self._sent_at = now if due else self._sent_at
        for served in self._served.values():
            if served.ended:
                continue
            status = served.process.poll()
            served.ended = status is not None
            self._send_files(served, ALL if served.ended else OFTEN if due else AT_ONCE)
            if served.ended:
                _send_file(served.key, "", served.said)
                _send(event="ended", key=served.key, status=status)

    def _send_files(self, served: Served, names: tuple[str, ...]) -> None:
        for name, data in served.grown(names):
            _send_file(served.key, name, data)

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._end_all()

    def _end_all(self) -> None:
        for served in self._served.values():
            if served.process.poll() is None:
                served.process.terminate()
        deadline = time.monotonic() + _END_S
        for served in self._served.values():
            wait_or_kill(served.process, deadline - time.monotonic())


def _tried(ask: Callable[[str, int], dict[str, Any]], command: dict[str, Any]) -> dict[str, Any]:
    """What is found at an address and port, or why nothing."""
    try:
        return {"why": None, "found": ask(command["address"], command["port"])}
    except OSError as error:
        return {"why": error.strerror or str(error)}


_sending = threading.Lock()


def _send(**event: Any) -> None:
    line = json.dumps(event) + "\n"
    with _sending:
        sys.stdout.write(line)
        sys.stdout.flush()


def _send_file(key: str, name: str, data: bytes) -> None:
    _send(event="grown", key=key, name=name, data=base64.b64encode(data).decode())


def main(folder: str) -> None:
    """Serve one bench; ``folder`` is where its scratch folder lies."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the end of the input says the same
    Path(folder).mkdir(parents=True, exist_ok=True)
    # What is killed leaves temporary files. A pipe is broken by what was written to a bench that is gone.
    with (
        folders.temporary("", Path(folder)) as own,
        folders.temporary(_TEMPORARY) as temporary,
        contextlib.suppress(BrokenPipeError),
    ):
        os.environ["TMPDIR"] = str(temporary)
        Agent(own).run()
    os._exit(0)  # with nothing more to say: what is left of it is for nobody


if __name__ == "__main__":
    main(sys.argv[1])
