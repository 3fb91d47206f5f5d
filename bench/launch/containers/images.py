"""The images of the stacks and of the suite, built where they are missing or of other sources than here."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.launch import proxy
from bench.launch.containers import cleanup
from bench.launch.containers.build import (
    SOURCES_LABEL,
    BuildError,
    build,
    compose_setting,
    compose_value,
    made_from,
    sources_digest,
)
from bench.launch.containers.containers import PYTHON
from bench.launch.containers.engine import CLIENT_S, ClientError, Engine
from bench.launch.own import own_packages
from bench.launch.proxy import Found
from bench.launch.stacks import (
    FACTS,
    Environment,
    Say,
    UnavailableError,
    not_both,
    requirement_files,
    requirements_hash,
)
from bench.model import folders
from bench.model.errors import UserError
from bench.model.files import ROOT
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.stack import Stack

SUITE = "suite"
# How long it may take to pull a small image.
_PULL_S = 600.0
_NOTHING: Mapping[str, str] = {}

_DOCKERFILE = ROOT / "targets" / "own.Dockerfile"
_INSTALL = ROOT / "targets" / "install.sh"
# What the Dockerfile knows a file of versions that stay by.
_PINNED = "pinned.txt"
# What install.sh heeds of the checkout.
_HEEDED = ("wheels", "certificates")


def service(name: str) -> str:
    """The service of docker-compose.yml that bench starts for a stack or a proxy, or for the suite.

    What is behind a "+", of a stack that a variant needs, is no part of its name there (`Containers`).
    """
    return name if name == SUITE else f"bench-{name}"


def ensure(engine: Engine, stack: Stack, say: Say) -> Environment:
    """The environment of a stack in its image, which is built if need be (then ``say`` hears of it).

    Raises:
        UnavailableError: there is no image for such a stack, or its base image cannot be had.
        UserError: it cannot be built.
    """
    known = load_catalogue().stacks.get(stack.of or stack.name)
    if known is None or requirements_hash(known.requirements) != requirements_hash(stack.requirements):
        raise UnavailableError(
            f'docker-compose.yml has no image for this stack "{stack.name}"',
            "serve it by local processes: LAUNCHER=processes",
        )
    derived = _derived(stack, known)
    try:
        environment = _built(engine, stack.name, say, derived)
    except BuildError as error:
        if error.base:
            raise UnavailableError(
                f'no base image for the stack "{stack.name}": {error}', _other_base(stack.of or stack.name)
            ) from error
        if derived:  # a run goes on without that variant
            raise UnavailableError(
                f'the image of the stack "{stack.name}" could not be built: {error}',
                "docs/compose.md has what to do, or serve it by local processes: LAUNCHER=processes",
            ) from error
        raise _not_built(stack.name, error) from error
    if stack.own is None:
        return environment
    try:
        return _with_own(engine, stack.name, stack.own, None, say)
    except BuildError as error:
        raise not_both(stack, str(error)) from error


def find_proxy(engine: Engine, kind: str) -> Found:
    """The image of a proxy, pulled if need be.

    Raises:
        UserError: it cannot be had, or its program does not run.
    """
    image = of_proxy(kind)
    try:  # by a terminal, which takes what nginx says on stderr as well
        said = _run_in(engine, image, kind, "-v", options=["--tty"], timeout_s=_PULL_S)
    except ClientError as error:
        said = str(error)
    if (version := proxy.version_in(said)) is None:
        # Docker's own word is among lines about pulling, and where to read about `docker run`.
        lines = said.splitlines() or ["it says no version"]
        words = next((line for line in lines if line.startswith("docker: ")), lines[-1])
        raise UserError(
            f"no {kind} from the image {image}: {words}\nName one that is here or can be pulled with "
            f"WHICHWORKER_{_variable(kind)} (docs/compose.md), take that of this machine "
            "(LAUNCHER=processes), or leave out PROXY="
        )
    return Found(image, version)


def of_proxy(kind: str) -> str:
    """The image of a kind of proxy."""
    return compose_value(f"WHICHWORKER_{_variable(kind)}")


def is_here(engine: Engine, image: str) -> bool:
    """Whether this engine has an image, so that none need be pulled."""
    return made_from(engine, image) is not None


def suite(engine: Engine, say: Say, own: Path | None = None) -> Environment:
    """The environment of the load generator in the suite's image, which is built if need be.

    ``own`` is a requirements file of what locustfiles need, and makes it another image.

    Raises:
        UsageError: that file would have pip write into a folder of the user's.
        UserError: it cannot be built.
    """
    if own is not None:
        own_packages.check_locustfile_requirements(own)
    try:
        environment = _built(engine, SUITE, say)
    except BuildError as error:
        if error.base:
            raise UserError(f"no base image for the suite: {error}\n{_other_base(SUITE)}") from error
        raise _not_built(SUITE, error) from error
    if own is None:
        return environment
    try:
        return _with_own(engine, SUITE, own, own_packages.PINNED, say)
    except BuildError as error:
        raise own_packages.generator_conflict(own, str(error)) from error


def _with_own(engine: Engine, name: str, own: Path, pinned: Path | None, say: Say) -> Environment:
    """The environment of a user's requirements over an image."""
    base = _image(name)
    tag = _build_over(engine, own, base, made_from(engine, base) or "", say, pinned)
    return replace(_look_into(engine, f"{base.partition(':')[0]}:{tag}"), image=tag)


def _build_over(
    engine: Engine, own: Path, base: str, base_sources: str, say: Say, pinned: Path | None = None
) -> str:
    """The tag of the image, which is built over the image ``base`` if need be (then ``say`` hears of it).

    ``own`` are the requirements. ``base_sources`` is the label of what ``base`` was made from. ``pinned`` is
    a requirements file whose versions stay, if those of ``own`` do not go before all others.

    Raises:
        BuildError: the requirements cannot be installed; its text is the end of what pip says.
    """
    tag = f"own-{_digest(own, base_sources)[:12]}"
    image = f"{base.partition(':')[0]}:{tag}"
    if made_from(engine, image) == base_sources:
        return tag
    say(f"building the image {image}: {base} and {own} …")
    with folders.temporary("whichworker-image-") as folder:
        arguments = {"BASE": base, "REQUIREMENTS": _fill(folder, own), "SOURCES": base_sources}
        if pinned is not None:
            shutil.copy(pinned, folder / _PINNED)
        words = [word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")]
        command = ["docker", "build", "--tag", image, *words, str(folder)]
        build(command, {}, say)
    return tag


def _digest(requirements: Path, base_sources: str) -> str:
    """A hash of all that decides what such an image contains."""
    found = hashlib.sha256(base_sources.encode())
    for path in (_DOCKERFILE, _INSTALL, *requirement_files(requirements)):
        found.update(path.read_bytes() + b"\0")
    return found.hexdigest()


def _fill(folder: Path, requirements: Path) -> str:
    """Put into a folder what the build reads; returns where the requirements are among the others."""
    files = requirement_files(requirements)
    above = Path(os.path.commonpath([path.parent for path in files]))
    for path in files:
        place = folder / "requirements" / path.relative_to(above)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    shutil.copy(_DOCKERFILE, folder / "Dockerfile")
    shutil.copy(_INSTALL, folder)
    for name in _HEEDED:
        shutil.copytree(ROOT / name, folder / name)
    return str(files[0].relative_to(above))


def _derived(stack: Stack, parent: Stack) -> dict[str, str]:
    """What docker-compose.yml is told of a stack that a variant needs; nothing of its ``parent`` itself.

    Another Python than that of the parent has the official image, unless a base image is named.
    """
    if stack.of is None:
        return {}
    told = {
        "WHICHWORKER_TAG": _image(stack.name).partition(":")[2],
        "WHICHWORKER_PACKAGES": " ".join(stack.packages),
        "WHICHWORKER_WITHOUT": " ".join(stack.without),
    }
    if stack.pythons != parent.pythons:
        python, variable = stack.pythons[0], _variable(parent.name)
        base = compose_setting(f"WHICHWORKER_BASE_{variable}") or f"python:{python}-slim-bookworm"
        told |= {f"WHICHWORKER_PYTHON_{variable}": python, f"WHICHWORKER_BASE_{variable}": base}
    return told


def _built(engine: Engine, name: str, say: Say, derived: Mapping[str, str] = _NOTHING) -> Environment:
    """The environment in an image of the present sources, which is built if need be.

    ``derived`` is what docker-compose.yml is told of an image that has a tag of its own.
    """
    image, stack = _image(name), name.partition("+")[0]
    settings = {key: compose_setting(f"WHICHWORKER_{key}_{_variable(stack)}") for key in ("BASE", "PYTHON")}
    wanted = sources_digest(SUITE if name == SUITE else "stack", {**settings, "STACK": stack, **derived})
    had = made_from(engine, image)
    if had != wanted:
        why = "it was made from other sources" if had else "it is not there yet"
        say(f"building the image {image}: {why} …")
        command = engine.compose(cleanup.this_project(), "build", service(stack))
        build(command, {"WHICHWORKER_SOURCES": wanted, **derived}, say)
        if made_from(engine, image) != wanted:
            raise UserError(
                f"{image} was built, but its label {SOURCES_LABEL} is not that of the sources here"
            )
    return replace(_look_into(engine, image), image=derived.get("WHICHWORKER_TAG"))


def _image(name: str) -> str:
    """The image of a stack, or of the suite; what a variant changes of a stack is part of its tag."""
    stack, _, changes = name.partition("+")
    tag = compose_setting("WHICHWORKER_TAG") or "latest"
    return f"whichworker-{stack}:{f'{tag}-{changes}' if changes else tag}"


def _look_into(engine: Engine, image: str) -> Environment:
    """The environment in an image."""
    return Environment(Path(PYTHON), *json.loads(_run_in(engine, image, PYTHON, "-c", FACTS)))


def _run_in(
    engine: Engine,
    image: str,
    program: str,
    *arguments: str,
    options: Sequence[str] = (),
    timeout_s: float = CLIENT_S,
) -> str:
    """Run a program of an image, without a network, to its end; returns what it printed."""
    words = ["run", "--rm", "--network=none", *options, *cleanup.labels(), "--entrypoint", program, image]
    return engine.docker(*words, *arguments, timeout_s=timeout_s)


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
