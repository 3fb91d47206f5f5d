"""The suite's own page, /server: live charts of the server, and reports. A Flask blueprint."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import time
from typing import Any, Final

from flask import Blueprint, Response, abort, jsonify, make_response, request, send_from_directory
from locust.web import WebUI

from . import tab
from .form import first_request
from .guard import POLICY
from .link import Link
from .live import Live
from .loads import Load, Loads
from .offer import Offer

HERE: Final = Path(__file__).parent / "static"
STRICT: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SANDBOX: Final = (
    "sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; img-src 'self' data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; font-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of a report: a file with a script of its own and servers' words. It may ask nothing of the web UI."""


class Page:
    """Serves the page, its figures once a second, and the run's report."""

    def __init__(self, web_ui: WebUI, link: Link, loads: Loads, live: Live, offer: Offer) -> None:
        self._link = link
        self._loads = loads
        self._live = live
        self._offer = offer
        self._report: dict[str, Any] = {"state": "none", "reason": None, "since": None}
        blueprint = Blueprint("cockpit", __name__)
        routes = (
            ("/server", self._page, "GET"),
            ("/server/offer", self._offered, "GET"),
            ("/server/live", self._figures, "GET"),
            ("/server/static/<name>", self._static, "GET"),
            ("/server/report", self._make_report, "POST"),
            ("/report/<path:name>", self._of_report, "GET"),
        )
        for rule, view, method in routes:
            guarded = web_ui.auth_required_if_enabled(view)
            blueprint.add_url_rule(rule, view.__name__.strip("_"), guarded, methods=[method])
        assert web_ui.app is not None
        web_ui.app.register_blueprint(blueprint)

    def _page(self) -> Response:
        answer = send_from_directory(HERE, "server.html")
        answer.headers[POLICY] = STRICT
        return answer

    def _static(self, name: str) -> Response:
        return send_from_directory(HERE, name)

    def _offered(self) -> Response:
        """What the form lists, its bounds, and what it says at first: the last load, or one scenario."""
        offer, load = self._offer, self._loads.load
        return jsonify(
            {
                "configurations": [asdict(each) for each in offer.configurations],
                "scenarios": self._loads.labels,
                "unavailable": self._loads.lacking,
                "most_users": offer.most_users,
                "warmup_s": offer.warmup_s,
                "target": offer.target,
                "proxies": list(offer.proxies),
                "first": asdict(first_request(offer, self._loads.labels) if load is None else load.requested),
            }
        )

    def _figures(self) -> Response:
        """What the page shows, with the seconds after `since` (Unix)."""
        text = request.args.get("since", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            return make_response("since is a Unix second\n", 400)
        since, live, load = int(text), self._live, self._loads.load
        answer = jsonify(
            {
                "now": time(),
                "state": self._loads.state,
                "load": None if load is None else _described(load),
                "seconds": live.rows(since),
                "workers": [
                    {
                        **each,
                        "served": live.served(each["ready"])
                        if load and load.requested.workers == 1
                        else None,
                    }
                    for each in live.workers
                ],
                "restarts": live.restarts,
                "last_restarts": live.last_restarts(),
                "cpu_us": live.cpu_us(),
                "generator_cpu": live.generator_cpu(),
                "generator_processes": live.processes,
                "generator_is_full": live.generator_is_full(),
                "ceiling": tab.ceiling(self._loads),
                "notices": list(self._loads.notices),
                "report": self._report | {"possible": self._offer.report is not None},
            }
        )
        answer.headers["Cache-Control"] = "no-store"
        return answer

    # -- The report

    def _make_report(self) -> tuple[Response, int]:
        """Have bench make it; the figures say when it is there. It takes the CPU that the generator needs."""
        if self._offer.report is None:
            return jsonify({"message": "nothing is recorded here, so there is no report"}), 409
        if self._loads.state != "idle":
            return jsonify({"message": "stop the load first: making the report would disturb it"}), 409
        if self._report["state"] != "making":
            self._report = {"state": "making", "reason": None, "since": time()}
            answer = self._link.ask("report")
            if answer["command"] == "refused":
                self._report |= {"state": "failed", "reason": answer["reason"]}
        return jsonify(self._report), 202

    def reported(self, told: dict[str, Any]) -> None:
        """It was made, or why not: bench's `reported` line."""
        failed = told["failed"]
        self._report |= {"state": "ready" if failed is None else "failed", "reason": failed}

    def _of_report(self, name: str) -> Response:
        """A file of the report's folder, and of no other."""
        if self._offer.report is None:
            abort(404)
        answer = send_from_directory(self._offer.report, name)
        answer.headers[POLICY] = SANDBOX
        return answer


def _described(load: Load) -> dict[str, Any]:
    """The load, as the page names it."""
    asked = {key: value for key, value in vars(load.requested).items() if key != "host"}
    return asked | {"url": load.url, "began": load.began, "settled": load.settled}
