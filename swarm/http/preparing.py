"""From what a task asks for to what is sent, as `requests` does it, and mostly by `requests`.

`requests` takes 35 µs or more for each, which would be the generator's ceiling. What is common, a plain
path with simple options, is therefore put together here, to the same bytes:
tests/swarm/http/test_like_requests.py holds them against each other. All else is handed to it.
"""

from __future__ import annotations

import json as jsonlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import CookieJar
from typing import Any, Final
from urllib.parse import urlencode

from requests import PreparedRequest
from requests.auth import HTTPBasicAuth
from requests.exceptions import RequestException
from requests.structures import CaseInsensitiveDict
from requests.utils import check_header_validity, super_len

from .request_options import Auth, Headers, RequestOptions, checked_headers_mapping

USER_AGENT: Final = "whichworker"
ALWAYS: Final = {"User-Agent": USER_AGENT, "Accept": "*/*"}
"""Sent unless a request says else; None as a value leaves one out."""

_OURS: Final = ("Host", "Connection", "Content-Length", "Content-Type", "Cookie", "Authorization")
SPELT: Final = {name.lower(): name for name in _OURS}
"""Headers that are looked at here and by others: written so, however they were given."""

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
"""The usual ones, which need no further look."""

ABSOLUTE: Final = re.compile(r"https?://", re.IGNORECASE)
PLAIN_PATH: Final = re.compile(r"(?!.*/\.)/[\w\-.~!$&'()*+,;=:@/]*(\?[\w\-.~!$&'()*+,;=:@/?]+)?", re.ASCII)
"""Path and query which are sent as they stand: nothing to escape, and no dot segments to resolve."""
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""What a method and a header's name consist of (RFC 9110 section 5.6.2)."""
SIMPLE: Final = frozenset({str, int, float, bool})
"""Types of values of which `requests` and the standard library make the same form."""


@dataclass(slots=True)
class Prepared:
    """What is sent. `url` is the whole URL where it was given whole, else None: the user's own host.

    `label` is path and query without `params`: what the request is called unless it has a name. `headers`
    are spelt as `SPELT` says, without the length of the body; that is None where no length is said.
    `cookies` are those that the header Cookie was made from, and that may join those of a jar.
    """

    method: str
    url: str | None
    target: str
    label: str
    headers: dict[str, str]
    body: bytes | None
    cookies: Mapping[str, str] | CookieJar | None = None


def prepare(
    method: str, base: str, path: str | bytes, options: RequestOptions, defaults: Headers, auth: Auth | None
) -> Prepared:
    """Prepare a request to a path on `base` (`http://host:port`) or to an absolute URL.

    `options` are known ones, `defaults` the user's headers, `auth` what is to be used where the options have
    none. Raises ValueError or TypeError, in a sentence, for what HTTP does not allow and what is not done.
    """
    if method not in METHODS:
        if not isinstance(method, str) or not TOKEN.fullmatch(method):
            raise ValueError(f"a method is a word such as GET, not {method!r}")
        method = method.upper()
    if isinstance(path, bytes):
        path = path.decode()
    if not isinstance(path, str):
        raise TypeError(f"a path is text, not {path!r}")
    if "data" in options and "json" in options and options["data"] and options["json"] is not None:
        raise ValueError("a request has one body: give json or data, not both")
    auth = options.get("auth") or auth
    if auth is not None:
        auth = _checked_auth(auth)
    given = options.get("headers")
    headers = _merged(defaults, given) if given is not None or defaults else ALWAYS.copy()
    prepared = _plain(method, path, options, headers, auth)
    if prepared is None:
        prepared = _by_requests(method, base, path, options, headers, auth)
    if "Content-Length" in prepared.headers:
        _take_length_out(prepared)
    return prepared


def _plain(
    method: str, path: str, options: RequestOptions, headers: dict[str, str], auth: Auth | None
) -> Prepared | None:
    """The common case; None where it is not one."""
    if path[:1] != "/" or options.get("files") or options.get("cookies"):
        return None
    label = path if PLAIN_PATH.fullmatch(path) else _escaped(path)
    target = label
    if params := options.get("params"):
        query = _simple_form(params)
        if query is None:
            return None
        target = f"{label}{'&' if '?' in label else '?'}{query}"
    json, data = options.get("json"), options.get("data")
    content_type = None
    body: bytes | None = None if method in ("GET", "HEAD") else b""
    if data:
        if isinstance(data, bytes):
            body = data
        elif isinstance(data, str):
            body = data.encode()
        elif (form := _simple_form(data)) is not None:
            body, content_type = form.encode(), "application/x-www-form-urlencoded"
        else:
            return None
    elif json is not None:
        body, content_type = jsonlib.dumps(json, allow_nan=False).encode(), "application/json"
    elif data is not None and not isinstance(data, bytes | str | dict | list | tuple):
        return None
    if isinstance(auth, tuple):
        headers["Authorization"] = _basic(*auth)
    elif auth is not None:
        return None
    if content_type is not None:
        headers.setdefault("Content-Type", content_type)
    return Prepared(method, None, target, label, headers, body)


@lru_cache(10_000)
def _escaped(path: str) -> str:
    """Path and query as they are sent, which begin with a slash."""
    return _target(f"http://host{path}")


def _simple_form(fields: object) -> str | None:
    """A mapping of text to simple values, encoded; None for anything else."""
    if not isinstance(fields, dict):
        return None
    for name, value in fields.items():
        if name.__class__ is not str or value.__class__ not in SIMPLE:
            return None
    return urlencode(fields)


def _by_requests(
    method: str, base: str, path: str, options: RequestOptions, headers: dict[str, str], auth: Auth | None
) -> Prepared:
    """Everything that `requests` takes."""
    if path == "*" and method == "OPTIONS":
        return Prepared(method, None, path, path, headers, b"")
    absolute = ABSOLUTE.match(path) is not None
    if path and not absolute and path[0] not in "/?#":
        raise ValueError(f"a path begins with a slash, a URL with http:// or https://: {method} {path!r}")
    url = path if absolute else base + path
    params, files = options.get("params"), options.get("files")
    if params is not None and (not isinstance(params, Iterable) or hasattr(params, "read")):
        raise TypeError(f"params are a mapping, pairs or text, not {params!r}")
    cookies = options.get("cookies")
    if cookies is not None and not isinstance(cookies, Mapping | CookieJar):
        raise TypeError(f"cookies are a mapping of names to values, or a CookieJar, not {cookies!r}")
    request: Any = PreparedRequest()  # it takes more than its annotations say
    try:
        if files:
            _check_files(files, headers)
        request.prepare(
            method,
            url,
            headers=headers,
            files=files,
            data=_whole(options.get("data")),
            params=params,
            auth=auth,
            cookies=cookies,
            json=options.get("json"),
        )
        label = _target(url) if params else request.path_url
    except (RequestException, ValueError) as error:
        raise ValueError(f"{method} {path!r}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{method} {path!r}: its data, files or params cannot be sent so: {error}") from error
    if request.hooks["response"]:
        raise ValueError(
            f"auth={auth!r} answers what the server asks first, which is not done here: give a pair (user, "
            "password) for basic authentication, or set the header Authorization"
        )
    body = request.body.encode() if isinstance(request.body, str) else request.body
    if body is None and method not in ("GET", "HEAD"):
        body = b""
    assert body is None or isinstance(body, bytes)
    sent = {name: _text(value) for name, value in request.headers.items()}
    for name, value in sent.items():
        _check_header(name, value)
    if "Cookie" in headers:
        cookies = None
    return Prepared(method, request.url if absolute else None, request.path_url, label, sent, body, cookies)


def _target(url: str) -> str:
    request = PreparedRequest()
    request.prepare_url(url, None)
    return request.path_url


# -- Headers


def _merged(defaults: Headers, given: Headers | None) -> dict[str, str]:
    """What is given before the defaults, and these before what is always sent; None leaves one out."""
    merged: dict[str, tuple[str, str | bytes]] = {}
    for headers in (ALWAYS, defaults, {} if given is None else given):
        for name, value in checked_headers_mapping(headers).items():
            name = _text(name)
            lower = name.lower()
            if value is None:
                merged.pop(lower, None)
            else:
                merged[lower] = (SPELT.get(lower, name), value)
    sent = {name: _text(value, name) for name, value in merged.values()}
    for name, text in sent.items():
        _check_header(name, text)
    return sent


def _text(value: object, name: str = "") -> str:
    """Bytes, or text, as the text of which latin-1 makes the same bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    what = f"the value of header {name!r}" if name else "the name of a header"
    raise ValueError(f"{what} is text or bytes, not {value!r}")


@lru_cache(4096)
def _check_header(name: str, value: str) -> None:
    """Raise ValueError for a header that HTTP does not allow, or that no server would understand."""
    if not TOKEN.fullmatch(name):
        raise ValueError(f"a header cannot be called {name!r}")
    if name.lower() == "transfer-encoding":
        raise ValueError("header 'Transfer-Encoding': bodies are sent whole, with their length: leave it out")
    try:
        check_header_validity((name, value))
    except RequestException:
        raise ValueError(
            f"header {name!r} begins with a space or has a line break in it: {value!r}"
        ) from None
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            f"header {name!r}: {value!r} has characters outside latin-1: give it as bytes"
        ) from None
    if "\0" in value:
        raise ValueError(f"header {name!r} has a zero byte in it: {value!r}")


def _take_length_out(prepared: Prepared) -> None:
    """The length that is sent is the body's, whatever was given.

    Raises ValueError where there is no body behind it: the server would wait for one.
    """
    length = prepared.headers.pop("Content-Length")
    if not prepared.body and length.strip() != "0":
        raise ValueError(f"header 'Content-Length' is {length!r}, but there is no body: leave it out")


# -- Bodies


def _whole(data: Any) -> Any:
    """A body's `data` in a form that can be sent again and again."""
    if data is None or isinstance(data, bytes | str | list | tuple | Mapping):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if hasattr(data, "read"):
        _check_unread(data)
        content = data.read()
        if isinstance(content, bytes):
            return content
        raise TypeError(f"data={data!r} gives text: open it in binary mode, or give its text")
    raise TypeError(
        f"data is bytes, text, a mapping, pairs or a binary file, not {data!r}: a body is sent whole, with "
        'its length (of pieces, give b"".join(pieces))'
    )


def _check_files(files: Any, headers: Mapping[str, str]) -> None:
    if "Content-Type" in headers:
        raise ValueError(
            "files are sent as multipart/form-data with a boundary of their own: leave the header"
            " Content-Type out (or set it to None where default_headers have it)"
        )
    for _, file in files.items() if isinstance(files, Mapping) else files:
        content = file[1] if isinstance(file, tuple | list) and len(file) > 1 else file
        if hasattr(content, "read"):
            _check_unread(content)


def _check_unread(file: Any) -> None:
    """Raise ValueError for a file of which nothing is left to read: what was to be sent is not there."""
    try:
        read_already = file.tell() > 0 and super_len(file) == 0
    except (AttributeError, OSError):
        return  # it cannot tell
    if read_already:
        raise ValueError(
            f"{file!r} was read to its end by an earlier request: give its bytes (file.read()), which can be "
            "sent again and again, or keep the request"
        )


# -- Authentication


def _checked_auth(auth: Any) -> Auth | None:
    if not auth:
        return None
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, str | bytes) for part in auth):
        return auth
    if callable(auth):
        called: Auth = auth
        return called
    raise TypeError("auth is a pair of texts (user, password), or one of requests' AuthBase")


@lru_cache(1024)
def _basic(user: str | bytes, password: str | bytes) -> str:
    """The value of Authorization for a user and a password."""
    request = PreparedRequest()
    request.headers = CaseInsensitiveDict()
    pair: Any = (user, password)
    try:
        return _text(HTTPBasicAuth(*pair)(request).headers["Authorization"])
    except UnicodeEncodeError:
        raise ValueError(
            f"user {user!r} or its password has characters outside latin-1: give both as bytes"
        ) from None
