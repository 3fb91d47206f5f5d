"""Gives a command three more machines, `there`, `one` and `two`: network namespaces with a real sshd in each.

    python -m tests.bench.launch.remote.lab make bench SERVER=there GENERATORS=one,two

They share the CPUs of this machine: `there` has the first, the others and the command the last. It needs
root.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.launch.remote.wire import Elsewhere, Wire, kept, why_not

SERVER, GENERATORS = "there", ("one", "two")


@contextlib.contextmanager
def machines(cpus=None):
    """The machines, wired; `cpus` are those of each, or as above."""
    if (lacking := why_not()) is not None:
        raise SystemExit(lacking)
    every = sorted(os.sched_getaffinity(0))
    of_each = dict.fromkeys(GENERATORS, cpus or every[-1:]) | {SERVER: cpus or every[:1]}
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for name, own in of_each.items():
            (cache := Path(folder) / name).mkdir()
            made[name] = Elsewhere(kept(cache), own)
        with Wire(Path(folder), **made) as wire:
            yield wire


def main():
    """Run the command; its exit status is this one's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what is run on this machine")
    command = parser.parse_args().command or parser.error("no command is given")
    last = str(max(os.sched_getaffinity(0)))
    with machines() as wire:
        words = wire.here("taskset", "-c", last, *command)
        sys.exit(subprocess.call(words, env={**os.environ, **wire.environment}))


if __name__ == "__main__":
    main()
