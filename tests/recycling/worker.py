"""A worker of the known recycler: what runs in its own process, and what its parent holds of it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import time
import traceback


def run_worker(commands: socket.socket, forks: bool) -> None:
    """Do what each line on the socket says (`whoami`, `begin ID`, `handle ID`) and answer it by a line."""
    announce()
    for line in commands.makefile():
        word, _, request = line.strip().partition(" ")
        if word == "whoami":
            answer = json.dumps(whoami())
        else:
            answer = str(in_a_child(word, request) if forks else handle(word, request))
        commands.sendall(answer.encode() + b"\n")


def handle(word: str, request: str) -> int:
    """Log the request as an app would, with `begin` only its start; returns the pid that logged it."""
    log(request, "started")
    if word == "handle":
        log(request, "finished")
    return os.getpid()


def in_a_child(word: str, request: str) -> int:
    """Let a new process handle the request."""
    child = os.fork()
    if not child:
        handle(word, request)
        os._exit(0)
    os.waitpid(child, 0)
    return child


def log(request: str, event: str) -> None:
    """Append to the log of requests, if there is one and the request has an id."""
    path = os.environ.get("WHICHWORKER_REQUEST_LOG")
    if path and request:
        append(path, f"{time.time():.6f},{os.getpid()},{request},{event}\n")


def announce() -> None:
    """Say to `targets.serve` that this worker has started."""
    path = os.environ.get("WHICHWORKER_READY")
    if path:
        append(path, f"{time.time():.6f},{os.getpid()}\n")


def append(path: str, line: str) -> None:
    """One write, which is never interleaved with another process's."""
    with open(path, "a", encoding="ascii") as file:  # noqa: PTH123
        file.write(line)


def whoami() -> dict[str, object]:
    """Who answers."""
    return {
        "configuration": os.environ.get("WHICHWORKER_CONFIGURATION"),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "loop": "asyncio",
        "parser": "none",
        "versions": {},
    }


def leave_the_parent(commands: socket.socket) -> None:
    """After a fork: keep nothing open but the commands, as descriptor 3, and take signals as anyone does.

    A client's connection would not end when the parent closes it, nor would another worker's commands.
    """
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(commands.fileno(), 3)
    os.closerange(4, 65536)


class DiedError(Exception):
    """The worker was killed."""


class Forked:
    """A worker in a process of its own."""

    def __init__(self, life: int | None, forks: bool, stillborn: bool) -> None:
        self.left, self.served = life, 0
        mine, its = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                leave_the_parent(its)
                if stillborn:
                    announce()
                    os._exit(0)
                run_worker(socket.socket(fileno=3), forks)
            except Exception:  # noqa: BLE001
                traceback.print_exc()
                os._exit(1)
            finally:
                os._exit(0)
        its.close()
        self._socket = mine

    async def connect(self) -> Forked:
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        await self.ask("whoami")  # it has announced itself
        return self

    async def ask(self, command: str) -> str:
        try:
            self._writer.write(command.encode() + b"\n")
            answer = await self._reader.readline()
        except ConnectionError:
            answer = b""
        if not answer:
            raise DiedError
        return answer.decode()

    def end(self) -> None:
        self._writer.close()


class Alone:
    """The one worker of a server without others: the process itself."""

    pid = os.getpid()

    def __init__(self, life: int | None) -> None:
        self.left, self.served = life, 0
        announce()

    async def ask(self, command: str) -> str:
        word, _, request = command.partition(" ")
        return json.dumps(whoami()) if word == "whoami" else str(handle(word, request))

    def end(self) -> None:
        pass


Worker = Forked | Alone
