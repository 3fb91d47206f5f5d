"""What goes into an image: the files that targets/Dockerfile copies, read from it, and what it is told."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import ROOT

DOCKERFILE = Path("targets", "Dockerfile")


@dataclass
class _Stage:
    """A stage of a Dockerfile: what it copies from the context, and the stages it is made from."""

    copies: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)


def digest(target: str, told: Mapping[str, str], root: Path = ROOT) -> str:
    """A hash of all that decides what the image of a target contains; ``told`` are the build's settings."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    found = hashlib.sha256(f"{target}\0{sorted(told.items())}\0{text}\0".encode())
    for path in files(target, root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(root)}\0{content}\0".encode())
    return found.hexdigest()


def files(target: str, root: Path = ROOT) -> list[Path]:
    """The files that a target's stages copy, in order; compiled Python is left out, as in .dockerignore."""
    stages = _stages((root / DOCKERFILE).read_text(encoding="utf-8"))
    waiting, done, patterns = [target], set(), set()
    while waiting:
        name = waiting.pop()
        if name in stages and name not in done:
            done.add(name)
            patterns.update(stages[name].copies)
            waiting += stages[name].needs
    copied = {path for pattern in patterns for path in root.glob(pattern.rstrip("/"))}
    every = {file for path in copied for file in (path.rglob("*") if path.is_dir() else [path])}
    return sorted(file for file in every if file.is_file() and "__pycache__" not in file.parts)


def setting(name: str, root: Path = ROOT) -> str:
    """A variable of docker-compose.yml as Compose sees it: of the environment, else of .env; else empty."""
    if name in os.environ:
        return os.environ[name]
    try:
        lines = (root / ".env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    pairs = (line.partition("=") for line in lines)
    return next((value.strip().strip("\"'") for key, _, value in pairs if key.strip() == name), "")


def _stages(text: str) -> dict[str, _Stage]:
    stages: dict[str, _Stage] = {}
    current = _Stage()
    for word, *rest in _instructions(text):
        if word == "FROM":
            base, name = rest[0], rest[2] if len(rest) == 3 else str(len(stages))
            current = stages[name] = _Stage(needs=[base])
        elif word in ("COPY", "ADD"):
            options = [each for each in rest if each.startswith("--")]
            origin = [each.removeprefix("--from=") for each in options if each.startswith("--from=")]
            if origin:
                current.needs += origin
            else:
                current.copies += rest[len(options) : -1]
    return stages


def _instructions(text: str) -> Iterator[list[str]]:
    """The instructions of a Dockerfile as words, without comments, over the ends of their lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return (line.split() for line in joined.splitlines() if line.strip())
