"""What a request and a user class may be given, and what to say of all else: nothing is dropped silently."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from http.cookiejar import CookieJar
from types import FunctionType
from typing import Any, Final, TypedDict

Headers = Mapping[str | bytes, str | bytes | None]
Auth = tuple[str | bytes, str | bytes] | Callable[[Any], Any]


class RequestOptions(TypedDict, total=False):
    """What a request may be given besides its method and path. All but `name` are those of `requests`."""

    name: str | None
    params: Mapping[Any, Any] | Iterable[tuple[Any, Any]] | str | bytes | None
    headers: Headers | None
    cookies: Mapping[str, str] | CookieJar | None
    json: Any
    data: Any
    files: Any
    auth: Auth | None
    timeout: float


OPTIONS: Final = frozenset(RequestOptions.__annotations__)

_REDIRECTS: Final = (
    'redirects are answers, none is followed: yield the next request, self.get(response.headers["Location"])'
)
_VERIFY: Final = "set the class attribute `verify` (True, False or the path of a CA bundle)"
_NO_PROXY: Final = "requests go straight to their host, through no proxy: leave it out"
_ONE_CONNECTION: Final = "each user has one connection to each host: leave it out"
_TIMEOUT: Final = "set the class attribute `timeout`, in seconds from asking to the end of the response"

INSTEAD_OF_OPTION: Final[Mapping[str, str]] = {
    "catch_response": (
        'any response can be judged: `response = yield self.get(...)`, then response.failure("why") or '
        "response.success()"
    ),
    "allow_redirects": _REDIRECTS,
    "follow_redirects": _REDIRECTS,
    "stream": "bodies are always read whole: leave it out",
    "verify": _VERIFY,
    "insecure": _VERIFY,
    "cert": "client certificates are not supported",
    "proxies": _NO_PROXY,
    "hooks": "what is to be done with a response is written after its yield",
    "context": "define a method `context()` of the user, as in Locust",
    "content": "give the body as `data`",
    "body": "give the body as `data`",
    "form": "give the form as `data`, a mapping",
    "keep_alive": 'set the class attribute `keep_alive`, or headers={"Connection": "close"}',
}
"""Options of other clients, and what to use here."""

INSTEAD_OF_ATTRIBUTE: Final[Mapping[str, str]] = {
    "network_timeout": _TIMEOUT,
    "connection_timeout": _TIMEOUT,
    "insecure": "set `verify = False`",
    "ssl_context_factory": _VERIFY,
    "max_redirects": _REDIRECTS,
    "max_retries": "nothing is ever sent twice: leave it out",
    "concurrency": _ONE_CONNECTION,
    "client_pool": _ONE_CONNECTION,
    "pool_manager": _ONE_CONNECTION,
    "proxy_host": _NO_PROXY,
    "proxy_port": _NO_PROXY,
}
"""Attributes that set up Locust's HttpUser and FastHttpUser and would do nothing here."""

ATTRIBUTES: Final = ("arrivals", "auth", "default_headers", "keep_alive", "timeout", "use_cookies", "verify")
"""What a swarm user has of its own."""

NO_CLIENT: Final = (
    "a SwarmUser has no client: `response = yield self.get(...)`, or self.user.get(...) in a TaskSet"
)


def refuse_unknown(options: Mapping[str, object]) -> None:
    """Raise TypeError for options that no request has, with what to use instead."""
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"a request has no option {name!r}: {_instead_of(name)}")


def _instead_of(name: str) -> str:
    if name in INSTEAD_OF_OPTION:
        return INSTEAD_OF_OPTION[name]
    near = difflib.get_close_matches(name.lower(), OPTIONS, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(OPTIONS))}"


def refuse_attribute(user_class: type, name: str) -> None:
    """Raise TypeError for an attribute that would do nothing, with what to use instead."""
    raise TypeError(f"{user_class.__name__}.{name} would do nothing: {INSTEAD_OF_ATTRIBUTE[name]}")


def check_class(user_class: type, root: type) -> None:
    """Raise TypeError or ValueError for attributes of a user class which would do nothing, or not work.

    `root` is the class that has `ATTRIBUTES`.
    """
    for name in INSTEAD_OF_ATTRIBUTE:
        if hasattr(user_class, name):
            refuse_attribute(user_class, name)
    for name, value in vars(user_class).items():
        if not isinstance(value, FunctionType) and not hasattr(root, name):
            for known in ATTRIBUTES:
                if _folded(name) == _folded(known):
                    raise TypeError(f"{user_class.__name__}.{name} would do nothing: did you mean {known!r}?")
    for name in ("keep_alive", "use_cookies"):
        if not isinstance(value := getattr(user_class, name), bool):
            raise TypeError(f"{user_class.__name__}.{name} is True or False, not {value!r}")
    checks: Mapping[str, Callable[[object], object]] = {
        "timeout": checked_timeout,
        "default_headers": checked_headers_mapping,
    }
    for name, check in checks.items():
        try:
            check(getattr(user_class, name))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{user_class.__name__}.{name}: {error}") from None


def _folded(name: str) -> str:
    return name.lower().replace("_", "").removesuffix("s")


def checked_timeout(seconds: object) -> float:
    """A time-out in seconds. Raises TypeError or ValueError for what is none."""
    if seconds.__class__ is float and 0 < seconds < math.inf:  # the common case
        return seconds
    if isinstance(seconds, tuple | list):
        raise TypeError(f"timeout is one number of seconds, connecting included, not {seconds!r}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"timeout is a number of seconds, not {seconds!r}")
    if not (math.isfinite(seconds) and seconds > 0):
        raise ValueError(f"timeout is above 0 and finite, not {seconds!r}")
    return float(seconds)


def checked_headers_mapping(headers: object) -> Headers:
    """Headers as a mapping. Raises TypeError for anything else."""
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers are a mapping of names to values, not {headers!r}")
    return headers
