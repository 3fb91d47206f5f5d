"""Runs a program in a session of its own, and leaves nothing of what it started.

``python guard.py PROGRAM ARGUMENTS…`` becomes a subreaper (prctl(2)): what the program starts stays below
this process, even a daemon in another session whose parent has ended. When the program ends, all of that is
killed, and this process ends as the program did: with its status, or by its signal. A program that kills
its own process group, as Sanic's manager does, kills nothing else. Signals are passed on to the program. If
the process that started this one is gone, the program has five seconds to end.

A program of its own because only a process without threads may fork, and because what it guards may be
anything. Standard library only; it is run by ``processes.spawn``.
"""

import ctypes
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)

_PASSED_ON = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
# What a program may take to end in order after the process that wanted it has gone.
_ORPHANED_S = 5.0
# What has become another user's cannot be killed; it is left after so long.
_KILL_S = 5.0
_POLL_S = 0.01
# Python's multiprocessing has one process of this command to remove semaphores and shared memory from
# /dev/shm when all others have ended, killed ones as well. It ends by itself then, and is killed if it takes
# longer.
_TRACKER = b"multiprocessing.resource_tracker"
_TRACKED_S = 2.0


def main(program: list[str]) -> None:
    """Run the program and end as it does."""
    starter = os.getppid()
    adopt_orphans()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    guard = os.getpid()
    child = os.fork()
    if child == 0:
        _become(program, guard)
    status = _await_end(child, starter)
    kill_rest()
    _end_as(status)


def adopt_orphans() -> None:
    """Become the parent of every process below this one that loses its own."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _become(program: list[str], guard: int) -> None:
    """Execute the program in the child; it dies with the guard."""
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvp(program[0], program)
    except OSError as error:
        os.write(2, f"{program[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _await_end(child: int, starter: int) -> int:
    """Pass signals on until the program has ended; returns its status as wait(2) gives it."""
    awaited = {*_PASSED_ON, signal.SIGCHLD}
    deadline: float | None = None
    while True:
        for pid, status in _reap():
            if pid == child:
                return status
        left = threading.TIMEOUT_MAX if deadline is None else max(0.0, deadline - time.monotonic())
        received = signal.sigtimedwait(awaited, left)
        if received is None:
            os.kill(child, signal.SIGKILL)
            deadline = None
        elif received.si_signo in _PASSED_ON:
            os.kill(child, received.si_signo)
            # The tether has the kernel send a signal when the starter ends.
            if os.getppid() != starter:
                deadline = time.monotonic() + _ORPHANED_S


def _reap() -> Iterator[tuple[int, int]]:
    """Pid and status of each child, born or adopted, that has ended since."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def kill_rest() -> None:
    """Kill what is left below this process: children of what is killed become children of this one."""
    deadline, spared = time.monotonic() + _KILL_S, Spared()
    while children := _children():
        for pid in spared.but_for(children):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        for _ in _reap():
            pass
        if time.monotonic() > deadline:
            return
        time.sleep(_POLL_S)


class Spared:
    """The processes that are killed last: those that tidy up behind the others (`_TRACKER`)."""

    def __init__(self) -> None:
        self._alone_since: float | None = None

    def but_for(self, pids: Sequence[int]) -> list[int]:
        """Which of all that are left to be killed now: all but these, unless they outlast the others."""
        now, others = time.monotonic(), [pid for pid in pids if not _tracks(pid)]
        self._alone_since = None if others else self._alone_since or now
        late = self._alone_since is not None and now - self._alone_since > _TRACKED_S
        return list(pids) if late else others


def _tracks(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return _TRACKER in file.read()
    except OSError:  # it has ended meanwhile
        return False


def _children() -> list[int]:
    """The pids of this process's children, from proc(5); those that have ended are there until reaped."""
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):  # noqa: PTH208  (pathlib takes longer to import than all the rest)
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                stat = file.read()
        except OSError:  # it has ended meanwhile
            continue
        # The name, which may hold anything, ends at the last parenthesis; then come the state and the parent.
        if int(stat.rpartition(b")")[2].split()[1]) == own:
            found.append(int(name))
    return found


def _end_as(status: int) -> None:
    """End as a status of wait(2) says; the core was dumped by the program already, if any."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")


if __name__ == "__main__":
    main(sys.argv[1:])
