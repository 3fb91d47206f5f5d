"""Which app a command serves: the suite's own, or somebody's, under the name that he knows it by."""

from collections.abc import Sequence
from pathlib import PurePath

# What stands for an app in a command as it was run (targets/app.py, targets/own.py).
SUITES, OWN = "targets.app:app", "targets.own:app"
# These take the name of a factory with a flag; the others take a call.
_FLAGGED = ("sanic", "uvicorn", "granian")


def named(words: Sequence[str], app: str) -> list[str]:
    """A command with the name of an app in place of what stands for one; that of a factory ends in `()`."""
    if not any(word in (SUITES, OWN) for word in words):
        return list(words)
    factory = app.endswith("()") and PurePath(words[0]).name in _FLAGGED
    name = app.removesuffix("()") if factory else app
    said = [name if word in (SUITES, OWN) else word for word in words]
    return [*said, "--factory"] if factory else said
