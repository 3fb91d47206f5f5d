"""The login of a web UI that listens to other machines: one password, by Locust's own page for it."""

from __future__ import annotations

import hmac
from secrets import token_bytes
from typing import Final

import gevent
from flask import redirect, request, session, url_for
from flask_login import UserMixin, login_user  # type: ignore[import-untyped]
from locust.web import WebUI
from werkzeug.wrappers import Response

PATH: Final = "/server/login"
WRONG_S: Final = 1.0
"""How long a wrong password takes to be refused."""


class _Person(UserMixin):  # type: ignore[misc]
    """Who knows the password."""

    id = "person"


def require(web_ui: WebUI, password: str) -> None:
    """Have a web UI with a login take this password, and no other."""
    app = web_ui.app
    assert app is not None
    app.config.update(SECRET_KEY=token_bytes(32), SESSION_COOKIE_SAMESITE="Strict")
    web_ui.login_manager.user_loader(lambda name: _Person() if name == _Person.id else None)
    web_ui.auth_args = {
        "custom_form": {
            "inputs": [{"label": "Password", "name": "password", "is_secret": True}],
            "callback_url": PATH,
            "submit_button_text": "Login",
        }
    }

    def log_in() -> Response:
        given = request.form.get("password", "")
        if hmac.compare_digest(given.encode(), password.encode()):
            session.clear()
            login_user(_Person())
            return redirect(url_for("locust.index"))
        gevent.sleep(WRONG_S)
        session["auth_error"] = "That is not the password."
        return redirect(url_for("locust.login"))

    app.add_url_rule(PATH, "cockpit_login", log_in, methods=["POST"])
