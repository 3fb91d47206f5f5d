"""Pins itself to CPUs, ties its life to its parent's, then becomes another program.

``python tether.py SIGNAL USER NETWORK PARENT_PID CPUS PROGRAM ARGUMENTS…``, with CPUs like ``0,1``. Both
properties survive ``exec``. When the parent ends, the kernel sends the signal of that number. With a user
``UID:GID``, which only root may ask for, the program runs as that user, without further groups; with the path
of a network, which needs CAP_SYS_ADMIN, in that namespace. ``-`` stands for those of this process.

A program of its own, because Python code between fork and exec (``preexec_fn``) is not safe in a process with
threads. Standard library only, and little of that: it comes before every other program, and to import getopt
or signal takes as long as all the rest.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
_OWN = "-"


def main(last_signal: str, user: str, network: str, parent: str, cpus: str, *program: str) -> None:
    """Tether this process and execute the program."""
    libc = ctypes.CDLL(None, use_errno=True)
    if network != _OWN:
        with open(network, "rb") as namespace:  # noqa: PTH123  (nothing more is imported)
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
    if user != _OWN:
        number, group = map(int, user.split(":"))
        os.setgroups([])
        os.setgid(group)
        os.setuid(number)
    # After the change of user, at which the kernel forgets it.
    if libc.prctl(_PR_SET_PDEATHSIG, int(last_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != int(parent):  # it died before we asked to be told
        sys.exit("the process that started this one is gone")
    os.sched_setaffinity(0, [int(cpu) for cpu in cpus.split(",")])
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(*sys.argv[1:])
