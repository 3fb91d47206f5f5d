"""The typed reader of `configurations.toml`, and the commands of its configurations; only this parses it.

It runs inside every stack's environment: standard library only (and tomli where tomllib is missing).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Iterable, Mapping, Sequence, TypeVar

from targets.catalogue import variants
from targets.catalogue.recycling import NEVER, Recycling
from targets.catalogue.stack import Stack, changed_stack, stack_of
from targets.catalogue.tables import PLACEHOLDER, ConfigurationError, Table, hint, open_table
from targets.catalogue.variants import FILE, WORKERS, Changes, Variant
from targets.inside.own_app import FACTORY_FLAG, SUITES_APP, named

Number = TypeVar("Number")

_TARGETS = Path(__file__).parents[1]
CONFIGURATIONS = _TARGETS / "configurations.toml"
VARIANTS = _TARGETS / "variants.toml"
"""The suite's variants of its configurations."""
RECYCLING = ("flag", "app", "respawn", "rss", "none")
RELOADS = ("HUP", "HUP-if-several", "inspector")

_START = ("host", "port", "workers", "app", "certificate", "key")
_RECYCLE = ("max_requests", "max_requests_jitter", "max_rss_mib")
_PATIENCE = ("startup_timeout",)
_UNIX = ("socket",)
_WITHOUT_ARGV = ("app", "none")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

WATCHDOG_S = 30.0
"""How long servers themselves wait for a worker to start: Gunicorn and Sanic give it up after that."""
_AFTER_US_S = 10


def patience_s(startup_timeout: float) -> int:
    """How long a server is told to wait for its workers, so that it does not give up before `serve` does."""
    return math.ceil(startup_timeout) + _AFTER_US_S


@dataclass(frozen=True)
class Configuration:
    """One way to serve the app. The keys are those of configurations.toml; None is what is not known.

    A variant is made from its parent (`variant_of`) and says so in `variant`. It may have `workers` and a
    `max_requests_jitter` of its own, whatever its run asks for; `workers` that go by the CPUs of servers
    (`variants.WORKERS`) are a number once these are known (`Catalogue.on`). `output` is `variants.FILE` or
    `PIPE`. `sysctls` are those of the network that it is to be served in.
    """

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
    variant: Variant | None = None
    reload: str | None = None
    output: str = FILE
    workers: int | str | None = None
    max_requests_jitter: int | None = None
    least_workers: int | None = None
    sysctls: Mapping[str, int] = field(default_factory=dict)
    unix_argv: tuple[str, ...] = ()
    ended: str | None = None

    def serving(self, workers: Number) -> int | Number:
        """How many workers it has in a run that asks for so many: its own number, where it states one."""
        return self.workers if isinstance(self.workers, int) else workers

    @property
    def parsers(self) -> tuple[str | None, ...]:
        """The HTTP parsers of which it must report one; which one may depend on what could be installed."""
        return (None,) if self.parser is None else tuple(self.parser.split(" or "))

    @property
    def takes_workers(self) -> bool:
        """Whether its command says how many workers there are."""
        return any("{workers}" in word for word in self.argv)

    @property
    def tls(self) -> bool:
        """Whether it speaks TLS: its command names a certificate."""
        return any("{certificate}" in word for word in self.argv)

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
        certificate: str = "certificate.pem",
        key: str = "key.pem",
        socket: str | None = None,
    ) -> list[str]:
        """The command that serves `app` ("module:attribute"); its first word is a program of the stack.

        It listens on the Unix socket, where one is given, and then on no port.
        An app that ends in `()` is a factory, and named as the program wants it. Where a start may take
        longer than servers wait (seconds), it is told to wait. `certificate` and `key` are files, for TLS.
        Raises `ConfigurationError` for what this server cannot do.
        """
        if workers < 1:
            raise ConfigurationError(f"{self.name}: workers must be at least 1, not {workers}")
        if self.max_workers is not None and workers > self.max_workers:
            raise ConfigurationError(f"{self.name} has at most {self.max_workers} worker(s), not {workers}")
        if socket is not None and not self.unix_argv:
            raise ConfigurationError(f"{self.name} listens on no Unix socket: its table has no unix_argv")
        self._check_recycling(recycling)
        values = {"host": host, "port": port, "workers": workers, "app": SUITES_APP, **recycling.values()}
        values.update(startup_timeout=patience_s(startup_timeout), certificate=certificate, key=key)
        values.update(socket=socket or "")
        argv = self.argv if socket is None else self._argv_on_socket
        argv += () if recycling == NEVER else self.recycle_argv
        argv += self.startup_argv if startup_timeout > WATCHDOG_S else ()
        return named([PLACEHOLDER.sub(lambda match: str(values[match[1]]), word) for word in argv], app)

    def explains(self, command: Sequence[str]) -> bool:
        """Whether a recorded command is one of this configuration, whatever its values."""
        recorded = [Path(command[0]).name, *command[1:]]
        with_app = [word for word in recorded if word != FACTORY_FLAG.get(recorded[0])]
        return any(
            len(argv) == len(with_app) and all(map(_fills, with_app, argv))
            for begin in [self.argv, *([self._argv_on_socket] if self.unix_argv else [])]
            for recycled in ((), self.recycle_argv)
            for patient in ((), self.startup_argv)
            for argv in [begin + recycled + patient]
        )

    @property
    def _argv_on_socket(self) -> tuple[str, ...]:
        """`unix_argv` in place of the options that name host or port."""
        kept: list[str] = []
        for word in self.argv:
            if not {"host", "port"} & set(PLACEHOLDER.findall(word)):
                kept.append(word)
            elif not word.startswith("-"):
                kept.pop()  # the option that it is the value of
        return (*kept, *self.unix_argv)

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
    """All configurations and stacks by name, in the order of the file; variants, and their stacks, come last.

    `changes` are what variants change, by their names; `files` the files it was read from, where they are not
    the suite's own.
    """

    configurations: dict[str, Configuration]
    stacks: dict[str, Stack]
    changes: Mapping[str, Changes] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def declared(self) -> dict[str, Configuration]:
        """The configurations that have a table of their own: all but the variants."""
        return {name: entry for name, entry in self.configurations.items() if entry.variant is None}

    @property
    def pinned(self) -> dict[str, Stack]:
        """The stacks that have a table of their own: all but those that variants need."""
        return {name: stack for name, stack in self.stacks.items() if stack.of is None}

    def variants(self, of: str) -> dict[str, Configuration]:
        """The variants of a configuration."""
        every = self.configurations.items()
        return {name: entry for name, entry in every if entry.variant is not None and entry.variant.of == of}

    def defaults(self, of: str) -> list[str]:
        """The names of the variants of a configuration that are the server's plain default."""
        return [name for name, entry in self.variants(of).items() if entry.variant and entry.variant.default]

    def on(self, cpus: int) -> Catalogue:
        """The catalogue where servers have so many CPUs, by which numbers of workers may go."""
        known = {name: _on(entry, cpus) for name, entry in self.configurations.items()}
        return replace(self, configurations=known)

    def get(self, name: str) -> Configuration:
        """The configuration of that name; raises `ConfigurationError` with the nearest valid name."""
        if name not in self.configurations:
            raise ConfigurationError(f"there is no configuration {name!r}{hint(name, self.configurations)}")
        return self.configurations[name]


def _on(entry: Configuration, cpus: int) -> Configuration:
    """A configuration with the number of workers that it has where servers have so many CPUs."""
    if entry.variant is None or not isinstance(entry.workers, str):
        return entry
    each, more = WORKERS[entry.workers]
    workers = each * cpus + more
    change = f"{entry.variant.change} = {workers} on {cpus} CPU{'s' * (cpus != 1)}"
    return replace(entry, workers=workers, variant=replace(entry.variant, change=change))


def _fills(word: str, template: str) -> bool:
    """Whether a word is a template with something in its placeholders."""
    pattern = ".*".join(re.escape(part) for part in re.split(r"\{.*?\}", template))
    return re.fullmatch(pattern, word) is not None


def load(path: Path = CONFIGURATIONS, only: str | None = None) -> Catalogue:
    """Read a catalogue; raises `ConfigurationError` naming the file, the table and the key.

    A file that has variants alone adds them to the catalogue that it names by `over`, else to the suite's.
    Where `only` one configuration is asked for and has a table of its own in the file, variants, which take
    most of the time, are not read.
    """
    return _load(path, (), only)


def _load(path: Path, above: tuple[Path, ...], only: str | None = None) -> Catalogue:
    """Read a catalogue which the files `above` add variants to."""
    file = open_table(path)
    tables = file.tables("variant", required=False)
    if tables and not {"stack", "configuration"} & set(file.rest):
        over = file.text("over", required=False)
        file.finish()
        below = CONFIGURATIONS if over is None else (path.parent / over).resolve()
        if below in (path.resolve(), *above):
            raise file.error("over", f"{below} is read already")
        catalogue = _load(below, (path.resolve(), *above))
        catalogue = replace(catalogue, files=(*catalogue.files, path))
    else:
        catalogue = _declared(file, path)
        if only in catalogue.configurations:
            return catalogue
    for name, table in tables.items():
        catalogue = _with_variant(catalogue, name, table)
    if not _is_suites(path):
        return catalogue
    further = open_table(VARIANTS)
    for name, table in further.tables("variant").items():
        catalogue = _with_variant(catalogue, name, table)
    further.finish()
    return catalogue


def _is_suites(path: Path) -> bool:
    return path.resolve() == CONFIGURATIONS.resolve()


def _declared(file: Table, path: Path) -> Catalogue:
    """The configurations and stacks of a file, without variants."""
    stack_tables, configuration_tables = file.tables("stack"), file.tables("configuration")
    file.finish()
    stacks = {name: stack_of(name, table, path.parent) for name, table in stack_tables.items()}
    configurations = {
        name: _configuration(name, table, stacks) for name, table in configuration_tables.items()
    }
    for name, table in configuration_tables.items():
        _check_variant(configurations[name], configurations, table)
    requirements = (file for each in stacks.values() for file in each.requirement_files)
    files = () if _is_suites(path) else (path, *requirements)
    return Catalogue(configurations, stacks, files=files)


def _configuration(name: str, table: Table, stacks: Iterable[str]) -> Configuration:
    configuration = Configuration(
        name=name,
        summary=table.text("summary"),
        stack=table.choice("stack", stacks),
        argv=table.command("argv", _START),
        recycle=table.choice("recycle", RECYCLING),
        recycle_argv=table.command("recycle_argv", _RECYCLE, required=False),
        environment=table.texts("environment"),
        loop=table.text("loop"),
        parser=table.text("parser"),
        keep_alive_s=table.number("keep_alive_s", (int, float)),
        backlog=table.number("backlog"),
        max_workers=table.number("max_workers", required=False),
        variant_of=table.text("variant_of", required=False),
        startup_argv=table.command("startup_argv", _PATIENCE, required=False),
        reload=table.choice("reload", RELOADS, required=False),
        unix_argv=table.command("unix_argv", _UNIX, required=False),
        ended=table.text("ended", required=False),
    )
    table.finish()
    if (configuration.recycle in _WITHOUT_ARGV) != (not configuration.recycle_argv):
        raise table.error("recycle_argv", f"does not fit recycle = {configuration.recycle!r}")
    return configuration


def _check_variant(
    configuration: Configuration, configurations: Mapping[str, Configuration], table: Table
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


def _with_variant(catalogue: Catalogue, name: str, table: Table) -> Catalogue:
    """The catalogue with a variant, and the stack that it needs, at their ends."""
    if not _FOLDER.fullmatch(name):
        raise ConfigurationError(f'{table.where}: becomes the name of a folder: use letters, digits and "-"')
    said, changes = variants.read(table, _START)
    parent = _parent(catalogue, name, said["of"], table)
    if name in catalogue.configurations:
        also = "variant" if name in catalogue.changes else "configuration"
        raise ConfigurationError(f"{table.where}: there is a {also} of this name already: choose another")
    _check_run(parent, changes, table)
    stack = changed_stack(catalogue.stacks[parent.stack], changes, table)
    changed = replace(
        parent,
        name=name,
        summary=f"{parent.name}, {said['varies']}: {changes.words}.",
        stack=stack.name,
        argv=changes.argv(parent.argv, table),
        environment={**parent.environment, **changes.environment},
        variant_of=parent.name,
        variant=Variant(change=changes.words, **said),
        **changes.facts,
    )
    same = all(getattr(changed, key) == getattr(parent, key) for key in ("argv", "environment", "stack"))
    if same and not changes.of_run:
        keys = "drop, replace, add, environment, packages, without, python, output, workers, "
        keys += "max_requests_jitter or sysctls"
        raise ConfigurationError(f"{table.where}: changes nothing of {parent.name!r}: give {keys}")
    return replace(
        catalogue,
        configurations={**catalogue.configurations, name: changed},
        stacks={**catalogue.stacks, stack.name: stack},
        changes={**catalogue.changes, name: changes},
    )


def _parent(catalogue: Catalogue, name: str, of: str, table: Table) -> Configuration:
    """The configuration that a variant is one of."""
    if of == name:
        raise table.error("of", "names the variant itself")
    table.check_known("of", of, catalogue.configurations)
    parent = catalogue.configurations[of]
    if parent.variant_of is not None:
        raise table.error("of", f"{of!r} is a variant itself: name {parent.variant_of!r} instead")
    return parent


def _check_run(parent: Configuration, changes: Changes, table: Table) -> None:
    """Raise where a parent cannot be run as a variant of it is to be."""
    if "workers" in changes.facts and (parent.max_workers is not None or not parent.takes_workers):
        raise table.error("workers", f"{parent.name!r} has one worker, whatever it is told")
    if "max_requests_jitter" in changes.facts and not parent.takes_jitter:
        raise table.error("max_requests_jitter", f"{parent.name!r} cannot spread its restarts")
