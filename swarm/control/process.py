"""A process of the generator: its folder, its pipe to bench, and its end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from gevent.fileobject import FileObject
from locust.env import Environment

PROJECT: Final = Path(__file__).resolve().parents[2]


def search_path() -> str:
    """The PYTHONPATH with which processes find this package from any folder."""
    return os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])


def enter_folder(folder: Path | None) -> None:
    """Change to a folder, as `locust -f` would run there, and write no bytecode anywhere.

    Processes that are started from here still find this package.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if folder is None:
        return
    os.environ["PYTHONPATH"] = search_path()
    os.chdir(folder)


def log_as_locust() -> None:
    """Log what locustfiles log from INFO on, as `locust` does; of Locust itself only what it warns of."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    logging.getLogger("locust").setLevel(logging.WARNING)


_commands: int | None = None
_events: BinaryIO | None = None


def claim() -> None:
    """Take the pipe for this process. Call it once, and before foreign code is loaded."""
    global _commands, _events
    assert _events is None, "the pipe was claimed before"
    sys.stdout.flush()
    _commands, events = os.dup(0), os.dup(1)
    _events = open(events, "wb")  # noqa: SIM115, PTH123  # it is a descriptor, and open for good
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def commands() -> Iterator[bytes]:
    """The lines that bench writes, until it closes its end; other greenlets run meanwhile."""
    assert _commands is not None, "the pipe was not claimed"
    return iter(FileObject(_commands, "rb", closefd=False))


def emit(**fields: Any) -> None:
    """Write one event to the pipe."""
    assert _events is not None, "the pipe was not claimed"
    _events.write(json.dumps(fields).encode() + b"\n")
    _events.flush()


logger = logging.getLogger(__name__)

LIMIT_S: Final = 10
"""What `quitting` listeners, and users that are stopped, may take. Then the kernel ends the process."""


@dataclass(frozen=True)
class QuitOutcome:
    """What locustfiles did at the end: the exit status that they set (else 0), and what they raised."""

    exit_status: int = 0
    raised: tuple[str, ...] = ()


def quit_locust(environment: Environment) -> QuitOutcome:
    """Do what `locust` does at its end: fire `quitting`, stop the users, fire `quit`."""
    runner = environment.runner
    assert runner is not None
    before = set(runner.exceptions)
    environment.events.quitting.fire(environment=environment, reverse=True)
    status = environment.process_exit_code or 0
    runner.quit()
    environment.events.quit.fire(exit_code=status)
    raised = [str(each["msg"]) for key, each in runner.exceptions.items() if key not in before]
    return QuitOutcome(status, tuple(raised))


def end_process(close: Callable[[], QuitOutcome], status: int = 0) -> NoReturn:
    """Call `close`, send bench its outcome, and end this process with a status."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT_S)
    goodbye = QuitOutcome()
    try:
        goodbye = close()
    except (Exception, SystemExit):
        logger.exception("The session did not end as it should")
    with contextlib.suppress(BrokenPipeError):
        emit(event="quit", **asdict(goodbye))
    os._exit(status)
