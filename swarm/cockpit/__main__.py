"""The Locust process behind `bench ui`: python -m swarm.cockpit.

It is told what to offer by its first line on standard input, and talks to bench in JSON lines from then on
(swarm/README.md). When standard input ends, so does it.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import errno
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Final

import gevent
from locust.env import Environment
from locust.log import setup_logging
from locust.stats import stats_history

from ..control.options import locust_settings
from ..control.plugin import coordinator_of
from ..control.process import claim, emit, enter_folder, quit_locust
from ..control.scenarios import LoadError, Scenarios
from ..control.workers import LocalWorkers, NotReadyError, Workers
from .form import SPAWN_RATE, USERS
from .link import Link
from .live import Live
from .loads import Loads
from .offer import Offer
from .page import Page
from .web import CockpitUI, Views

WATCH_S: Final = 1.0
ANOTHER_PORT: Final = "Free it, or ask for another one with --port"


class CannotServeError(Exception):
    """There can be no web UI; the message is for people."""


def main() -> None:
    """Serve the web UI until standard input ends."""
    claim()
    setup_logging("INFO")
    link = Link()
    offer = Offer.of(link.first())
    enter_folder(None if offer.folder is None else Path(offer.folder))
    try:
        _serve(link, offer, Scenarios([scenario.file for scenario in offer.scenarios], offer.options))
    except (LoadError, CannotServeError) as error:
        emit(event="failed", reason=str(error))
        raise SystemExit(1) from error


def _serve(link: Link, offer: Offer, scenarios: Scenarios) -> None:
    """Listen, and obey. Raises CannotServeError, LoadError."""
    if not any(each.classes for each in scenarios.all.values()):
        raise CannotServeError("no locustfile defines a user class that may run (locustfiles/README.md)")
    sys.argv[1:] = []  # Locust's page parses the command line again, to know its fields
    environment = _environment(scenarios)
    files, workers = list(scenarios.all), None
    if offer.processes > 1:
        workers = LocalWorkers(environment, files, offer.options, offer.processes, offer.import_timeout_s)
    runner = environment.create_local_runner() if workers is None else workers.runner
    web_ui = CockpitUI(environment, offer)
    scenarios.open(environment, runner, web_ui)
    _offer_classes(environment, offer, scenarios)
    scenarios.watch(coordinator_of(environment).code)
    live = Live(offer.full, offer.processes)
    loads = Loads(environment, link, live, offer, scenarios, workers)
    _note_shapes(scenarios, loads)
    Views(web_ui, loads, live, offer)
    page = Page(web_ui, link, loads, live, offer)
    gevent.spawn(stats_history, runner)
    if workers is not None:
        _await(workers)
        gevent.spawn(_watch, workers, loads, offer.log)
    emit(event="ready", port=_listen(web_ui, offer), settings=asdict(locust_settings()))
    link.obey(
        lambda: quit_locust(environment),
        {
            "server": live.metered,
            "ended": lambda line: loads.fail(line["reason"]),
            "recorded": lambda line: loads.note(line["kind"], line["text"]),
            "reported": page.reported,
            "stop": lambda _: loads.stop(),
        },
    )


def _environment(scenarios: Scenarios) -> Environment:
    environment = scenarios.environment()
    environment.locustfile = "Whichworker"
    assert environment.parsed_options is not None
    vars(environment.parsed_options).update(num_users=USERS, spawn_rate=SPAWN_RATE)
    return environment


def _offer_classes(environment: Environment, offer: Offer, scenarios: Scenarios) -> None:
    """Have the class picker list what is offered, of what listeners of `init` have left."""
    classes_offered = {
        label: scenarios[offered.scenario.file].user_class(offered.user_class)
        for label, offered in offer.classes_offered(
            {file: each.names for file, each in scenarios.all.items()}
        ).items()
    }
    environment.available_user_classes = dict(classes_offered)  # type: ignore[arg-type]
    environment.available_user_tasks = {label: list(each.tasks) for label, each in classes_offered.items()}


def _note_shapes(scenarios: Scenarios, loads: Loads) -> None:
    """Say on the page which files have a shape in vain, as `bench run` does before its load."""
    for file, scenario in scenarios.all.items():
        if scenario.shapes:
            text = "has a LoadTestShape, which is not used: the form says how many users there are"
            loads.note("note", f"{Path(file).name} {text}")


def _await(workers: Workers) -> None:
    try:
        workers.await_ready()
    except NotReadyError as error:
        raise CannotServeError(str(error)) from error


def _listen(web_ui: CockpitUI, offer: Offer) -> int | None:
    """Listen where the offer says; returns the port, of a Unix socket None."""
    try:
        web_ui.start()
    except OSError as error:
        where = offer.socket if offer.socket is not None else f"port {offer.port} on {offer.host}"
        if error.errno == errno.EADDRINUSE:
            raise CannotServeError(f"{where} is in use. {ANOTHER_PORT}") from error
        raise CannotServeError(f"{where}: {error.strerror}") from error
    assert web_ui.server is not None
    return None if offer.socket is not None else int(web_ui.server.server_port)


def _watch(workers: Workers, loads: Loads, log: str) -> None:
    """A load that has lost some of its users is no measurement."""
    while (failure := workers.failure()) is None:
        gevent.sleep(WATCH_S)
    loads.fail(f"{failure}: see {log}")


if __name__ == "__main__":
    main()
