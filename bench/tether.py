"""Pins itself to CPUs, ties its life to its parent's, then becomes another program.

``python tether.py PARENT_PID CPUS PROGRAM ARGUMENTS…``, with CPUs like ``0,1``. Both properties survive
``exec``. A program of its own, because Python code between fork and exec (``preexec_fn``) is not safe in
a process with threads. Standard library only.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main(arguments: list[str]) -> None:
    """Tether this process and execute the program."""
    parent, cpus, program = int(arguments[0]), arguments[1], arguments[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit("the process that started this one is gone")
    os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
