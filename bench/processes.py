"""Child processes that cannot outlive the suite."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).parents[1]

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_TETHER = Path(__file__).with_name("tether.py")


def spawn(
    command: Sequence[str],
    cpus: Sequence[int],
    *,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[Any] = subprocess.DEVNULL,
    stderr: int | IO[Any] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    user: tuple[int, int] | None = None,
    last_signal: signal.Signals = signal.SIGTERM,
    kind: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen,
) -> subprocess.Popen[bytes]:
    """Start a program in a folder (the repository's root), pinned to CPUs, in a session of its own.

    The kernel sends it ``last_signal`` when the calling thread ends, however that happens, so call this from
    the main thread. A Ctrl-C at the terminal reaches only the suite, which ends its children in order.
    ``user`` is who it runs as, by the numbers of user and group: somebody else only if we are root. ``kind``
    makes the Popen.
    """
    options = ["--signal", str(int(last_signal))]
    options += [] if user is None else ["--user", "{}:{}".format(*user)]
    pinned = ",".join(map(str, cpus))
    return kind(
        [sys.executable, "-I", "-S", str(_TETHER), *options, str(os.getpid()), pinned, *command],
        cwd=folder,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env=None if environment is None else {**os.environ, **environment},
        start_new_session=True,
    )


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP to the end of the block, where they do what they would have done.

    For what must be whole or not be at all: a program that is started takes milliseconds until Popen returns,
    and one that an interruption finds there would run on with nobody who knows it.
    """
    if threading.current_thread() is not threading.main_thread():  # where Python handles no signals
        yield
        return
    came: list[int] = []
    before = {each: signal.getsignal(each) for each in INTERRUPTIONS}
    try:
        for each in INTERRUPTIONS:
            signal.signal(each, lambda number, _frame: came.append(number))
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for number in came:
            signal.raise_signal(number)


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


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and everything it started, and reap it."""
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
