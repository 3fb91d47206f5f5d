"""Variants: configurations with something changed, as the tables `[variant.NAME]` of a catalogue state them.

It runs inside every stack's environment: standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from targets.catalogue.tables import PLACEHOLDER, ConfigurationError, Table, hint, toml

SAYS = ("better", "no difference", "worse")
"""What people may say of a variant beside its parent."""
REPLACED = ("losses", "start", "stall", "overlap", "replacing")
"""What shows where workers are replaced: requests lost, how soon the next is ready, for how long nothing is
answered, how often several are replaced at once, and the CPU time that all of that takes."""
SYSCTLS = ("net.ipv4.tcp_migrate_req",)
"""What a variant may set of the network: what a server asks of the kernel for itself."""
CONNECTIONS = ("pauses", "bursts", "overload")
"""What connections show: kept ones that pause, many new ones at once, more than are taken."""
EXPECTATIONS = ("throughput", "cpu", "tail", "memory", *REPLACED, *CONNECTIONS)
"""What a setting may be expected to change."""
WORKERS = {"cpus": (1, 0), "2*cpus+1": (2, 1)}
"""Numbers of workers that go by the CPUs of servers: so many for each CPU, and so many more."""
_USUAL = ("throughput", "cpu")

_PYTHON = re.compile(r"3\.\d+")
_PROJECT = re.compile(r"\s*([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)")
_INCLUDES = re.compile(r"\s*(-r|--requirement)\b")
# What a variant may change of what its parent states of itself.
_TEXTS = ("loop", "parser")
FILE, PIPE = "file", "pipe"
"""Where a server's output may go: into its log at once, or to serve, which writes it there."""
# What it may change of how the server is run, beside its command.
_RUN = ("max_requests_jitter", "workers", "output", "sysctls")


@dataclass(frozen=True)
class Variant:
    """What a variant is a variant of, and why one would want to know what it is worth.

    `varies` is the setting, in the same words for the same setting of different servers; `change` is what
    changes, in words. `claim` is what people say of it, `source` where, and `says` (one of `SAYS`) what that
    comes to: how the variant is beside its parent. All three are empty where nobody says anything.
    `expects` are some of `EXPECTATIONS`. `default`: it is what the server does with no flags but where, what
    and how many, and so no setting to choose.
    """

    of: str
    varies: str
    change: str
    claim: str
    source: str
    expects: tuple[str, ...]
    says: str = ""
    default: bool = False


@dataclass(frozen=True)
class Changes:
    """What a variant changes of its parent's command, environment, stack and facts; the keys of its table."""

    drop: tuple[str, ...] = ()
    replace: Mapping[str, str] = field(default_factory=dict)
    add: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    python: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_stack(self) -> bool:
        """Whether it needs another environment than its parent."""
        return bool(self.packages or self.without or self.python)

    @property
    def words(self) -> str:
        """What changes, in words: "without --no-access-log", "--loop asyncio", "Python 3.13"."""
        parts = [f"without {flag}" for flag in self.drop]
        parts += [f"{flag} {value}" for flag, value in self.replace.items()]
        parts += _flags(self.add)
        parts += [f"{name}={value}" for name, value in self.environment.items()]
        parts += [f"with {package}" for package in self.packages]
        parts += [f"without {', '.join(self.without)}"] if self.without else []
        parts += [f"Python {' or '.join(self.python)}"] if self.python else []
        parts += [f"{key} {self.facts[key]}" for key in _RUN[:-1] if key in self.facts]
        parts += [f"{name}={value}" for name, value in self.facts.get("sysctls", {}).items()]
        return ", ".join(parts)

    @property
    def of_run(self) -> bool:
        """Whether it is run otherwise than its parent by the same command."""
        return any(key in self.facts for key in _RUN)

    @property
    def suffix(self) -> str:
        """What the name of the stack that it needs has behind its parent's: fit for a folder."""
        without = ["without", *sorted(map(normalised, self.without))] if self.without else []
        python = ["python", *self.python] if self.python else []
        parts = [*sorted(self.packages), *without, *python]
        return "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in parts)

    def argv(self, argv: Sequence[str], table: Table) -> tuple[str, ...]:
        """A parent's command with the changes; raises as `table.error` where it lacks what they name."""
        words = list(argv)
        for flag in self.drop:
            start, end = _place(words, flag, "drop", table)
            del words[start:end]
        for flag, value in self.replace.items():
            start, end = _place(words, flag, f'replace."{flag}"', table)
            changed = [f"{flag}={value}"] if "=" in words[start] else [flag, value]
            if words[start:end] == changed:
                raise table.error(f'replace."{flag}"', f"is {value!r} already")
            if end - start == 1 and "=" not in words[start]:
                raise table.error(f'replace."{flag}"', "has no value there: name it in `drop` and `add`")
            words[start:end] = changed
        for word in self.add:
            if word.startswith("-") and any(_is(each, word.partition("=")[0]) for each in words):
                raise table.error("add", f"{word!r} is there already: change it with `replace`")
        return (*words, *self.add)


def read(table: Table, placeholders: tuple[str, ...]) -> tuple[dict[str, Any], Changes]:
    """What a table says beside its changes (the fields of `Variant` but `change`), and the changes.

    `placeholders` may stand in words that are added. Raises `ConfigurationError`.
    """
    said = {"of": table.text("of"), "varies": table.text("varies")}
    said.update({key: table.text(key, required=False) or "" for key in ("claim", "source")})
    said["says"] = _says(table, said["claim"])
    said["default"] = table.flag("default")
    expects = table.words("expects", required=False) or _USUAL
    for each in expects:
        table.check_known("expects", each, EXPECTATIONS)
    if said["source"] and not said["source"].startswith(("http://", "https://")):
        raise table.error("source", f"must be the address of a page, not {said['source']!r}")
    facts = {key: table.text(key, required=False) for key in _TEXTS}
    facts["keep_alive_s"] = table.number("keep_alive_s", (int, float), required=False)
    facts["backlog"] = table.number("backlog", required=False)
    facts["output"] = table.text("output", required=False)
    facts["max_requests_jitter"] = table.take("max_requests_jitter", int, "a number", required=False)
    facts["least_workers"] = table.number("least_workers", required=False)
    facts["workers"] = _workers(table, expects)
    facts["sysctls"] = _sysctls(table, expects)
    changes = Changes(
        drop=table.words("drop", required=False),
        replace=table.texts("replace"),
        add=table.command("add", placeholders, required=False),
        environment=table.texts("environment"),
        packages=table.words("packages", required=False),
        without=table.words("without", required=False),
        python=table.words("python", required=False),
        facts={key: value for key, value in facts.items() if value is not None},
    )
    table.finish()
    table.check_known("output", facts["output"] or FILE, (FILE, PIPE))
    if (facts["max_requests_jitter"] or 0) < 0:
        raise table.error("max_requests_jitter", f"is negative: {facts['max_requests_jitter']}")
    for version in changes.python:
        if not _PYTHON.fullmatch(version):
            raise table.error("python", f'must be versions such as "3.13", not {version!r}')
    return {**said, "expects": expects}, changes


def _workers(table: Table, expects: Sequence[str]) -> Any:
    """The number of workers that a variant has whatever its run asks for; None where it says nothing."""
    workers = table.take("workers", (int, str), "a number or a text", required=False)
    if workers is None:
        return None
    if isinstance(workers, str):
        table.check_known("workers", workers, WORKERS)
    elif workers < 1:
        raise table.error("workers", f"must be at least 1, not {workers!r}")
    if any(each in REPLACED for each in expects):
        raise table.error("workers", f"cannot be expected to change {_any(REPLACED)}: none is replaced there")
    return workers


def _sysctls(table: Table, expects: Sequence[str]) -> dict[str, int] | None:
    """What a variant sets of the network, which only one that is served alone can; None where it does not."""
    values: dict[str, Any] | None = table.take("sysctls", dict, "a table of numbers", required=False)
    if values is None:
        return None
    for name, value in values.items():
        table.check_known("sysctls", name, SYSCTLS)
        if not isinstance(value, int) or isinstance(value, bool):
            raise table.error(f"sysctls.{name}", f"must be a number, not {value!r}")
    for each in expects:
        if each not in REPLACED:
            raise table.error(
                "sysctls", f"may be expected to change {_any(REPLACED)}: other servers share the network"
            )
    return values


def _says(table: Table, claim: str) -> str:
    """What a claim comes to; empty without one."""
    says = table.text("says", required=False) or ""
    if says:
        table.check_known("says", says, SAYS)
    if bool(says) != bool(claim):
        problem = (
            "goes with a `claim`" if says else f"is missing: does the claim call the variant {_any(SAYS)}?"
        )
        raise table.error("says", problem)
    return says


def _any(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def check_without(names: Iterable[str], requirements: Sequence[Path], table: Table) -> None:
    """Raise where a package that is to be left out is not named by one of the requirements files.

    Those that include others are not looked into.
    """
    texts = (path.read_text(encoding="utf-8", errors="replace") for path in requirements)
    lines = [line for text in texts for line in text.splitlines()]
    if any(_INCLUDES.match(line) for line in lines):
        return
    named = [normalised(match[1]) for line in lines for match in [_PROJECT.match(line)] if match]
    for name in names:
        if normalised(name) not in named:
            raise table.error("without", f"{name!r} is not in {requirements[0].name}{hint(name, named)}")


def normalised(package: str) -> str:
    """The name of a package as indices compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def combined(parts: Sequence[Changes]) -> Changes:
    """Several changes at once. Raises `ConfigurationError` where two of them contradict each other."""
    merged: dict[str, Any] = {}
    for each in fields(Changes):
        values = [getattr(part, each.name) for part in parts]
        if each.default_factory is dict:  # the tables
            merged[each.name] = _union(each.name, values)
        elif each.name == "python":
            merged[each.name] = _only_python([value for value in values if value])
        elif each.name == "add":
            merged[each.name] = tuple(word for value in values for word in value)
        else:
            merged[each.name] = tuple(dict.fromkeys(word for value in values for word in value))
    return Changes(**merged)


@dataclass(frozen=True)
class Together:
    """Variants that go together: their names, the best first, and their changes at once.

    `left_out` says of the others why they do not go together with a better one.
    """

    parts: tuple[str, ...]
    changes: Changes
    left_out: Mapping[str, str]


def together(argv: Sequence[str], wanted: Mapping[str, Changes]) -> Together:
    """As many of the variants of a command as go together; of two that contradict each other the first."""
    parts: list[str] = []
    changes = Changes()
    left_out = {}
    for name in wanted:
        try:
            found = combined([wanted[each] for each in (*parts, name)])
            found.argv(argv, Table(name, {}))
        except ConfigurationError as why:
            left_out[name] = str(why)
        else:
            parts.append(name)
            changes = found
    return Together(tuple(parts), changes, left_out)


def written(name: str, of: str, varies: str, changes: Changes, expects: Sequence[str]) -> str:
    """The table of a variant, as a catalogue has it."""
    values: dict[str, Any] = {"of": of, "varies": varies, "expects": list(expects)}
    values.update({each.name: getattr(changes, each.name) for each in fields(Changes)})
    values.update(values.pop("facts"))
    lines = [f"{key} = {toml(value)}" for key, value in values.items() if value or value == 0]
    return "\n".join([f"[variant.{toml(name)}]", *lines]) + "\n"


def _union(key: str, tables: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for table in tables:
        for name, value in table.items():
            if found.setdefault(name, value) != value:
                raise ConfigurationError(f"{key}: {name} cannot be both {found[name]} and {value}")
    return found


def _only_python(wanted: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    if any(each != wanted[0] for each in wanted):
        raise ConfigurationError(f"python: cannot be both {wanted[0][0]} and {wanted[-1][0]}")
    return wanted[0] if wanted else ()


def _is(word: str, flag: str) -> bool:
    return word == flag or word.startswith(f"{flag}=")


def _place(words: Sequence[str], flag: str, key: str, table: Table) -> tuple[int, int]:
    """Where a flag stands in a command, its value included: what follows it and is no flag."""
    start = next((index for index, word in enumerate(words) if _is(word, flag)), None)
    if start is None:
        flags = [word.partition("=")[0] for word in words if word.startswith("-")]
        raise table.error(key, f"its parent's command has no {flag!r}{hint(flag, flags)}")
    end = start + 1
    while words[start] == flag and end < len(words) and not words[end].startswith("-"):
        end += 1
    if any(PLACEHOLDER.search(word) for word in words[start:end]):
        raise table.error(key, f"{flag!r} says where and what is served: leave it as it is")
    return start, end


def _flags(words: Sequence[str]) -> list[str]:
    """Words of a command as flags, each with its values."""
    found: list[str] = []
    for word in words:
        if word.startswith("-") or not found:
            found.append(word)
        else:
            found[-1] += f" {word}"
    return found
