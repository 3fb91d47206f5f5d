"""Programs of the generator as forks of one process that has imported Locust already.

    python -m tests.swarm.forks FOLDER

To import Locust takes longer than most of what is tested here. Where how a program is started makes no
difference, a fork runs its `main` instead, with arguments and streams as it would have them.
"""

from __future__ import annotations

import swarm  # isort: skip  # first: Locust's gevent must patch ssl before all else

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import locust.main  # noqa: F401

import swarm.describe  # noqa: F401


def main() -> None:
    """Run what each line of standard input asks for, and answer with its exit status."""
    for line in sys.stdin:
        asked = json.loads(line)
        if not (pid := os.fork()):
            _run(asked["module"], asked["arguments"], Path(sys.argv[1]))
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(module: str, arguments: list[str], folder: Path) -> NoReturn:
    for descriptor, name in ((0, os.devnull), (1, folder / "stdout"), (2, folder / "stderr")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = [module, *arguments]
    status = 1
    try:
        import_module(module).main()
        status = 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            sys.stderr.write(f"{ended.code}\n")
        else:
            status = ended.code or 0
    except Exception:  # noqa: BLE001  # as Python would
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
