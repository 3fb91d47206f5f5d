"""Packages of a user's own: an app's over those of a stack, those of locustfiles over the suite's.

A stack is installed as it is pinned, then the app's requirements: what they ask for replaces what was pinned,
and nothing else changes. ``pip check`` then says whether both work together.

The generator's own pins stay, because it measures and must be the same for everybody: packages of locustfiles
are added in an environment of their own. Only what the suite does not pin itself may give way.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bench.launch.stacks import (
    VENVS,
    Environment,
    Say,
    UnavailableError,
    failed,
    finished,
    locked,
    ready,
    requirement_files,
    requirements_hash,
    requirements_text,
)
from bench.machine import host
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT, shortened
from targets.catalogue.stack import Stack

_NAME = "requirements/suite.txt"
# Files that pip reads: what the suite pins, and at which versions the rest was tested.
PINNED, CONSTRAINTS = ROOT / _NAME, ROOT / "requirements" / "constraints.txt"
MISSING = "ModuleNotFoundError"
"""What is said of a locustfile whose package is not there."""
# Not --quiet, with which pip does not say what conflicts.
_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
# What follows a requirement on its line: a comment, an option of pip, the end of a line that goes on.
_AFTER_REQUIREMENT = re.compile(r"\s#|^#|\s--|\\$")
# What pip would build in the folder that it is in.
_LOCAL = re.compile(r"^\s*(-e\b|--editable\b|\.|/|file:|[\w.-]+(\[[^]]*\])?\s*@\s*(\.|/|file:))")


def check_app_requirements(stack: Stack) -> None:
    """Look at an app's requirements before anything is installed.

    Raises:
        UsageError: a line would have pip write into the app's folder.
        UnavailableError: they pin another version of what the stack is for.
    """
    if stack.own is None:
        return
    check_lines(stack.own, "APP_DIR is on the path of the app")
    wanted = _pins(stack.own)
    for name, version in _fixed(stack):
        if wanted.get(name, version) != version:
            raise _other(stack, name, version, wanted[name])


def check_lines(requirements: Path, instead: str) -> None:
    """Raise ``UsageError`` if pip would write into a user's folder; ``instead`` says why it need not."""
    for path in requirement_files(requirements):
        for number, line in enumerate(requirements_text(path).splitlines(), start=1):
            if _LOCAL.match(line):
                raise UsageError(
                    f"{path}, line {number}: pip would build {shortened(line)!r} where it lies, and nothing "
                    f"may be written there; leave it out: {instead}"
                )


def check_fixed(stack: Stack, environment: Environment) -> None:
    """Raise ``UnavailableError`` if what the stack is for was replaced."""
    there = installed(environment)
    for name, version in _fixed(stack):
        if there.get(name) != version:
            raise _other(stack, name, version, there.get(name, "none"))


def replaced(stack: Stack, environment: Environment) -> dict[str, tuple[str, str | None]]:
    """The packages whose pinned version (first) had to give way to the app's (second)."""
    there = installed(environment)
    left_out = {canonicalize_name(name) for name in stack.without}
    return {
        name: (version, there.get(name))
        for name, version in _pins(stack.requirements).items()
        if there.get(name) != version and name not in left_out
    }


def _fixed(stack: Stack) -> Iterator[tuple[str, str]]:
    pins = _pins(stack.requirements)
    return ((canonicalize_name(name), pins[canonicalize_name(name)]) for name in stack.fixed)


def _pins(path: Path) -> dict[str, str]:
    """The versions that a requirements file, with what it includes, names by ``==``."""
    pins: dict[str, str] = {}
    for file in requirement_files(path):
        for line in requirements_text(file).splitlines():
            try:
                requirement = Requirement(_AFTER_REQUIREMENT.split(line)[0])
            except InvalidRequirement:  # empty, an option, or what has an address instead of a version
                continue
            exact = [clause.version for clause in requirement.specifier if clause.operator == "=="]
            if exact and not exact[0].endswith("*"):
                pins[canonicalize_name(requirement.name)] = exact[0]
    return pins


def installed(environment: Environment) -> dict[str, str]:
    """The versions of an environment's packages, by their names as indices compare them (PEP 503)."""
    return {canonicalize_name(name): version for name, version in environment.packages.items()}


def _other(stack: Stack, name: str, wanted: str, instead: str) -> UnavailableError:
    return UnavailableError(
        f'the stack "{stack.name}" is that of {name} {wanted}, and the app\'s requirements bring {instead}',
        f"allow {name} {wanted} in {stack.own}, if your app runs with it",
    )


def check_locustfile_requirements(requirements: Path) -> None:
    """Look at what locustfiles need before anything is installed.

    Raises:
        UsageError: it cannot be read, or a line would have pip write into a user's folder.
    """
    check_lines(requirements, "what lies beside a locustfile is on its path")


def ensure_generator(requirements: Path, say: Say, venvs: Path = VENVS, pinned: Path = PINNED) -> Environment:
    """The environment of the suite and of a requirements file, made if need be (then ``say`` hears of it).

    Raises:
        UsageError: as ``check_locustfile_requirements``.
        UserError: the two cannot be had together, or not at all; says why in pip's words.
    """
    check_locustfile_requirements(requirements)
    wanted = " ".join(requirements_hash(path) for path in (pinned, CONSTRAINTS, requirements))
    wanted = hashlib.sha256(f"{wanted} {sys.version}".encode()).hexdigest()
    with locked(venvs, f"suite-own-{wanted[:12]}") as folder:
        return ready(folder, wanted) or _create(folder, wanted, requirements, pinned, say)


def _create(folder: Path, wanted: str, requirements: Path, pinned: Path, say: Say) -> Environment:
    both = ["--requirement", str(pinned), "--requirement", str(requirements)]
    # Here all that is pinned is installed: this takes seconds, and tells before the minute of the rest.
    if last := failed([sys.executable, "-m", "pip", "install", "--dry-run", *_OPTIONS, *both]):
        raise generator_conflict(requirements, last)
    say(f"installing the suite with {requirements} into {folder.name} (once) …")
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    tested = ["--requirement", str(pinned), "--constraint", str(CONSTRAINTS)]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(folder)],
        [*pip, "install", *_OPTIONS, *tested],
        [*pip, "install", *_OPTIONS, *both],
        [*pip, "check", "--disable-pip-version-check"],
    ):
        if last := failed(command):
            shutil.rmtree(folder, ignore_errors=True)  # its content will not be wanted again
            raise generator_conflict(requirements, last)
    # As in the suite's own (Makefile): its `locust` finds swarm from any folder.
    (next(folder.glob("lib/python*/site-packages")) / "swarm").symlink_to(ROOT / "swarm")
    try:
        return finished(folder, wanted)
    except UnavailableError as error:
        raise UserError(f"{error.reason}\n{error.remedy}") from error


def generator_conflict(requirements: Path, said: str) -> UserError:
    """That the packages of locustfiles cannot be had with the suite; ``said`` are pip's last lines."""
    return UserError(
        f"{requirements} cannot be installed with the load generator, whose versions stay; pip says:\n"
        f"{said.strip(chr(10))}\n"
        f"change {requirements}: allow the versions of {_NAME}, or leave out those packages"
    )


def may_import(requirements: Path | None, why: str) -> str:
    """What locustfiles may import, and how to have more; ``why`` is why one could not be loaded."""
    has = _NAME if requirements is None else f"{_NAME} and {requirements}"
    text = f"Locustfiles may import what lies beside them and the packages of {has}"
    if MISSING not in why:
        return text
    if requirements is None:
        return (
            f"{text}. To have others: SCENARIO_REQUIREMENTS=FILE, which names them for pip (docs/own-app.md)"
        )
    return f"{text}, where what is missing is to be named (SCENARIO_REQUIREMENTS=)"


def versions(environment: Environment, *, pinned_only: bool = False) -> dict[str, Any]:
    """The ``suite`` of ``run.json``: all that is in an environment, or only what is pinned.

    The names of pinned packages are as the suite spells them.
    """
    spelled = {canonicalize_name(name): name for name in host.suite_packages()}
    packages = {
        spelled.get(canonicalize_name(name), name): version
        for name, version in environment.packages.items()
        if not pinned_only or canonicalize_name(name) in spelled
    }
    return {"python": environment.version, "packages": dict(sorted(packages.items()))}
