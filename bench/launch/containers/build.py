"""How images are built, and what decides whether one must be: the files that targets/Dockerfile copies."""

import hashlib
import os
import re
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.launch.containers.containers import own_cpus
from bench.launch.containers.engine import ClientError, Engine
from bench.launch.stacks import Say
from bench.machine.processes import kill_tree, spawn
from bench.model.files import ROOT

DOCKERFILE = Path("targets", "Dockerfile")
SOURCES_LABEL = "whichworker.sources"

# What both builders print when a step begins, and when it is the one that fetches the base image.
_STEP = re.compile(r"Step \d+/\d+ : |#\d+ \[.+\] ")
_BASE = re.compile(r"Step \d+/\d+ : FROM |#\d+ \[internal\] load metadata for ")
_SHOWN_COLUMNS = 96
_LAST_LINES = 12


class BuildError(Exception):
    """An image could not be built; ``base`` if it was its base image that could not be had."""

    def __init__(self, words: str, *, base: bool) -> None:
        super().__init__(words)
        self.base = base


def made_from(engine: Engine, image: str) -> str | None:
    """The label of an image that says what it was made from; ``None`` without such an image."""
    shown = f'{{{{index .Config.Labels "{SOURCES_LABEL}"}}}}'
    try:
        return engine.docker("image", "inspect", "--format", shown, image)
    except ClientError as error:
        if "no such image" in str(error).lower():
            return None
        raise


def build(command: Sequence[str], environment: Mapping[str, str], say: Say) -> None:
    """Run a command that builds an image; ``say`` hears of each step. Raises ``BuildError``."""
    client = spawn(
        command,
        own_cpus(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        environment={**environment, "BUILDKIT_PROGRESS": "plain"},
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
        raise BuildError(words, base=base)


@dataclass
class _Stage:
    """A stage of a Dockerfile: what it copies from the context, and the stages it is made from."""

    copies: list[str] = field(default_factory=list)
    needs: list[str] = field(default_factory=list)


def sources_digest(target: str, settings: Mapping[str, str], root: Path = ROOT) -> str:
    """A hash of all that decides what the image of a target contains; ``settings`` are those of the build."""
    text = (root / DOCKERFILE).read_text(encoding="utf-8")
    found = hashlib.sha256(f"{target}\0{sorted(settings.items())}\0{text}\0".encode())
    for path in copied_files(target, root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(root)}\0{content}\0".encode())
    return found.hexdigest()


def copied_files(target: str, root: Path = ROOT) -> list[Path]:
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


def compose_setting(name: str, root: Path = ROOT) -> str:
    """A variable of docker-compose.yml as Compose sees it: of the environment, else of .env; else empty."""
    if name in os.environ:
        return os.environ[name]
    try:
        lines = (root / ".env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ""
    pairs = (line.partition("=") for line in lines)
    return next((value.strip().strip("\"'") for key, _, value in pairs if key.strip() == name), "")


def compose_value(name: str, root: Path = ROOT) -> str:
    """The same, or else the default that the variable has there."""
    text = (root / "docker-compose.yml").read_text(encoding="utf-8")
    default = re.search(rf"\$\{{{name}:-(.*?)\}}", text)
    assert default is not None, f"docker-compose.yml has no {name}"
    return compose_setting(name, root) or default[1]


def _stages(text: str) -> dict[str, _Stage]:
    stages: dict[str, _Stage] = {}
    current = _Stage()
    for word, *rest in _instructions(text):
        if word == "FROM":
            base, name = rest[0], rest[2] if len(rest) == 3 else str(len(stages))
            current = stages[name] = _Stage(needs=[base])
        elif word in ("COPY", "ADD"):
            options = [word for word in rest if word.startswith("--")]
            origin = [option.removeprefix("--from=") for option in options if option.startswith("--from=")]
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
