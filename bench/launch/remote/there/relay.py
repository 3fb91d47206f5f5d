"""Runs a program on this machine for a bench on another one, which it does not outlive.

``python -m bench.launch.remote.there.relay`` reads JSON from the first line of its input: the ``program``,
the ``environment`` that it has beside this one's (all can see arguments, and values are nobody's business),
its ``cpus``, and a file for its ``pid``, if one is wanted. Each further line is the number of a signal for
it. When the input ends, the program has five seconds to end, and nothing that it started is left. It has no
input of its own; its output is this one's. This ends as it does, with 128 and the number of the signal where
one ended it.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from bench.machine.processes import spawn, wait_or_kill

_LOOK_S = 0.05
_END_S = 5.0


def main() -> int:
    """Run the program that the first line names; returns the exit status."""
    lines = Lines(sys.stdin.fileno())
    first = lines.next(None)
    if not first:
        return 0
    order = json.loads(first)
    program = spawn(
        order["program"],
        order.get("cpus") or sorted(os.sched_getaffinity(0)),
        environment=order.get("environment"),
        guarded=True,
        stdout=sys.stdout.fileno(),
        stderr=sys.stderr.fileno(),
    )
    if order.get("pid"):
        Path(order["pid"]).write_text(str(program.pid))
    _pass_on(lines, program)
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _pass_on(lines: "Lines", program: subprocess.Popen[bytes]) -> None:
    """Pass signals on until the program has ended, which the end of the input has it do."""
    while program.poll() is None:
        line = lines.next(_LOOK_S)
        if line:
            program.send_signal(int(line))
        elif line is not None:
            program.send_signal(signal.SIGTERM)
            wait_or_kill(program, _END_S)


class Lines:
    """The lines of a stream as they come."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._read = b""
        self._ended = False

    def next(self, timeout_s: float | None) -> bytes | None:
        """The next line with its end; ``None`` if there is none in time, empty when there are no more."""
        while b"\n" not in self._read and not self._ended:
            if not select.select([self._descriptor], [], [], timeout_s)[0]:
                return None
            chunk = os.read(self._descriptor, 1 << 16)
            self._read += chunk
            self._ended = not chunk
        line, found, rest = self._read.partition(b"\n")
        if not found:  # what was cut off is no line
            return b""
        self._read = rest
        return line + found


if __name__ == "__main__":
    sys.exit(main())
