"""The images of the stacks and of the suite, built where they are missing or of other sources than here."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from bench import host
from bench.compose import identity, own_image, sources
from bench.compose.building import SOURCES_LABEL, BuildError, build, made_from
from bench.compose.containers import PYTHON
from bench.compose.engine import Engine
from bench.errors import UserError
from bench.stacks import FACTS, Environment, Say, UnavailableError, requirements_hash
from targets.configurations import Stack
from targets.configurations import load as load_catalogue

SUITE = "suite"


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
    except BuildError as error:
        if error.base:
            raise UnavailableError(
                f'no base image for the stack "{stack.name}": {error}', _other_base(stack.name)
            ) from error
        raise _not_built(stack.name, error) from error
    if stack.own is None:
        return Environment(Path(PYTHON), facts.python, facts.packages)
    base = _image(stack.name)
    tag = own_image.ensure(engine, stack, base, made_from(engine, base) or "", say)
    facts = _look_into(engine, f"whichworker-{stack.name}:{tag}")
    return Environment(Path(PYTHON), facts.python, facts.packages, tag)


def suite(engine: Engine, say: Say) -> dict[str, Any]:
    """The ``suite`` object of ``run.json``, of the suite's image; builds it if need be.

    Raises:
        UserError: it cannot be built.
    """
    try:
        facts = _facts(engine, SUITE, say)
    except BuildError as error:
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
    image = _image(name)
    variable = _variable(name)
    told = {key: sources.setting(f"WHICHWORKER_{key}_{variable}") for key in ("BASE", "PYTHON")}
    wanted = sources.digest(SUITE if name == SUITE else "stack", told | {"STACK": name})
    had = made_from(engine, image)
    if had != wanted:
        why = "it was made from other sources" if had else "it is not there yet"
        say(f"building the image {image}: {why} …")
        command = engine.compose(identity.project(), "build", service(name))
        build(command, {"WHICHWORKER_SOURCES": wanted}, say)
        if made_from(engine, image) != wanted:
            raise UserError(
                f"{image} was built, but its label {SOURCES_LABEL} is not that of the sources here"
            )
    return _look_into(engine, image)


def _image(name: str) -> str:
    return f"whichworker-{name}:{sources.setting('WHICHWORKER_TAG') or 'latest'}"


def _look_into(engine: Engine, image: str) -> _Facts:
    """What is installed in an image."""
    printed = engine.docker(
        "run",
        "--rm",
        "--network=none",
        *("--label", f"{identity.CHECKOUT_LABEL}={identity.checkout()}"),
        *("--label", f"{identity.BENCH_LABEL}={identity.bench()}"),
        *("--entrypoint", PYTHON, image, "-c", FACTS),
    )
    return _Facts(**json.loads(printed))


def _not_built(name: str, error: BuildError) -> UserError:
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
