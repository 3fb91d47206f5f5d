"""Locust's web UI, with the suite's fields, its guard, and views that ask bench before a load starts."""

from __future__ import annotations

import logging
import os
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Any, Final

from flask import Response, jsonify, request
from gevent import socket
from gevent.pywsgi import WSGIServer
from locust import events
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_RUNNING, STATE_STOPPING
from locust.web import WebUI
from werkzeug.datastructures import ImmutableMultiDict

from ..recording.files import ExactCSV
from ..recording.histogram import locust_bucket
from . import login, tab
from .form import NO_PROXY, OWN, LoadRequest, Refused, read_edit, read_start
from .guard import Guard
from .live import Live
from .loads import Loads
from .offer import Offer

logger = logging.getLogger(__name__)

MOST_BYTES: Final = 64 << 10
"""Of a request's body: the form is a few hundred."""
BACKLOG: Final = 128
"""Connections that may wait to be accepted."""
HELP: Final = {
    "configuration": "measured from {warmup:g} s after the last change of users until Stop",
    "server_workers": "workers of the server",
    "recycle_after": "replace a worker after so many requests; empty: never",
    "proxy": "what the load goes through to the server",
    "arrivals_per_second": "in all, users being the most in flight; empty: a closed loop",
}


def fields(offer: Offer) -> Callable[..., None]:
    """What has Locust's form offer the suite's fields. What they may hold is checked by `form`."""
    labels = [configuration.label for configuration in offer.configurations]

    def add(parser: ArgumentParser, **_: object) -> None:
        if offer.target is None:
            first = next((c.label for c in offer.configurations if c.unavailable is None), None)
            said = HELP["configuration"].format(warmup=offer.warmup_s)
            parser.add_argument("--configuration", choices=labels, default=first, help=said)
            parser.add_argument("--server-workers", default="1", help=HELP["server_workers"])
            parser.add_argument("--recycle-after", default="", help=HELP["recycle_after"])
            ways = [NO_PROXY, *offer.proxies]
            parser.add_argument("--proxy", choices=ways, default=NO_PROXY, help=HELP["proxy"])
        parser.add_argument("--arrivals-per-second", default="", help=HELP["arrivals_per_second"])

    return add


class CockpitUI(WebUI):
    """The web UI. `start` listens; it is made before the suite's own routes are added."""

    def __init__(self, environment: Environment, offer: Offer) -> None:
        self._offer = offer
        self._shown: dict[str, Any] = {}
        super().__init__(
            environment,
            offer.host,
            offer.port,
            web_login=offer.password is not None,
            stats_csv_writer=ExactCSV(environment),
            delayed_start=True,
            userclass_picker_is_active=True,
        )
        assert self.app is not None
        # Locust sets both for its own developers, or for pages of other origins.
        self.app.debug = False
        self.app.wsgi_app = Guard(self.app.wsgi_app, {offer.host, *offer.names})  # type: ignore[method-assign]
        self.app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
        self.template_args |= tab.TEMPLATE
        if offer.password is not None:
            login.require(self, offer.password)

    def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        path = self._offer.socket
        where = (self.host, self.port) if path is None else _listener(Path(path))
        self.server = WSGIServer(where, self.app, log=None, error_log=logger)
        self.server.start()

    def update_template_args(self) -> None:
        """What Locust's page is made of: the form shows what was asked for last.

        Of options it has the suite's alone: those of locustfiles are given on bench's command line.
        """
        hook = events.init_command_line_parser
        others, hook._handlers = hook._handlers, [fields(self._offer)]
        try:
            super().update_template_args()  # type: ignore[no-untyped-call]
        finally:
            hook._handlers = others
        host = "" if self._offer.target is None else self._offer.target
        warnings = dict.fromkeys(("override_host_warning", "missing_host_warning"), False)
        self.template_args |= {"host": host, "state": _told(self.template_args["state"]), **warnings}
        for user_class in (self.template_args["users"] or {}).values():
            user_class["host"] = None  # Locust's is that of the last load, whose server is gone
        for name, value in self._shown.items():
            if name in self.template_args["extra_options"]:
                self.template_args["extra_options"][name]["default_value"] = value

    def show(self, requested: LoadRequest) -> None:
        """Have the form begin with what was asked for."""
        configuration = self._offer.configuration(requested.configuration or "")
        self._shown = {
            "configuration": configuration.label if configuration else None,
            "server_workers": str(requested.workers),
            "recycle_after": "" if requested.max_requests is None else str(requested.max_requests),
            "proxy": requested.proxy or NO_PROXY,
            "arrivals_per_second": "" if requested.rate_per_s is None else f"{requested.rate_per_s:g}",
        }
        assert set(self._shown) == OWN

    def replace_view(self, endpoint: str, made: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put a view in the place of one of Locust's, which it is given; behind the login if there is one."""
        assert self.app is not None
        views = self.app.view_functions
        views[endpoint] = self.auth_required_if_enabled(made(views[endpoint]))  # type: ignore[no-untyped-call]


def _told(state: str) -> str:
    """A runner's state as Locust's page is told of it: while users end, the test still runs.

    The page asks for news only while it takes the test for running. Where one of its questions met the
    moment between Stop and the end, it would stay at "Loading" for ever.
    """
    return STATE_RUNNING if state in (STATE_CLEANUP, STATE_STOPPING) else state


def _listener(path: Path) -> socket.socket:
    """A Unix socket that listens; raises OSError.

    It is named by way of its folder's descriptor: the kernel takes no more than 107 bytes of path.
    """
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    listener.listen(BACKLOG)
    return listener


class Views:
    """What stands in the place of Locust's views."""

    def __init__(self, web_ui: CockpitUI, loads: Loads, live: Live, offer: Offer) -> None:
        self._web_ui = web_ui
        self._loads = loads
        self._live = live
        self._offer = offer
        self._stops_at: float | None = None
        web_ui.replace_view("locust.swarm", self._swarm)
        web_ui.replace_view("locust.update_user", self._update_user)
        web_ui.replace_view("locust.request_stats", self._request_stats)

    def _swarm(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Start or edit: checked here, then done by Locust's own view with a form of its own fields."""

        def swarm() -> Any:
            editing = self._loads.state == "running"
            try:
                form = self._edited() if editing else self._begun()
            except Refused as refusal:
                if editing:  # its dialog closes whatever comes of it
                    self._loads.note("error", f"not changed: {refusal}")
                return jsonify({"success": False, "message": str(refusal), "host": ""})
            request.form = form
            answer = original()
            told = answer.get_json() if isinstance(answer, Response) else {}
            if not told.get("success") and not editing:
                self._loads.abandon(f"Locust did not start: {told.get('message')}")
            return answer

        return swarm

    def _begun(self) -> ImmutableMultiDict[str, str]:
        environment = self._web_ui.environment
        classes = list(environment.available_user_classes or {})
        requested = read_start(request.form, self._offer, classes, self._loads.lacking, self._loads.urls)
        load = self._loads.begin(requested)
        self._web_ui.show(requested)
        self._stops_at = None if requested.run_time_s is None else time() + requested.run_time_s
        return self._form(requested, load.url)

    def _edited(self) -> ImmutableMultiDict[str, str]:
        load = self._loads.load
        assert load is not None
        requested = read_edit(request.form, self._offer, load.requested)
        self._loads.edit(requested)
        return self._form(requested, load.url)

    def _form(self, requested: LoadRequest, url: str) -> ImmutableMultiDict[str, str]:
        """The form as Locust's view is to read it."""
        fields = [
            ("user_count", str(requested.users)),
            ("spawn_rate", str(requested.spawn_rate)),
            ("host", url),
        ]
        fields += [("user_classes", name) for name in requested.classes]
        if self._stops_at is not None:  # an edit would cancel the run time
            fields.append(("run_time", f"{max(1, round(self._stops_at - time()))}s"))
        return ImmutableMultiDict(fields)

    def _update_user(self, _original: Callable[..., Any]) -> Callable[..., Any]:
        """A cell is named after its scenario, which is a file: what it does cannot be changed here."""

        def update_user() -> Any:
            self._loads.note("error", "not changed: a scenario is what its file says, so change that file")
            return jsonify(
                {"message": "a scenario is what its file in locustfiles says: change it there"}
            ), 403

        return update_user

    def _request_stats(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Locust's figures with what it rounds given exactly, and the rows of the Server tab."""

        def request_stats() -> Any:
            answer = original()
            if not isinstance(answer, Response) or answer.status_code != 200 or not answer.is_json:
                return answer  # to the login
            report = dict(answer.get_json())
            stats = self._web_ui.environment.stats
            for row in report["stats"]:
                key = (row["name"], row["method"])
                entry = stats.entries.get(key) or (stats.total if row["name"] == stats.total.name else None)
                if entry is not None:
                    row["min_response_time"] = locust_bucket(entry.min_response_time or 0)
                    row["max_response_time"] = locust_bucket(entry.max_response_time)
            report["state"] = _told(report["state"])
            report["total_avg_response_time"] = stats.total.avg_response_time
            report["extended_stats"] = [{"key": tab.KEY, "data": tab.rows(self._loads, self._live)}]
            return jsonify(report)

        return request_stats
