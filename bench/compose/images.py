"""The images of the stacks and of the suite, built where they are missing or of other sources than here."""

import json
import re
import subprocess
from collections import deque
from pathlib import Path
from typing import Any, NamedTuple

from bench import host
from bench.compose import identity, sources
from bench.compose.containers import PYTHON, own_cpus
from bench.compose.engine import ClientError, Engine
from bench.errors import UserError
from bench.processes import kill_tree, spawn
from bench.stacks import FACTS, Environment, Say, UnavailableError, requirements_hash
from targets.configurations import Stack
from targets.configurations import load as load_catalogue

SUITE = "suite"
SOURCES_LABEL = "whichworker.sources"

# What both builders print when a step begins, and when it is the one that fetches the base image.
_STEP = re.compile(r"Step \d+/\d+ : |#\d+ \[.+\] ")
_BASE = re.compile(r"Step \d+/\d+ : FROM |#\d+ \[internal\] load metadata for ")
_SHOWN_COLUMNS = 96
_LAST_LINES = 12


class _BuildError(Exception):
    """An image could not be built; ``base`` if it was its base image that could not be had."""

    def __init__(self, words: str, *, base: bool) -> None:
        super().__init__(words)
        self.base = base


class _Facts(NamedTuple):
    python: str
    packages: dict[str, str]


def service(name: str) -> str:
    """The service of docker-compose.yml that bench starts for a stack, or for the suite."""
    return name if name == SUITE else f"bench-{name}"


def ensure(engine: Engine, stack: Stack, say: Say) -> Environment:
    """The environment of a stack in its image, which is built if need be (then ``say`` hears of it).

    Raises:
        UnavailableError: there is no image for such a stack, or its base image cannot be had.
        UserError: it cannot be built.
    """
    known = load_catalogue().stacks.get(stack.name)
    if known is None or requirements_hash(known.requirements) != requirements_hash(stack.requirements):
        raise UnavailableError(
            f'docker-compose.yml has no image for this stack "{stack.name}"',
            "serve it by local processes: LAUNCHER=processes",
        )
    try:
        facts = _facts(engine, stack.name, say)
    except _BuildError as error:
        if error.base:
            raise UnavailableError(
                f'no base image for the stack "{stack.name}": {error}', _other_base(stack.name)
            ) from error
        raise _not_built(stack.name, error) from error
    return Environment(Path(PYTHON), facts.python, facts.packages)


def suite(engine: Engine, say: Say) -> dict[str, Any]:
    """The ``suite`` object of ``run.json``, of the suite's image; builds it if need be.

    Raises:
        UserError: it cannot be built.
    """
    try:
        facts = _facts(engine, SUITE, say)
    except _BuildError as error:
        if error.base:
            raise UserError(f"no base image for the suite: {error}\n{_other_base(SUITE)}") from error
        raise _not_built(SUITE, error) from error
    installed = {_plain(name): version for name, version in facts.packages.items()}
    return {
        "python": facts.python,
        "packages": {name: installed[_plain(name)] for name in host.suite_packages()},
    }


def _facts(engine: Engine, name: str, say: Say) -> _Facts:
    """What is installed in an image of the sources that there are now."""
    image = f"whichworker-{name}:{sources.setting('WHICHWORKER_TAG') or 'latest'}"
    variable = _variable(name)
    told = {key: sources.setting(f"WHICHWORKER_{key}_{variable}") for key in ("BASE", "PYTHON")}
    wanted = sources.digest(SUITE if name == SUITE else "stack", told | {"STACK": name})
    made_from = _made_from(engine, image)
    if made_from != wanted:
        why = "it was made from other sources" if made_from else "it is not there yet"
        say(f"building the image {image}: {why} …")
        _build(engine, name, wanted, say)
        if _made_from(engine, image) != wanted:
            raise UserError(
                f"{image} was built, but its label {SOURCES_LABEL} is not that of the sources here"
            )
    printed = engine.docker(
        "run",
        "--rm",
        "--network=none",
        *("--label", f"{identity.CHECKOUT_LABEL}={identity.checkout()}"),
        *("--label", f"{identity.BENCH_LABEL}={identity.bench()}"),
        *("--entrypoint", PYTHON, image, "-c", FACTS),
    )
    return _Facts(**json.loads(printed))


def _made_from(engine: Engine, image: str) -> str | None:
    """The label of an image that says what it was made from; ``None`` without such an image."""
    shown = f'{{{{index .Config.Labels "{SOURCES_LABEL}"}}}}'
    try:
        return engine.docker("image", "inspect", "--format", shown, image)
    except ClientError as error:
        if "no such image" in str(error).lower():
            return None
        raise


def _build(engine: Engine, name: str, wanted: str, say: Say) -> None:
    """Build an image; ``say`` hears of each step. Raises ``_BuildError``."""
    client = spawn(
        engine.compose(identity.project(), "build", service(name)),
        own_cpus(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        environment={"WHICHWORKER_SOURCES": wanted, "BUILDKIT_PROGRESS": "plain"},
    )
    step, last = "", deque[str](maxlen=_LAST_LINES)
    with client:
        assert client.stdout is not None
        try:
            for line in client.stdout:
                text = line.decode(errors="replace").rstrip()
                if text:
                    last.append(text)
                if _STEP.match(text):
                    step = text
                    say(f"  {text[:_SHOWN_COLUMNS]}")
        except BaseException:
            kill_tree(client)
            raise
    if client.returncode != 0:
        base = bool(_BASE.match(step))
        # Docker's own words; the line that Compose adds says only that it was the build.
        said = [line for line in last if not line.endswith("failed to build : Build failed")]
        words = said[-1] if base and said else "".join(f"\n  {line}" for line in said)
        raise _BuildError(words, base=base)


def _not_built(name: str, error: _BuildError) -> UserError:
    return UserError(
        f"the image whichworker-{name} could not be built; the last lines:{error}\n"
        "docs/compose.md has what to do (certificates, wheels, base images); LAUNCHER=processes does without"
    )


def _other_base(name: str) -> str:
    return (
        f"name one that is here or can be pulled with WHICHWORKER_BASE_{_variable(name)} (docs/compose.md), "
        "or take local processes: LAUNCHER=processes"
    )


def _variable(name: str) -> str:
    """The name of a stack as the variables of docker-compose.yml have it."""
    return re.sub(r"\W", "_", name).upper()


def _plain(name: str) -> str:
    """The name of a package as all its spellings have it."""
    return re.sub(r"[-_.]+", "-", name).lower()
