"""One Locust process that runs one cell after another and reads its commands from a pipe.

    python -m swarm.session --scenario locustfiles/index.py --scenario locustfiles/json.py

Locust's start-up is paid once, not once per cell. Commands are JSON lines on standard input, events
are JSON lines on standard output; README.md has both. When standard input ends, so does the
session, whatever it is doing: a session never outlives the process that started it.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
import locust
import locust.runners
from gevent.queue import Queue

from .control.cell import Cell, CellFailed
from .control.elsewhere.generators import workers_of
from .control.options import locust_settings
from .control.process import claim, commands, emit, end_process, enter_folder, log_as_locust
from .control.rotation import Order
from .control.scenarios import LoadError, Scenarios
from .control.session import Session
from .control.workers import LIMIT_S, REPORT_INTERVAL_S, NotReadyError, work


def _tell_joined(names: list[str]) -> None:
    emit(event="joining", joined=names)


def _serve(session: Session) -> None:
    """Obey commands until standard input ends."""
    cells: Queue[dict[str, Any]] = Queue()

    def read() -> None:
        for line in commands():
            try:
                command = json.loads(line)
                kind = command["command"]
            except (ValueError, TypeError, KeyError):
                emit(
                    event="failed",
                    cell=None,
                    reason=f"not a command: {line.decode(errors='replace').strip()}",
                )
                continue
            if kind == "abort":
                session.abort(command.get("reason", "aborted"))
            elif kind == "drop":
                session.drop(str(command.get("target")), str(command.get("reason", "dropped")))
            elif kind == "over":
                session.over()
            elif kind == "metered":
                session.meter(command.get("readings", []))
            elif kind == "enough":
                session.progress.enough()
            else:
                cells.put(command)
        end_process(session.close)

    gevent.spawn(read)
    while True:
        command = cells.get()
        try:
            emit(cell=command.get("cell"), **_run(session, command))
        except CellFailed as failure:
            emit(event="failed", cell=command.get("cell"), **vars(failure))
            if failure.over:
                end_process(session.close)


def _run(session: Session, command: Mapping[str, Any]) -> dict[str, Any]:
    """Run a cell; raises CellFailed, whatever ends it."""
    try:
        if command["command"] == "rotate":
            return session.run_rotation(Order.of(command))
        return session.run_cell(Cell.of(command))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise CellFailed(f"{error.strerror}{where}") from error
    except SystemExit as error:
        ended = f"the locustfile ended the program: sys.exit({error.code!r}) was called"
        raise CellFailed(ended, see_log=True, over=True) from error


def main() -> None:
    """Run a session, or one of its Locust workers, by the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scenario", action="append", required=True, metavar="FILE")
    parser.add_argument("--processes", type=int, default=1, help="Locust workers; 1 (the default) needs none")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="the folder that its users run in")
    parser.add_argument("--option", action="append", default=[], metavar="WORD", help="for the locustfiles")
    parser.add_argument(
        "--import-timeout",
        type=float,
        default=LIMIT_S,
        metavar="S",
        help="how long workers may take to start",
    )
    parser.add_argument("--generators", type=int, metavar="N", help="so many join, from other machines")
    parser.add_argument("--master", metavar="HOST:PORT", help="where: an address of this machine")
    parser.add_argument("--worker", type=int, metavar="PORT", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    claim()
    log_as_locust()
    locust.runners.WORKER_REPORT_INTERVAL = REPORT_INTERVAL_S
    enter_folder(arguments.folder)
    try:
        scenarios = Scenarios(arguments.scenario, arguments.option)
        if arguments.worker is not None:
            work(scenarios, arguments.worker)
            return
        environment = scenarios.environment()
        workers = workers_of(environment, list(scenarios.all), arguments, _tell_joined)
        session = Session(scenarios, environment, workers)
    except (LoadError, NotReadyError) as error:
        raise SystemExit(str(error)) from error
    emit(
        event="ready",
        locust=locust.__version__,
        processes=session.processes,
        generators=session.generators,
        scenarios={file: each.names for file, each in scenarios.all.items()},
        engines={file: each.engine for file, each in scenarios.all.items()},
        settings=asdict(locust_settings()),
    )
    try:
        _serve(session)
    except KeyboardInterrupt:
        session.close()


if __name__ == "__main__":
    main()
