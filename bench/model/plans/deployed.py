"""A server that runs already: where it is, whether it may be loaded, and what is known of it.

It is not started, stopped or metered: only its answers are known.
"""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from bench.model import thresholds
from bench.model.errors import UsageError
from bench.model.tables import PlanTable
from targets.catalogue.configurations import Catalogue, Configuration

NAME = "external"
CONFIRMATION = "--allow-remote"
# Keys of an entry of ``configurations``, and of server.json, that are not known.
_ENTRY = ("stack", "recycle", "keep_alive_s", "backlog", "variant_of")
_FACTS = (
    "command", "environment", "pid", "workers", "max_requests", "max_requests_jitter", "max_rss_mib",
    "started", "ready_s", "whoami",
)  # fmt: skip


def _base(url: str) -> str:
    """A base URL without a slash at its end; raises ``ValueError`` where it is none."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # no port is called so
        sound = None
    if not sound:
        raise ValueError(f'"{url}" is no URL like http://127.0.0.1:8000')
    if parts.username is not None:
        raise ValueError("a name and a password in the URL would be recorded; leave them out")
    base = f"{parts.scheme}://{parts.netloc}"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(
            f"{url} is more than a base URL; give {base}, and put the rest into the paths of your scenario"
        )
    return base


class Deployed(PlanTable):
    """``external`` of a plan: a server at a base URL, and the name that its cells are recorded by."""

    url: Annotated[str, AfterValidator(_base)]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = NAME

    @property
    def summary(self) -> str:
        """What it is, for people."""
        return f"What was running at {self.url}: nothing is known of it but its answers."

    def catalogue(self) -> Catalogue:
        """A catalogue of this server alone, which bench has no way to start."""
        only = Configuration(
            name=self.name,
            summary=self.summary,
            stack=self.name,
            argv=(),
            recycle="none",
            recycle_argv=(),
            environment={},
            loop=None,
            parser=None,
            keep_alive_s=None,
            backlog=None,
            max_workers=None,
            variant_of=None,
        )
        return Catalogue({self.name: only}, {})

    def entry(self) -> dict[str, Any]:
        """Its entry of ``configurations`` in ``run.json``."""
        return {"name": self.name, "summary": self.summary, **dict.fromkeys(_ENTRY)}

    def facts(self) -> dict[str, Any]:
        """The ``server`` of ``cell.json``: the keys of server.json, of which hardly any is known."""
        return {"configuration": self.name, "url": self.url, **dict.fromkeys(_FACTS)}


def checked(option: str, url: str) -> str:
    """A base URL as it is recorded; raises ``UsageError``, which names the ``option`` it was given by."""
    try:
        return _base(url)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from error


def check_permission(url: str, *, confirmed: bool) -> None:
    """Refuse to load another machine unless the user has confirmed that they may.

    Raises:
        UsageError: it is not on loopback and not ``confirmed``, or its name is unknown.
    """
    host = urlsplit(url).hostname
    assert host is not None
    if not confirmed and not is_loopback(host):
        raise UsageError(
            f"{host} is not this machine: what runs there, and the network to it, would be loaded as hard as "
            f"the plan says.\nIf you may do that, add {CONFIRMATION} (make: ALLOW_REMOTE=yes)"
        )


def is_loopback(host: str) -> bool:
    """Whether all addresses of a host are this machine's own.

    Raises:
        UsageError: the host is unknown.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"there is no host {host}: {getattr(error, 'strerror', None) or error}") from error
    return all(ipaddress.ip_address(str(where[0]).partition("%")[0]).is_loopback for *_, where in found)


def check_external(
    *, recycling: bool, own_app: bool, startup: bool, aliases: bool, limits: Mapping[str, Sequence[str]]
) -> None:
    """Raise ``ValueError`` for what a plan cannot ask of such a server: it is not started or metered.

    ``limits`` are the plan's thresholds, all else whether it has such a key.
    """
    cannot = "cannot be measured at a URL"
    if recycling:
        raise ValueError(f"a plan of recycling {cannot}: only servers that bench starts replace workers")
    if own_app:
        raise ValueError(f"an app that bench is to serve {cannot}: leave out APP= or URL=")
    if startup:
        raise ValueError("nothing is started at a URL: leave out STARTUP_TIMEOUT= (startup_timeout_s)")
    if aliases:
        raise ValueError(f"a plan with [aliases] {cannot}: there is nothing to have another name")
    for name, demands in limits.items():
        for limit in demands:
            if limit.split()[0] in thresholds.METERED:
                raise ValueError(f'[thresholds] {name}: "{limit}" {cannot}: that server is not metered')
