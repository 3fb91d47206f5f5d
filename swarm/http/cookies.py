"""Cookies for the users that ask for them, by the standard library's jar."""

from __future__ import annotations

import email.message
import urllib.request
from http.cookiejar import CookieJar
from itertools import islice
from typing import Final, cast

from requests.cookies import RequestsCookieJar, cookiejar_from_dict, merge_cookies

from .exchange import Request
from .message import Message

MOST_COOKIES: Final = 3000
MOST_COOKIE_BYTES: Final = 16 << 10
"""What a jar keeps (RFC 6265, section 6.1), and how long a line that sets one may be: a server may set new
ones with each answer."""


class _Headers:
    """The one method of a urllib response that the jar calls."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def info(self) -> email.message.Message:
        headers = email.message.Message()
        for value in self._message.header_values(b"set-cookie"):
            if len(value) <= MOST_COOKIE_BYTES:
                headers["Set-Cookie"] = value
        return headers


def _as_urllib(request: Request) -> urllib.request.Request:
    return urllib.request.Request(request.origin.url + request.path, method=request.method)


def cookie_line(request: Request, jar: CookieJar) -> bytes:
    """The header line with the cookies of the jar and of the request itself; empty where there are none.

    Empty, too, where the request has a header of that name: as in `requests`, it stands for all of them.
    """
    if b"\r\ncookie:" in request.head.lower():
        return b""
    if request.cookies:
        own = request.cookies
        both = merge_cookies(RequestsCookieJar(), jar)
        jar = merge_cookies(both, own if isinstance(own, CookieJar) else cookiejar_from_dict(dict(own)))
    probe = _as_urllib(request)
    jar.add_cookie_header(probe)
    cookie = probe.get_header("Cookie")
    return f"Cookie: {cookie}\r\n".encode("latin-1") if cookie else b""


def keep_cookies(request: Request, message: Message, jar: CookieJar) -> None:
    """Put the response's cookies into the jar, by its policy (domain, path, expiry), while there is room."""
    if not any(message.header_values(b"set-cookie")):
        return
    response = cast("urllib.request._UrlopenRet", _Headers(message))
    jar.extract_cookies(response, _as_urllib(request))
    for cookie in list(islice(jar, MOST_COOKIES, None)):
        jar.clear(cookie.domain, cookie.path, cookie.name)
