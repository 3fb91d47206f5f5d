"""Behind which proxy servers are measured: two keys of a plan."""

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
Retries = Literal["default", "off"]


def check_proxy(proxy: str | None, retries: str | None, *, external: bool) -> None:
    """Raise ``ValueError`` for a proxy's key without one, and for one before a server that runs already."""
    if proxy is None and retries is not None:
        raise ValueError(
            "proxy_retries (PROXY_RETRIES=) is of a proxy: give PROXY=nginx or PROXY=haproxy too"
        )
    if proxy is not None and external:
        raise ValueError("a server that runs already has its own proxy, or none: leave out PROXY=")
