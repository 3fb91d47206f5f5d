"""One response as it was parsed from the wire."""

from __future__ import annotations

from collections.abc import Iterable

from requests.structures import CaseInsensitiveDict


class Message:
    """One parsed response message. Immutable: equal bytes on the wire share one `Message`."""

    __slots__ = (
        "_headers",
        "_json",
        "_text",
        "content",
        "keep_alive",
        "ok",
        "raw_headers",
        "size",
        "status_code",
    )

    def __init__(
        self, status_code: int, raw_headers: list[tuple[bytes, bytes]], content: bytes, keep_alive: bool
    ) -> None:
        self.status_code = status_code
        self.raw_headers = raw_headers
        self.content = content
        self.size = len(content)
        self.keep_alive = keep_alive
        self.ok = status_code < 400
        self._headers: CaseInsensitiveDict[str] | None = None
        self._text: str | None = None

    @property
    def headers(self) -> CaseInsensitiveDict[str]:
        """Header fields; repeated ones are joined by `, ` as RFC 9110 section 5.3 allows."""
        if self._headers is None:
            self._headers = CaseInsensitiveDict()
            for raw_name, raw_value in self.raw_headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                before = self._headers.get(name)
                self._headers[name] = value if before is None else f"{before}, {value}"
        return self._headers

    def header_values(self, name: bytes) -> Iterable[str]:
        """Every value of a header that must not be joined (`Set-Cookie`); `name` in lower case."""
        return (value.decode("latin-1") for key, value in self.raw_headers if key.lower() == name)

    @property
    def text(self) -> str:
        """The body as text, in the charset that its content type names, else UTF-8."""
        if self._text is None:
            charset = "utf-8"
            for part in self.headers.get("content-type", "").split(";")[1:]:
                key, _, value = part.strip().partition("=")
                if key.lower() == "charset":
                    charset = value.strip('"') or charset
            try:
                self._text = self.content.decode(charset, "replace")
            except LookupError:
                self._text = self.content.decode("utf-8", "replace")
        return self._text
