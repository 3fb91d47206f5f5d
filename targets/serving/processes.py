"""The server's processes: started so that they never outlive `serve`, found, signalled and reaped.

Linux only. `serve` becomes a subreaper (`prctl(2)`): whatever the server forks and abandons becomes a
child of `serve`, so that all descendants of `serve` are, at any time, all there is of the server.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Collection, Iterator, Mapping, Sequence

from targets.serving.exits import exit_status_of

# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)

# What a pipe of Linux holds, and how long its rest may take to be copied.
_PIPE_BYTES, _COPIED_S = 1 << 16, 5.0

SUPPORTED = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()
"""Whether this system can tell the children of a process: Linux with CONFIG_PROC_CHILDREN."""

# Python's multiprocessing has one process of this command to remove semaphores and shared memory from
# /dev/shm when all others have ended, killed ones as well (Hypercorn has five semaphores). It ends by itself
# then, and is killed if it takes longer.
_TRACKER = "multiprocessing.resource_tracker"
_TRACKED_S = 2.0

# The last group read is the server's, one behind a + is beside that before it; the end of input means that
# serve is gone. A group is killed as a whole where there is nothing in it to be spared for a moment. (`read`
# leaves out the zeros between the words of a command.)
_WARDEN = f"""
while read -r line; do case $line in +*) groups="$groups ${{line#+}}";; *) groups=$line;; esac; done
[ -n "$groups" ] || exit 0
for process in /proc/[0-9]*; do
    stat= command=
    {{ read -r stat <$process/stat; read -r command <$process/cmdline; }} 2>/dev/null
    set -- ${{stat##*) }}
    case " $groups " in *" ${{3:-none}} "*) ;; *) continue;; esac
    case $command in *{_TRACKER}*) spared=1;; *) pids="$pids ${{process#/proc/}}";; esac
done
[ -z "$spared" ] || {{ kill -s KILL $pids; sleep {_TRACKED_S:g}; }} 2>/dev/null
for group in $groups; do kill -s KILL -- -$group; done 2>/dev/null
"""


class ProcessTree:
    """The server's processes, the children of this one. At most one per process."""

    def __init__(self) -> None:
        _prctl(_PR_SET_CHILD_SUBREAPER)
        self.root: int | None = None
        self.former: int | None = None  # the first process of the copy that `root` is beside
        self._spared_since: float | None = None  # when nothing but trackers was left to be killed
        self._copying: list[threading.Thread] = []
        # If serve is killed, the kernel kills only the server's first process. The warden, which
        # notices because its input ends, kills the workers that this one leaves behind.
        self._warden = subprocess.Popen(
            ["/bin/sh", "-c", _WARDEN], stdin=subprocess.PIPE, start_new_session=True
        )

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        *,
        piped: bool = False,
        beside: bool = False,
    ) -> int:
        """Start the server in a session of its own, its output appended to `log`; returns its pid.

        With `piped` the output goes to a pipe, as in a container, and a thread of this process writes what it
        reads there to the log. `beside`: the server that runs is to stay, as the `former` one, for now.
        Raises `OSError` if the program cannot be run.
        """
        with self._pipe_to(log) if piped else log.open("ab") as output:
            server = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_prepare_server,
            )
        # reap() waits for all children alike; the Popen object must not.
        server.returncode = 0
        self.former, self.root = self.root if beside else None, server.pid
        self._tell_warden(b"+%d\n" if self.former else b"%d\n")
        return server.pid

    def _tell_warden(self, line: bytes) -> None:
        assert self._warden.stdin is not None
        self._warden.stdin.write(line % self.root)
        self._warden.stdin.flush()

    def forget_former(self) -> None:
        """Nothing of the former copy is left: its numbers may soon be those of others."""
        self.former = None
        if self.root is not None:
            self._tell_warden(b"%d\n")

    def _pipe_to(self, log: Path) -> IO[bytes]:
        """The end of a pipe to write to; a thread copies to the log until nobody has it open any more."""
        read, write = os.pipe()

        def copy() -> None:
            with open(read, "rb", buffering=0) as source, log.open("ab", buffering=0) as target:  # noqa: PTH123
                while chunk := source.read(_PIPE_BYTES):
                    target.write(chunk)

        self._copying.append(threading.Thread(target=copy, daemon=True))
        self._copying[-1].start()
        return open(write, "wb")  # noqa: PTH123

    def reap(self) -> Iterator[tuple[int, int]]:
        """Yield pid and exit status (negative: the signal) of each child that has ended since."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.root:
                self.root = None
            if pid == self.former:
                self.former = None
            yield pid, exit_status_of(status)

    def pids(self) -> list[int]:
        """The pids of all processes of the server, zombies included."""
        return [pid for pid in _descendants(os.getpid()) if pid != self._warden.pid]

    def former_pids(self) -> list[int]:
        """The pids of all processes of the former copy, those that it abandoned left out."""
        return [] if self.former is None else [self.former, *_descendants(self.former)]

    def signal(self, number: int) -> None:
        """Send a signal to the server's first process, if it lives; of two copies to both."""
        for pid in (self.root, self.former):
            if pid is not None:
                os.kill(pid, number)

    def kill(self, pids: Collection[int] | None = None) -> None:
        """Send SIGKILL to every process of the server, or to some; to be called until none is left.

        Those that tidy up behind the others (`_TRACKER`) come last, if they do not end by themselves.
        """
        every = self.pids() if pids is None else pids
        now, others = time.monotonic(), [pid for pid in every if not _tracks(pid)]
        self._spared_since = None if others else self._spared_since or now
        if self._spared_since is not None and now - self._spared_since > _TRACKED_S:
            others = list(every)
        for pid in others:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill what is left of the server, wait for it, and dismiss the warden."""
        while self.pids():
            self.kill()
            for _ in self.reap():
                pass
            signal.sigtimedwait({signal.SIGCHLD}, 0.01)
        for thread in self._copying:
            thread.join(_COPIED_S)
        self._warden.kill()
        self._warden.wait()
        assert self._warden.stdin is not None
        self._warden.stdin.close()


def _descendants(pid: int) -> Iterator[int]:
    """Pids below `pid`, from proc(5): thirty times cheaper than looking at every process there is."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            for child in Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
                yield int(child)
                yield from _descendants(int(child))


def _tracks(pid: int) -> bool:
    """Whether a process removes what others leave in /dev/shm."""
    try:
        return _TRACKER in Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False


def _prepare_server() -> None:
    """Between fork and exec: die with serve, and do not inherit the signals that it blocks."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _prctl(option: int, value: int = 1) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl: {os.strerror(error)}")
