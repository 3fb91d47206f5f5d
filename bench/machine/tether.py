"""Pins itself to CPUs, ties its life to its parent's, then becomes another program.

``python tether.py [--user UID:GID] [--network PATH] [--signal NUMBER] PARENT_PID CPUS PROGRAM ARGUMENTS…``,
with CPUs like ``0,1``. Both properties survive ``exec``. When the parent ends, the kernel sends SIGTERM or
the signal given. With a user, which only root may ask for, the program runs as that user, without further
groups; with a network, which needs CAP_SYS_ADMIN, in that namespace.

A program of its own, because Python code between fork and exec (``preexec_fn``) is not safe in a process with
threads. Standard library only.
"""

import ctypes
import getopt
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def main(arguments: list[str]) -> None:
    """Tether this process and execute the program."""
    given, rest = getopt.getopt(arguments, "", ["user=", "network=", "signal="])
    options = dict(given)
    parent, cpus, program = int(rest[0]), rest[1], rest[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if "--network" in options:
        with open(options["--network"], "rb") as namespace:  # noqa: PTH123  (nothing more is imported)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    if "--user" in options:
        user, group = map(int, options["--user"].split(":"))
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)
    # After the change of user, at which the kernel forgets it.
    if libc.prctl(_PR_SET_PDEATHSIG, int(options.get("--signal", signal.SIGTERM)), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked to be told
        sys.exit("the process that started this one is gone")
    os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
