"""Keeps other sites out of the web UI: it can start load, and browsers send what any page asks them to.

Locust's WebUI lets every origin read it (CORS) and listens to any name. The guard stands before it:

* `Host` must be an IP address, `localhost` or a name of this machine. A page of another site whose name was
  made to resolve to 127.0.0.1 (DNS rebinding) sends its own name.
* What changes something must come from the page itself: by `Origin`, by `Sec-Fetch-Site` where there is none.
* Answers carry no permission for other origins, and say what a page may load: nothing from other hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

Headers = list[tuple[str, str]]
StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

HARMLESS: Final = frozenset({"GET", "HEAD"})
LOCUST_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Of Locust's own pages, which have a script and styles in them. The suite's own page has a stricter one."""
POLICY: Final = "Content-Security-Policy"
COMMON: Final = {
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers send a form, that of the login for one, with the origin "null".
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """WSGI middleware. `names` are host names that are this machine's, besides `localhost`."""

    def __init__(self, application: Application, names: Collection[str] = ()) -> None:
        self._application = application
        self._names = {"localhost", *(name.lower() for name in names if name)}

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request, or refuse it."""
        reason = self.objection(environ)
        if reason is not None:
            headers = [("Content-Type", "text/plain; charset=utf-8"), *COMMON.items()]
            start_response("403 Forbidden", headers)
            return [reason.encode()]

        def guarded(status: str, headers: Headers, *rest: Any) -> Any:
            kept = [
                (name, value) for name, value in headers if not name.lower().startswith("access-control-")
            ]
            there = {name.lower() for name, _ in kept}
            kept += [(name, value) for name, value in COMMON.items() if name.lower() not in there]
            if POLICY.lower() not in there:
                kept.append((POLICY, LOCUST_POLICY))
            return start_response(status, kept, *rest)

        return self._application(environ, guarded)

    def objection(self, environ: dict[str, Any]) -> str | None:
        """Why a request is not answered; None where it is."""
        host = environ.get("HTTP_HOST", "")
        if not self._is_ours(host):
            return "This is not a name of this web UI. Use its address.\n"
        origin = environ.get("HTTP_ORIGIN")
        own = f"{environ.get('wsgi.url_scheme', 'http')}://{host}"
        if origin is not None and origin != own:
            return "Requests of other sites are not answered.\n"
        if environ.get("REQUEST_METHOD") in HARMLESS or origin is not None:
            return None
        if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
            return "Requests of other sites are not answered.\n"
        return None

    def _is_ours(self, host: str) -> bool:
        if set(host) & set("@/?#\\"):
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ip_address(name)
        except ValueError:
            return name in self._names
        return True
