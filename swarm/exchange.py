"""What passes between users and servers: the requests users yield, the responses they get back."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from requests.structures import CaseInsensitiveDict

from .message import Message
from .samples import Samples

USER_AGENT: Final = "whichworker"
FORBIDDEN_IN_HEAD: Final = ("\r", "\n", "\0")


class FailureKind(StrEnum):
    """How a request was lost. The values are those of `failures.csv`."""

    CLOSED_UNANSWERED = "closed_unanswered"
    RESET_MID_RESPONSE = "reset_mid_response"
    REFUSED = "refused"
    CONNECT_FAILED = "connect_failed"
    TIMEOUT = "timeout"
    CONNECT_TIMEOUT = "connect_timeout"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    CHECK = "check"
    PROTOCOL = "protocol"
    EXCEPTION = "exception"


class Origin:
    """Where a connection goes: scheme, host and port of a base URL.

    Raises ValueError for anything but `http://host[:port]` or `https://host[:port]`.
    """

    __slots__ = ("host", "host_header", "port", "tls", "url")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not a base URL such as http://127.0.0.1:8000: {url!r}")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self.host_header = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{self.host_header}"


class Request:
    """A request ready to be sent, any number of times and by any number of users.

    Yield it from a task to send it; the yield's value is the `Response`. `payload` is the head up to,
    but not including, the empty line that ends it (so that lines can be added), plus `tail`.
    """

    __slots__ = ("head", "method", "name", "origin", "path", "payload", "samples", "tail", "timeout_ns")

    closes = False
    """Whether the connection ends with the response, whatever the server says."""

    def __init__(
        self,
        origin: Origin,
        method: str,
        path: str,
        *,
        name: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout: float,
        samples: Samples,
    ) -> None:
        self.origin = origin
        self.method = method
        self.path = path
        self.name = name
        self.samples = samples
        self.timeout_ns = int(timeout * 1e9)
        self.head = _head(origin, method, path, headers, body)
        self.tail = b"\r\n" + (body or b"")
        self.payload = self.head + self.tail

    def payload_with(self, lines: bytes) -> bytes:
        """The payload of one sending, with header lines of its own, each ended by CRLF."""
        return self.head + lines + self.tail


class ClosingRequest(Request):
    """A request that says `Connection: close`: nothing may be sent after it (RFC 9112 section 9.6)."""

    __slots__ = ()

    closes = True


def _head(origin: Origin, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The request line and header lines, each ended by CRLF. Raises ValueError for unsafe characters."""
    fields = {"Host": origin.host_header, "User-Agent": USER_AGENT, "Accept": "*/*"}
    given = {key.title(): value for key, value in headers.items()}
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(given)
    lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {value}" for key, value in fields.items())]
    if any(bad in line for line in lines for bad in FORBIDDEN_IN_HEAD) or " " in path or " " in method:
        raise ValueError(f"line breaks or spaces where HTTP allows none: {method} {path!r} {dict(headers)!r}")
    if not path.startswith("/") and path != "*":
        raise ValueError(f"a path begins with a slash: {method} {path!r}")
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


def encode_body(json: Any, data: bytes | str | Mapping[str, Any] | None) -> tuple[bytes | None, str | None]:
    """The body's bytes and its content type: `json` as JSON, a mapping as a form, text as UTF-8."""
    if json is not None:
        return jsonlib.dumps(json, separators=(",", ":")).encode(), "application/json"
    if data is None:
        return None, None
    if isinstance(data, bytes):
        return data, None
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=utf-8"
    return urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"


class Response:
    """What a yielded request came back as: an answer, or a classified failure without one.

    A status of 400 or more counts as a failure unless the task calls `success()`; `failure()` turns
    any answer into one. Both are decided when the task yields next or ends.
    """

    __slots__ = ("_message", "detail", "failure_kind", "latency_ns", "request")

    def __init__(
        self,
        request: Request,
        message: Message | None,
        latency_ns: int,
        failure_kind: FailureKind | None = None,
        detail: str = "",
    ) -> None:
        self.request = request
        self._message = message
        self.latency_ns = latency_ns
        self.failure_kind = failure_kind
        self.detail = detail

    @property
    def answered(self) -> bool:
        """Whether a whole response arrived, whatever its status."""
        return self._message is not None

    @property
    def status_code(self) -> int | None:
        """The status, or None where no answer came."""
        return self._message.status_code if self._message is not None else None

    @property
    def ok(self) -> bool:
        """Whether the request counts as a success so far."""
        return self.failure_kind is None

    @property
    def reason(self) -> str:
        """Why it counts as a failure, in a line; empty while it does not."""
        return "" if self.failure_kind is None else f"{self.failure_kind}: {self.detail}"

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """The response's header fields; empty where no answer came."""
        return self._message.headers if self._message is not None else CaseInsensitiveDict()

    @property
    def content(self) -> bytes:
        """The body; empty where no answer came."""
        return self._message.content if self._message is not None else b""

    @property
    def text(self) -> str:
        """The body as text; empty where no answer came."""
        return self._message.text if self._message is not None else ""

    def json(self) -> Any:
        """The body parsed as JSON. Raises ValueError where it is not JSON."""
        return jsonlib.loads(self.content)

    @property
    def elapsed(self) -> float:
        """Seconds from the moment the task asked until the response was complete."""
        return self.latency_ns / 1e9

    def failure(self, detail: str) -> None:
        """Count this request as failed. A request that was lost keeps the reason it was lost for."""
        if self.failure_kind is None:
            self.failure_kind = FailureKind.CHECK
            self.detail = str(detail)

    def success(self) -> None:
        """Count an answered request as a success, whatever its status."""
        if self._message is not None:
            self.failure_kind = None
            self.detail = ""
