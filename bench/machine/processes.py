"""Child processes that cannot outlive the suite."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, TypedDict, Unpack

import psutil

from bench.machine.guard import Spared
from bench.model.files import ROOT

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_TETHER = Path(__file__).with_name("tether.py")
_GUARD = Path(__file__).with_name("guard.py")
# Of what a program says on a stream the end is kept.
_KEPT_BYTES = 1 << 20
# A tree of processes that is moved is looked at so often: one that grew meanwhile must not hold up a run.
_MOST_MOVES = 10
# Between two looks at whether all that is to be killed has ended.
_POLL_S = 0.01
_NO_STREAMS = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Streams(TypedDict, total=False):
    """The standard streams of a program as Popen takes them; one that is left out is ``DEVNULL``."""

    stdin: int
    stdout: int | IO[Any]
    stderr: int | IO[Any]


def spawn(
    command: Sequence[str],
    cpus: Sequence[int],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    user: tuple[int, int] | None = None,
    network: Path | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
    kind: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
    guarded: bool = False,
    **streams: Unpack[Streams],
) -> subprocess.Popen[bytes]:
    """Start a program in a folder (the repository's root), pinned to CPUs, in a session of its own.

    The kernel sends it ``last_signal`` when the calling thread ends, however that happens, so call this from
    the main thread. A Ctrl-C at the terminal reaches only the suite, which ends its children in order.
    ``user`` is the user it runs as, by the numbers of user and group: another one only if this is root.
    ``network`` is the network namespace that it runs in, if not that of this process.
    ``kind`` makes the Popen. ``guarded`` is for programs that run other people's code: nothing that such a
    program started outlives it (see ``guard``). The Popen is then the guard, which ends as the program does.
    """
    as_user = "-" if user is None else "{}:{}".format(*user)
    place = "-" if network is None else str(network)
    tied = [str(int(last_signal)), as_user, place, str(os.getpid()), ",".join(map(str, cpus))]
    python = [sys.executable, "-I", "-S"]
    guard = [*python, str(_GUARD)] if guarded else []
    return kind(
        [*python, str(_TETHER), *tied, *guard, *command],
        cwd=folder,
        **{**_NO_STREAMS, **streams},
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
    )


def move_tree(pid: int, cpus: Sequence[int]) -> None:
    """Pin a process and all below it to other CPUs: every thread, and so whatever they start from now on."""
    # What was started meanwhile came from a thread that had not been moved.
    for _ in range(_MOST_MOVES):
        if not _moved(pid, set(cpus)):
            return


def _moved(pid: int, cpus: set[int]) -> bool:
    """Whether a thread had to be moved."""
    found = False
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                for thread in (int(task.name) for task in Path(f"/proc/{each.pid}/task").iterdir()):
                    if os.sched_getaffinity(thread) != cpus:
                        os.sched_setaffinity(thread, cpus)
                        found = True
    return found


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP to the end of the block, where they do what they would have done.

    For what must be whole or not be at all: a program that is started takes milliseconds until Popen returns,
    and one that an interruption finds there would run on, and nothing would know of it.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python handles no signals
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in INTERRUPTIONS}
    try:
        for number in INTERRUPTIONS:
            signal.signal(number, lambda received, _frame: came.append(received))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for received in came:
            signal.raise_signal(received)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP interrupt once; while things are put away they are ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in INTERRUPTIONS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in INTERRUPTIONS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def terminate(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end; it need not be running any more."""
    if process.poll() is None:
        process.terminate()


def wait_or_kill(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Wait for a process that was asked to end; kill it with all below it when it does not.

    Returns whether it ended by itself.
    """
    try:
        process.wait(max(0.0, timeout_s))
    except subprocess.TimeoutExpired:
        kill_tree(process)
        return False
    return True


def outcome(process: subprocess.Popen[bytes], timeout_s: float | None) -> subprocess.CompletedProcess[str]:
    """Wait for a program whose standard output and error are pipes; returns how it ended and what it said.

    Of each stream the last MiB is kept; what is no text is replaced. However this ends, nothing of a guarded
    program is left.

    Raises:
        subprocess.TimeoutExpired: it takes longer than ``timeout_s``; it is killed with all below it.
    """
    said: dict[str, bytes] = {}

    def read(name: str, stream: IO[bytes]) -> None:
        kept = b""
        while chunk := os.read(stream.fileno(), 1 << 16):
            kept = (kept + chunk)[-_KEPT_BYTES:]
        said[name] = kept

    streams = {"stdout": process.stdout, "stderr": process.stderr}
    readers = [
        threading.Thread(target=read, args=entry, daemon=True) for entry in streams.items() if entry[1]
    ]
    with process:
        try:
            for reader in readers:
                reader.start()
            process.wait(timeout_s)
        except BaseException:
            kill_tree(process)
            raise
        finally:
            # They end with the last of those that hold the streams.
            for reader in readers:
                reader.join()
    texts = {name: text.decode(errors="replace") for name, text in said.items()}
    return subprocess.CompletedProcess(process.args, process.returncode, **texts)


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started, and reap it; what tidies up behind others comes last."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        root = psutil.Process(process.pid)
        # It must not start anything anew meanwhile, but adopt what is left of those that are killed. A guard
        # starts nothing, and is not stopped: if this process is killed now, it could not see to the rest.
        if str(_GUARD) not in root.cmdline():
            root.suspend()
        spared = Spared()
        while family := [member for member in root.children(recursive=True) if _lives(member)]:
            due = set(spared.but_for([member.pid for member in family]))
            if due and not [member for member in family if member.pid in due and _killed(member)]:
                break
            time.sleep(_POLL_S)
    process.kill()
    process.wait()


def tree_cpu_s(pid: int) -> float:
    """CPU seconds (user and system) of a process and of all below it, also of those that it has reaped.

    Raises:
        ProcessLookupError: there is no such process any more.
    """
    try:
        first = psutil.Process(pid)
        every = [found.cpu_times() for found in (first, *first.children(recursive=True))]
    except psutil.NoSuchProcess as error:
        raise ProcessLookupError(str(error)) from error
    return float(sum(used.user + used.system + used.children_user + used.children_system for used in every))


def _lives(process: psutil.Process) -> bool:
    """Whether a process has not ended, reaped or not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _killed(process: psutil.Process) -> bool:
    """Send SIGKILL to a process; whether that could be done, or was not needed any more."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:  # it has become another user's
        return False
    return True
