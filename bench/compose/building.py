"""How images are built: step by step for whoever looks on, and with the last words of what failed."""

import re
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence

from bench.compose.containers import own_cpus
from bench.compose.engine import ClientError, Engine
from bench.processes import kill_tree, spawn
from bench.stacks import Say

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
