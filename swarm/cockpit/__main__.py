"""The Locust process behind `bench ui`: python -m swarm.cockpit.

It is told what to offer by its first line on standard input, and talks to bench in JSON lines from then on
(docs/contracts.md, *The cockpit*). When standard input ends, so does it.
"""

from __future__ import annotations

import swarm  # noqa: F401  # isort: skip  # first: Locust's gevent must patch ssl before all else

import errno
import sys

import gevent
from locust import events
from locust.log import setup_logging
from locust.stats import stats_history

from ..progress import emit
from ..scenarios import environment_of, load
from .link import Link
from .live import Live
from .loads import Loads
from .offer import Offer
from .page import Page
from .web import SHOWN, CockpitUI, Views, add_fields


def main() -> None:
    """Serve the web UI until standard input ends."""
    setup_logging("INFO")
    link = Link()
    offer = Offer.of(link.first())
    try:
        scenarios = load([scenario.file for scenario in offer.scenarios])
    except SystemExit as error:
        emit(event="failed", reason=str(error))
        raise SystemExit(1) from error
    add_fields(offer)
    environment = environment_of(scenarios)
    environment.available_user_classes = dict(environment.user_classes_by_name)  # type: ignore[arg-type]
    environment.available_user_tasks = {
        name: list(each.tasks) for name, each in environment.user_classes_by_name.items()
    }
    environment.locustfile = "Whichworker"
    assert environment.parsed_options is not None
    vars(environment.parsed_options).update(num_users=SHOWN["users"], spawn_rate=SHOWN["spawn_rate"])
    runner = environment.create_local_runner()
    web_ui = CockpitUI(environment, offer)
    events.init.fire(environment=environment, runner=runner, web_ui=web_ui)
    live = Live(offer.full)
    loads = Loads(environment, link, live, offer, scenarios)
    Views(web_ui, loads, live, offer)
    page = Page(web_ui, link, loads, live, offer)
    gevent.spawn(stats_history, runner)
    try:
        web_ui.start()
    except OSError as error:
        where = f"port {offer.port} on {offer.host}"
        taken = error.errno == errno.EADDRINUSE
        emit(event="failed", reason=f"{where} is in use" if taken else f"{where}: {error.strerror}")
        raise SystemExit(1) from error
    assert web_ui.server is not None
    emit(event="ready", port=web_ui.server.server_port)
    link.obey(
        {
            "server": live.metered,
            "ended": lambda line: loads.fail(line["reason"]),
            "recorded": lambda line: loads.note(line["kind"], line["text"]),
            "reported": page.reported,
            "stop": lambda _: loads.stop(),
        }
    )


if __name__ == "__main__":
    sys.argv[1:] = []  # Locust's page parses the command line again, to know its fields
    main()
