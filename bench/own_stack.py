"""A stack with the requirements of somebody's own app over its own: whose versions hold, and what cannot be.

The stack is installed as it is pinned, then the app's requirements: what they ask for takes the place of what
was pinned, and nothing else changes. ``pip check`` then says whether both get on.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from bench.errors import UsageError
from bench.stacks import Environment, UnavailableError, requirement_files
from targets.configurations import Stack

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*==\s*([^\s;#,*]+)", re.MULTILINE)
# What pip would build in the folder that it is in.
_LOCAL = re.compile(r"^\s*(-e\b|--editable\b|\.|/|file:|[\w.-]+(\[[^]]*\])?\s*@\s*(\.|/|file:))")


def check_before(stack: Stack) -> None:
    """Look at an app's requirements before anything is installed.

    Raises:
        UsageError: a line would have pip write into the app's folder.
        UnavailableError: they pin another version of what the stack is for.
    """
    if stack.own is None:
        return
    for path in requirement_files(stack.own):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if _LOCAL.match(line):
                raise UsageError(
                    f"{path}, line {number}: pip would build {line.strip()!r} where it lies, and nothing may "
                    "be written there; leave it out: APP_DIR is on the path of the app"
                )
    wanted = _pins(stack.own)
    for name, version in _fixed(stack):
        if wanted.get(name, version) != version:
            raise _other(stack, name, version, wanted[name])


def check_after(stack: Stack, environment: Environment) -> None:
    """Raise ``UnavailableError`` if what the stack is for was replaced."""
    installed = _installed(environment)
    for name, version in _fixed(stack):
        if installed.get(name) != version:
            raise _other(stack, name, version, installed.get(name, "none"))


def replaced(stack: Stack, environment: Environment) -> dict[str, tuple[str, str | None]]:
    """The packages whose pinned version (first) had to give way to the app's (second)."""
    installed = _installed(environment)
    return {
        name: (version, installed.get(name))
        for name, version in _pins(stack.requirements).items()
        if installed.get(name) != version
    }


def _fixed(stack: Stack) -> Iterator[tuple[str, str]]:
    pins = _pins(stack.requirements)
    return ((plain(name), pins[plain(name)]) for name in stack.fixed)


def _pins(path: Path) -> dict[str, str]:
    """The versions that a requirements file, with what it includes, names by ``==``."""
    texts = (each.read_text(encoding="utf-8") for each in requirement_files(path))
    return {plain(name): version for text in texts for name, version in _PIN.findall(text)}


def _installed(environment: Environment) -> dict[str, str]:
    return {plain(name): version for name, version in environment.packages.items()}


def plain(name: str) -> str:
    """The name of a package as all its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _other(stack: Stack, name: str, wanted: str, instead: str) -> UnavailableError:
    return UnavailableError(
        f'the stack "{stack.name}" is that of {name} {wanted}, and the app\'s requirements bring {instead}',
        f"allow {name} {wanted} in {stack.own}, if your app runs with it",
    )
