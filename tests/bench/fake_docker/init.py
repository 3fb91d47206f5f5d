"""The first process of a container: `python init.py FOLDER PROGRAM ARGUMENTS…`.

It notes the program's pid, passes signals on, and notes the exit status as Docker has it.
"""

import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path


def main(folder, *command):
    signals = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    program = subprocess.Popen(
        command, preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    )
    for number in signals:
        signal.signal(number, lambda received, _: program.send_signal(received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    new, facts = folder / "new.json", folder / "facts.json"
    new.write_text(json.dumps(json.loads(new.read_text()) | {"pid": program.pid}))
    new.rename(facts)
    status = program.wait()
    status = status if status >= 0 else 128 - status
    with contextlib.suppress(FileNotFoundError):  # the container was removed
        (folder / "exit.new").write_text(str(status))
        (folder / "exit.new").rename(folder / "exit")
    return status


sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
