"""The first process of a container: starts the program, passes signals on, and notes how it ended."""

import contextlib
import json
import os
import signal
import subprocess
import traceback

from bench.machine import guard

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def start(folder, command, *streams):
    """Start the program of the container in a folder, with three descriptors as its standard streams.

    Returns the pid of the process that looks after it, which ends with the program, and as it does.
    """
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(len(streams), os.sysconf("SC_OPEN_MAX"))  # what its client has open is not its own
        status = _run(folder, command)
    except BaseException:  # noqa: BLE001  (nothing is above it)
        traceback.print_exc()
    os._exit(status)


def _run(folder, command):
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    guard.adopt_orphans()
    program = subprocess.Popen(
        command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    )
    for number in _SIGNALS:
        signal.signal(number, lambda received, _: program.send_signal(received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    new, facts = folder / "new.json", folder / "facts.json"
    new.write_text(json.dumps(json.loads(new.read_text()) | {"pid": program.pid}))
    new.rename(facts)
    status = program.wait()
    guard.kill_rest()
    status = status if status >= 0 else 128 - status
    with contextlib.suppress(FileNotFoundError):  # the container was removed
        (folder / "exit.new").write_text(str(status))
        (folder / "exit.new").rename(folder / "exit")
    return status
