"""One self-contained HTML file: style and script inside, nothing fetched, nothing but our own script allowed.

The template is `analysis/report/report.html.j2`; each section of it is printed by the macro of its part in
`parts.html.j2`. Everything is escaped there, and characters that a browser obeys instead of showing are
replaced (`words.plain`).
"""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from bench.model.files import plain

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """A line of the contents list below its section's."""

    anchor: str
    title: str


@dataclass(frozen=True)
class Section:
    """A part of the page; the macro `part` prints `content`, without which the part is left out."""

    title: str
    part: str
    content: Any
    entries: Sequence[Entry] = field(default_factory=tuple)

    @property
    def anchor(self) -> str:
        """What the contents list leads to."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


def document(
    *,
    title: str,
    kicker: str,
    heading: str,
    sections: Sequence[Section],
    footer: str,
    more: Sequence[str] = (),
    lead: Any = None,
) -> str:
    """The page as HTML; `title` stands in the browser's tab.

    At its head are `kicker`, `heading`, `more` sentences and the picture `lead`; then come the sections.
    """
    style, script = _asset("report.css"), _asset("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=title,
            kicker=kicker,
            heading=heading,
            more=more,
            lead=lead,
            sections=[section for section in sections if section.content],
            footer=footer,
            style=Markup(style),
            script=Markup(script),
            policy=policy(style, script),
        )
    )


def policy(style: str, script: str) -> str:
    """The content security policy: this style, this script, pictures inside of the page, and nothing else."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_digest(style)}'",
            f"script-src '{_digest(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _digest(text: str) -> str:
    """How a policy names an inline style or script (W3C, Subresource Integrity)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _finalised(value: object) -> object:
    """What is printed for a value; markup of our own is left as it is."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
