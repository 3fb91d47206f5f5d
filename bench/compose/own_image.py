"""The image of a stack with the requirements of somebody's own app over it: one for each content."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from bench.compose import building
from bench.compose.engine import Engine
from bench.processes import ROOT
from bench.stacks import Say, not_both, requirement_files
from targets.configurations import Stack

_DOCKERFILE = ROOT / "targets" / "own.Dockerfile"
_INSTALL = ROOT / "targets" / "install.sh"
# What install.sh heeds of the checkout.
_HEEDED = ("wheels", "certificates")


def ensure(engine: Engine, stack: Stack, base: str, base_sources: str, say: Say) -> str:
    """The tag of the image, which is built over the image ``base`` if need be (then ``say`` hears of it).

    ``base_sources`` is the label of what that was made from.

    Raises:
        UnavailableError: the requirements cannot be installed in a stack that is for a certain version.
        UserError: they cannot be installed.
    """
    assert stack.own is not None
    tag = f"own-{_digest(stack.own, base_sources)[:12]}"
    image = f"{base.partition(':')[0]}:{tag}"
    if building.made_from(engine, image) == base_sources:
        return tag
    say(f"building the image {image}: {base} and {stack.own} …")
    with tempfile.TemporaryDirectory(prefix="whichworker-image-") as folder:
        told = {"BASE": base, "REQUIREMENTS": _fill(Path(folder), stack.own), "SOURCES": base_sources}
        words = [word for name, value in told.items() for word in ("--build-arg", f"{name}={value}")]
        command = ["docker", "build", "--tag", image, *words, folder]
        try:
            building.build(command, {}, say)
        except building.BuildError as error:
            raise not_both(stack, str(error)) from error
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
