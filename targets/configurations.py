"""The typed reader of `configurations.toml`, and the commands of its configurations; only this parses it.

It runs inside every stack's environment: standard library only (and tomli where tomllib is missing).
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGURATIONS = Path(__file__).with_name("configurations.toml")
RECYCLING = ("flag", "app", "respawn", "rss", "none")

_PLACEHOLDER = re.compile(r"\{(.*?)\}")
_START = ("host", "port", "workers", "app")
_RECYCLE = ("max_requests", "max_requests_jitter", "max_rss_mib")
_PATIENCE = ("startup_timeout",)
_WITHOUT_ARGV = ("app", "none")

SUITES_APP, OWN_APP = "targets.app:app", "targets.own:app"
"""What stands for the app in a command that is run: the suite's, or a user's own."""
_FACTORY_FLAG = {"sanic": "--factory", "uvicorn": "--factory", "granian": "--factory"}
"""Programs that take the name of a factory with a flag; the others take a call."""

WATCHDOG_S = 30.0
"""How long servers themselves wait for a worker to start: Gunicorn and Sanic give it up after that."""
_AFTER_US_S = 10


class ConfigurationError(ValueError):
    """A catalogue that cannot be read, or a request that it cannot meet; the message is for the user."""


def patience_s(startup_timeout: float) -> int:
    """How long a server is told to wait for its workers, so that it does not give up before `serve` does."""
    return math.ceil(startup_timeout) + _AFTER_US_S


@dataclass(frozen=True)
class Stack:
    """An environment to serve in: interpreter versions, best first, and a pinned requirements file.

    `fixed` are packages without whose pinned version the stack is not what it is for; `own` is a further
    requirements file, of a user's own app, whose versions take the place of the pinned ones.
    """

    name: str
    pythons: tuple[str, ...]
    requirements: Path
    fixed: tuple[str, ...] = ()
    own: Path | None = None


@dataclass(frozen=True)
class Recycling:
    """When workers are to be replaced; never, where all is None.

    After `max_requests` plus a random part of up to `max_requests_jitter` requests, or when their
    resident memory exceeds `max_rss_mib` MiB. Raises `ConfigurationError` for what makes no sense
    on any server.
    """

    max_requests: int | None = None
    max_requests_jitter: int | None = None
    max_rss_mib: int | None = None

    def __post_init__(self) -> None:
        jitter = self.max_requests_jitter
        if self.max_requests is None and jitter is not None:
            raise ConfigurationError("max_requests_jitter spreads max_requests: give both, or neither")
        if (self.max_requests is not None and self.max_requests < 1) or (jitter is not None and jitter < 0):
            raise ConfigurationError("max_requests must be at least 1, and max_requests_jitter not negative")
        if self.max_rss_mib is not None and self.max_rss_mib < 1:
            raise ConfigurationError("max_rss must be at least 1 MiB")

    def values(self) -> dict[str, int]:
        """What fills the placeholders of `recycle_argv`; no jitter is a jitter of 0."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return {"max_requests_jitter": 0, **values}


NEVER = Recycling()


@dataclass(frozen=True)
class Configuration:
    """One way to serve the app. The keys are those of docs/contracts.md; None is what is not known."""

    name: str
    summary: str
    stack: str
    argv: tuple[str, ...]
    recycle: str
    recycle_argv: tuple[str, ...]
    environment: Mapping[str, str]
    loop: str | None
    parser: str | None
    keep_alive_s: float | None
    backlog: int | None
    max_workers: int | None
    variant_of: str | None
    startup_argv: tuple[str, ...] = ()

    @property
    def takes_workers(self) -> bool:
        """Whether its command says how many workers there are."""
        return any("{workers}" in word for word in self.argv)

    @property
    def takes_jitter(self) -> bool:
        """Whether the requests after which its workers are replaced can be spread."""
        return self.recycle == "app" or any("{max_requests_jitter}" in word for word in self.recycle_argv)

    def command(
        self,
        *,
        host: str,
        port: int,
        workers: int,
        app: str,
        recycling: Recycling = NEVER,
        startup_timeout: float = WATCHDOG_S,
    ) -> list[str]:
        """The command that serves `app` ("module:attribute"); its first word is a program of the stack.

        An app that ends in `()` is a factory, and named as the program wants it.
        Where a start may take longer than servers wait (seconds), it is told to wait.
        Raises `ConfigurationError` for what this server cannot do.
        """
        if workers < 1:
            raise ConfigurationError(f"{self.name}: workers must be at least 1, not {workers}")
        if self.max_workers is not None and workers > self.max_workers:
            raise ConfigurationError(f"{self.name} has at most {self.max_workers} worker(s), not {workers}")
        self._check_recycling(recycling)
        values = {"host": host, "port": port, "workers": workers, "app": SUITES_APP, **recycling.values()}
        values["startup_timeout"] = patience_s(startup_timeout)
        argv = self.argv if recycling == NEVER else self.argv + self.recycle_argv
        argv += self.startup_argv if startup_timeout > WATCHDOG_S else ()
        return named([_PLACEHOLDER.sub(lambda match: str(values[match[1]]), word) for word in argv], app)

    def explains(self, command: Sequence[str]) -> bool:
        """Whether a recorded command is one of this configuration, whatever its values."""
        recorded = [Path(command[0]).name, *command[1:]]
        with_app = [word for word in recorded if word != _FACTORY_FLAG.get(recorded[0])]
        return any(
            len(argv) == len(with_app) and all(map(_fills, with_app, argv))
            for recycled in ((), self.recycle_argv)
            for patient in ((), self.startup_argv)
            for argv in [self.argv + recycled + patient]
        )

    def variables(self, recycling: Recycling) -> dict[str, str]:
        """The environment that its command needs; under `app`, this tells the app after how many requests."""
        if self.recycle != "app" or recycling.max_requests is None:
            return dict(self.environment)
        return {
            **self.environment,
            "WHICHWORKER_MAX_REQUESTS": str(recycling.max_requests),
            "WHICHWORKER_MAX_REQUESTS_JITTER": str(recycling.max_requests_jitter or 0),
        }

    def _check_recycling(self, recycling: Recycling) -> None:
        if recycling.max_rss_mib is not None and self.recycle != "rss":
            raise ConfigurationError(f"{self.name} never replaces a worker for its memory: leave max_rss out")
        if recycling.max_requests is None:
            return
        if self.recycle == "rss":
            raise ConfigurationError(
                f"{self.name} counts no requests, it replaces a worker for its memory: give max_rss instead"
            )
        if self.recycle == "none":
            raise ConfigurationError(
                f"{self.name} never replaces a worker for its requests: leave max_requests out"
            )
        if recycling.max_requests_jitter and not self.takes_jitter:
            raise ConfigurationError(f"{self.name} cannot spread its restarts: leave max_requests_jitter out")


@dataclass(frozen=True)
class Catalogue:
    """All configurations and stacks by name, in the order of the file."""

    configurations: dict[str, Configuration]
    stacks: dict[str, Stack]

    def get(self, name: str) -> Configuration:
        """The configuration of that name; raises `ConfigurationError` with the nearest valid name."""
        if name not in self.configurations:
            raise ConfigurationError(f"there is no configuration {name!r}{_hint(name, self.configurations)}")
        return self.configurations[name]


def named(words: Sequence[str], app: str) -> list[str]:
    """A command with the name of an app in place of what stands for one; a factory's name ends in `()`."""
    if not any(word in (SUITES_APP, OWN_APP) for word in words):
        return list(words)
    flag = _FACTORY_FLAG.get(Path(words[0]).name) if app.endswith("()") else None
    name = app if flag is None else app[: -len("()")]
    said = [name if word in (SUITES_APP, OWN_APP) else word for word in words]
    return said if flag is None else [*said, flag]


def _fills(word: str, template: str) -> bool:
    """Whether a word is a template with something in its placeholders."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\{.*?\}", template))
    return re.fullmatch(pattern, word) is not None


def load(path: Path = CONFIGURATIONS) -> Catalogue:
    """Read a catalogue; raises `ConfigurationError` naming the file, the table and the key."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error
    file = _Table(str(path), content)
    stack_tables = file.tables("stack")
    configuration_tables = file.tables("configuration")
    file.finish()
    stacks = {name: _stack(name, table, path.parent) for name, table in stack_tables.items()}
    configurations = {
        name: _configuration(name, table, stacks) for name, table in configuration_tables.items()
    }
    for name, table in configuration_tables.items():
        _check_variant(configurations[name], configurations, table)
    return Catalogue(configurations, stacks)


class _Table:
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
            raise self.error(key, f"must be {expected}, not {value!r}")
        return value

    def text(self, key: str, required: bool = True) -> Any:
        value = self.take(key, str, "a text", required)
        if value == "":
            raise self.error(key, "is empty")
        return value

    def choice(self, key: str, choices: Iterable[str]) -> str:
        value: str = self.text(key)
        self.check_known(key, value, choices)
        return value

    def check_known(self, key: str, value: str, choices: Iterable[str]) -> None:
        if value not in choices:
            raise self.error(key, f"{value!r} is unknown{_hint(value, choices)}")

    def number(self, key: str, kind: type | tuple[type, ...] = int, required: bool = True) -> Any:
        value = self.take(key, kind, "a number", required)
        if value is not None and value < 1:
            raise self.error(key, f"must be at least 1, not {value!r}")
        return value

    def words(self, key: str, required: bool = True) -> tuple[str, ...]:
        value = self.take(key, list, "a list of texts", required) or []
        if not all(isinstance(word, str) for word in value):
            raise self.error(key, f"must be a list of texts, not {value!r}")
        if required and not value:
            raise self.error(key, "is empty")
        return tuple(value)

    def command(self, key: str, placeholders: tuple[str, ...], required: bool = True) -> tuple[str, ...]:
        words = self.words(key, required)
        for name in _PLACEHOLDER.findall(" ".join(words)):
            if name not in placeholders:
                raise self.error(key, f"placeholder {{{name}}} is unknown{_hint(name, placeholders)}")
        return words

    def tables(self, key: str) -> dict[str, _Table]:
        tables = self.take(key, dict, "a table of tables")
        for name, content in tables.items():
            if not isinstance(content, dict):
                raise self.error(f"{key}.{name}", "must be a table")
        return {name: _Table(f"{self.where}: [{key}.{name}]", content) for name, content in tables.items()}

    def finish(self) -> None:
        for key in self.rest:
            raise self.error(key, f"unknown key{_hint(key, self.known)}")


def _stack(name: str, table: _Table, folder: Path) -> Stack:
    requirements = folder / table.text("requirements")
    stack = Stack(name, table.words("python"), requirements, table.words("fixed", required=False))
    table.finish()
    if not stack.requirements.is_file():
        raise table.error("requirements", f"there is no file {stack.requirements}")
    return stack


def _configuration(name: str, table: _Table, stacks: Iterable[str]) -> Configuration:
    environment = table.take("environment", dict, "a table of texts", required=False) or {}
    for variable, value in environment.items():
        if not isinstance(value, str):
            raise table.error(f"environment.{variable}", f"must be a text, not {value!r}")
    configuration = Configuration(
        name=name,
        summary=table.text("summary"),
        stack=table.choice("stack", stacks),
        argv=table.command("argv", _START),
        recycle=table.choice("recycle", RECYCLING),
        recycle_argv=table.command("recycle_argv", _RECYCLE, required=False),
        environment=environment,
        loop=table.text("loop"),
        parser=table.text("parser"),
        keep_alive_s=table.number("keep_alive_s", (int, float)),
        backlog=table.number("backlog"),
        max_workers=table.number("max_workers", required=False),
        variant_of=table.text("variant_of", required=False),
        startup_argv=table.command("startup_argv", _PATIENCE, required=False),
    )
    table.finish()
    if (configuration.recycle in _WITHOUT_ARGV) != (not configuration.recycle_argv):
        raise table.error("recycle_argv", f"does not fit recycle = {configuration.recycle!r}")
    return configuration


def _check_variant(
    configuration: Configuration, configurations: Mapping[str, Configuration], table: _Table
) -> None:
    original = configuration.variant_of
    if original is None:
        return
    if original == configuration.name:
        raise table.error("variant_of", "names the configuration itself")
    table.check_known("variant_of", original, [name for name in configurations if name != configuration.name])
    further = configurations[original].variant_of
    if further is not None:
        raise table.error("variant_of", f"{original!r} is a variant itself: name {further!r} instead")


def _hint(name: str, names: Iterable[str]) -> str:
    """The nearest valid name, or all of them, to be appended to "... is unknown"."""
    names = list(names)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(names)}"
