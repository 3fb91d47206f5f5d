"""Behind which proxy servers are measured, and how it is configured: keys of a plan."""

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

from bench.model.errors import unknown

Kind = Literal["nginx", "haproxy"]
PROXIES: tuple[Kind, ...] = get_args(Kind)


def _proxy(kind: object) -> object:
    if kind is not None and kind not in PROXIES:
        raise ValueError(unknown("proxy", str(kind), PROXIES))
    return kind


ProxyKind = Annotated[Kind, BeforeValidator(_proxy)]
# What it does by itself, or not.
Setting = Literal["default", "off"]
# How it reaches servers.
Socket = Literal["tcp", "unix"]

CHOICES = ("proxy_retries", "proxy_keepalive", "proxy_socket")
"""The keys of a plan that say in a word how its proxy is configured; TLS is a yes or no."""


def ways(proxy: Kind | None) -> tuple[Kind | None, ...]:
    """The ways that clients take to a server which is measured behind a proxy and past it: that one first."""
    return (None,) if proxy is None else (proxy, None)


def check_proxy(proxy: str | None, keys: Mapping[str, object], *, external: bool, connections: bool) -> None:
    """Raise ``ValueError`` for a proxy's keys without one, and for one where there can be none.

    ``keys`` are the other keys of a proxy, a false one not given. Not before a server that runs already
    (``external``), and not in plans with ``connections``.
    """
    given = [key for key, value in keys.items() if value]
    if proxy is None and given:
        make = f"{given[0]} ({given[0].upper()}=)"
        raise ValueError(f"{make} is of a proxy: give PROXY=nginx or PROXY=haproxy too")
    if proxy is not None and external:
        raise ValueError("a server that runs already has its own proxy, or none: leave out PROXY=")
    if proxy is not None and connections:
        raise ValueError("[connections] are those of clients with the server itself: leave out PROXY=")
