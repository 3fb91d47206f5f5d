"""The stand-in as a process that stays: each command is a fork of it, for to start Python takes longer.

    python -S resident.py

Prints the port of 127.0.0.1 where the clients come (client.sh), and ends when its standard input does. One
says its pid, under which /proc has words, environment and streams of the command, and then the names of the
signals that it gets; it is told the exit status. With a client that was killed its command is.
"""

import contextlib
import errno
import os
import selectors
import signal
import socket
import sys
import traceback
from functools import partial
from pathlib import Path

import program

# The descriptor of a client's standard input; the other streams follow it.
_STREAMS = 4


def main():
    server = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(server.getsockname()[1], flush=True)
    with selectors.DefaultSelector() as ready:
        ready.register(sys.stdin, selectors.EVENT_READ, sys.exit)
        ready.register(server, selectors.EVENT_READ, partial(_begin, ready, server))
        while True:
            for key, _ in ready.select():
                key.data()


def _begin(ready, server):
    """Take the next client and fork what does its command."""
    client, _ = server.accept()
    with client.makefile() as said:
        pid = said.readline().strip()
    if not pid:  # it was killed before it said anything
        client.close()
        return
    child = os.fork()
    if child == 0:
        _do(Path("/proc", pid))
    Command(ready, client, child)


class Command:
    """A command under way: its client here, and the process that does it."""

    def __init__(self, ready, client, child):
        self.ready, self.client, self.child = ready, client, child
        self.ended = os.pidfd_open(child)
        ready.register(client, selectors.EVENT_READ, self._hear)
        ready.register(self.ended, selectors.EVENT_READ, self._tell)

    def _hear(self):
        """Pass a signal on; the command is not waited for yet, so that its pid is nobody else's."""
        if self.client.fileno() < 0:  # its command ended in the same round of the loop
            return
        with contextlib.suppress(ConnectionError):
            if said := self.client.recv(64):
                for name in said.decode().split():
                    os.kill(self.child, signal.Signals[f"SIG{name}"])
                return
        self.ready.unregister(self.client)
        os.kill(self.child, signal.SIGKILL)

    def _tell(self):
        _, ended = os.waitpid(self.child, 0)
        status = os.waitstatus_to_exitcode(ended)
        with contextlib.suppress(OSError):  # the client is gone
            self.client.sendall(f"{status if status >= 0 else 128 - status}\n".encode())
        with contextlib.suppress(KeyError):
            self.ready.unregister(self.client)
        self.client.close()
        self.ready.unregister(self.ended)
        os.close(self.ended)


def _do(client):
    """Become the command of the client that /proc has there."""
    _, script, *words = os.fsdecode((client / "cmdline").read_bytes()).split("\0")[:-1]
    variables = os.fsdecode((client / "environ").read_bytes()).split("\0")[:-1]
    os.environ.clear()
    os.environ.update(each.split("=", 1) for each in variables)
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY | os.O_APPEND, os.O_WRONLY | os.O_APPEND)):
        os.dup2(_opened(client / "fd" / str(_STREAMS + number), mode), number)
    status = 1
    try:
        status = program.main(Path(script).name, *words)
    except BaseException:  # noqa: BLE001  (nothing is above it)
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status or 0)  # to put an interpreter away takes as long as most commands


def _opened(stream, mode):
    """A standard stream of the client. To open a pipe waits for the other side, which may have closed it."""
    try:
        opened = os.open(stream, mode | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return os.open(os.devnull, os.O_RDWR)
    os.set_blocking(opened, True)
    return opened


main()
