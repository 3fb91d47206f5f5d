"""TOML tables read key by key: what is missing, unknown or of another kind is an error that names its place.

It runs inside every stack's environment: standard library only (and tomli where tomllib is missing).
"""

from __future__ import annotations

import difflib
import json
import re
import sys
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLACEHOLDER = re.compile(r"\{(.*?)\}")
"""What is filled in when a command is run."""
_MOST_LISTED = 20
_MOST_SHOWN = 200


class ConfigurationError(ValueError):
    """A catalogue that cannot be read, or a request that it cannot meet; the message is for the user."""


def open_table(path: Path) -> Table:
    """A TOML file as a table; raises `ConfigurationError` where it cannot be read."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError(f"{path}: is no file")
        return Table(str(path), tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ConfigurationError:
        raise
    except (ValueError, RecursionError) as error:  # also of an integer of thousands of digits
        raise ConfigurationError(f"{path}: not TOML: {error}") from error


def toml(value: Any) -> str:
    """A text, a number, a list or a table of these as TOML, on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(str(key))} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class Table:
    """A TOML table whose keys are taken one by one; what is left over in the end is an unknown key."""

    def __init__(self, where: str, content: dict[str, Any]) -> None:
        self.where = where
        self.rest = dict(content)
        self.known: list[str] = []

    def error(self, key: str, problem: str) -> ConfigurationError:
        return ConfigurationError(f"{self.where}: {key}: {problem}")

    def take(self, key: str, kind: type | tuple[type, ...], expected: str, required: bool = True) -> Any:
        """The value of a key, removed from the rest; None if it is missing and not required."""
        self.known.append(key)
        value = self.rest.pop(key, None)
        if value is None:
            if required:
                raise self.error(key, "is missing")
            return None
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(key, f"must be {expected}, not {shown(value)}")
        return value

    def text(self, key: str, required: bool = True) -> Any:
        value = self.take(key, str, "a text", required)
        if value == "":
            raise self.error(key, "is empty")
        return value

    def choice(self, key: str, choices: Iterable[str], required: bool = True) -> Any:
        value = self.text(key, required)
        if value is not None:
            self.check_known(key, value, choices)
        return value

    def check_known(self, key: str, value: str, choices: Iterable[str]) -> None:
        if value not in choices:
            raise self.error(key, f"{shown(value)} is unknown{hint(value, choices)}")

    def flag(self, key: str) -> bool:
        """Whether a key is true; it is not if it is missing."""
        self.known.append(key)
        value: Any = self.rest.pop(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"must be true or false, not {value!r}")
        return value

    def number(self, key: str, kind: type | tuple[type, ...] = int, required: bool = True) -> Any:
        value = self.take(key, kind, "a number", required)
        if value is not None and value < 1:
            raise self.error(key, f"must be at least 1, not {shown(value)}")
        return value

    def words(self, key: str, required: bool = True) -> tuple[str, ...]:
        value = self.take(key, list, "a list of texts", required) or []
        if not all(isinstance(word, str) for word in value):
            raise self.error(key, f"must be a list of texts, not {shown(value)}")
        if required and not value:
            raise self.error(key, "is empty")
        return tuple(value)

    def command(self, key: str, placeholders: tuple[str, ...], required: bool = True) -> tuple[str, ...]:
        words = self.words(key, required)
        for name in PLACEHOLDER.findall(" ".join(words)):
            if name not in placeholders:
                raise self.error(key, f"placeholder {{{name}}} is unknown{hint(name, placeholders)}")
        return words

    def texts(self, key: str) -> dict[str, str]:
        """A table of texts; empty if it is missing."""
        table: dict[str, str] = self.take(key, dict, "a table of texts", required=False) or {}
        for name, value in table.items():
            if not isinstance(value, str):
                raise self.error(f"{key}.{name}", f"must be a text, not {shown(value)}")
        return table

    def tables(self, key: str, required: bool = True) -> dict[str, Table]:
        tables: dict[str, Any] = self.take(key, dict, "a table of tables", required) or {}
        for name, content in tables.items():
            if not isinstance(content, dict):
                raise self.error(f"{key}.{name}", "must be a table")
        return {name: Table(f"{self.where}: [{key}.{name}]", content) for name, content in tables.items()}

    def finish(self) -> None:
        for key in self.rest:
            raise self.error(key, f"unknown key{hint(key, self.known)}")


def shown(value: Any) -> str:
    """A value for a message, cut where it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return "what is nested too deeply"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def hint(name: str, names: Iterable[str]) -> str:
    """The nearest valid name, or all of them, to be appended to "... is unknown"."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Names for an error, which is to be read: not too many of them."""
    more = len(names) - _MOST_LISTED
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:_MOST_LISTED])} and {more} more"
