"""The Locust process behind `bench ui`: python -m swarm.cockpit.

It is told what to offer by its first line on standard input, and talks to bench in JSON lines from then on
(docs/contracts.md, *The cockpit*). When standard input ends, so does it.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import errno
import sys
from collections.abc import Mapping
from typing import Final

import gevent
from locust import User, events
from locust.env import Environment
from locust.log import setup_logging
from locust.stats import stats_history

from ..distributed import NotReadyError, Workers
from ..progress import emit
from ..scenarios import environment_of, load
from .link import Link
from .live import Live
from .loads import Loads
from .offer import Offer
from .page import Page
from .web import SHOWN, CockpitUI, Views, add_fields

WATCH_S: Final = 1.0
ANOTHER_PORT: Final = "Free it, or ask for another one with --port"
Scenarios = Mapping[str, list[type[User]]]


class CannotServeError(Exception):
    """There can be no web UI; the message is for people."""


def main() -> None:
    """Serve the web UI until standard input ends."""
    setup_logging("INFO")
    link = Link()
    offer = Offer.of(link.first())
    try:
        _serve(link, offer, load([scenario.file for scenario in offer.scenarios]))
    except (SystemExit, CannotServeError) as error:
        emit(event="failed", reason=str(error))
        raise SystemExit(1) from error


def _serve(link: Link, offer: Offer, scenarios: Scenarios) -> None:
    """Listen, and obey. Raises CannotServeError."""
    add_fields(offer)
    environment = _environment(offer, scenarios)
    workers = Workers(environment, list(scenarios), offer.processes) if offer.processes > 1 else None
    runner = environment.create_local_runner() if workers is None else workers.runner
    web_ui = CockpitUI(environment, offer)
    events.init.fire(environment=environment, runner=runner, web_ui=web_ui)
    live = Live(offer.full, offer.processes)
    loads = Loads(environment, link, live, offer, scenarios, workers)
    Views(web_ui, loads, live, offer)
    page = Page(web_ui, link, loads, live, offer)
    gevent.spawn(stats_history, runner)
    if workers is not None:
        _await(workers)
        gevent.spawn(_watch, workers, loads)
    emit(event="ready", port=_listen(web_ui, offer))
    link.obey(
        {
            "server": live.metered,
            "ended": lambda line: loads.fail(line["reason"]),
            "recorded": lambda line: loads.note(line["kind"], line["text"]),
            "reported": page.reported,
            "stop": lambda _: loads.stop(),
        }
    )


def _environment(offer: Offer, scenarios: Scenarios) -> Environment:
    """An environment whose class picker lists what is offered."""
    environment = environment_of(scenarios)
    picks = {
        scenario.label(each.__name__): each
        for scenario in offer.scenarios
        for each in scenarios[scenario.file]
    }
    environment.available_user_classes = dict(picks)  # type: ignore[arg-type]
    environment.available_user_tasks = {label: list(each.tasks) for label, each in picks.items()}
    environment.locustfile = "Whichworker"
    assert environment.parsed_options is not None
    vars(environment.parsed_options).update(num_users=SHOWN["users"], spawn_rate=SHOWN["spawn_rate"])
    return environment


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


def _watch(workers: Workers, loads: Loads) -> None:
    """A load that has lost some of its users is no measurement."""
    while (failure := workers.failure()) is None:
        gevent.sleep(WATCH_S)
    loads.fail(f"{failure}: see generator.log")


if __name__ == "__main__":
    sys.argv[1:] = []  # Locust's page parses the command line again, to know its fields
    main()
