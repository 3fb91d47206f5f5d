"""A user's own app and what surrounds it when it is served: its folder, and a stated environment.

An app that is measured here and in a container must find the same variables. Those of the user's shell are
not passed on: only what every program needs, and what was named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

PROJECT = Path(__file__).resolve().parents[2]

_ORDINARY = {
    "HOME",
    "LANG",
    "LANGUAGE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
}

SUITES_APP, OWN_APP = "targets.app:app", "targets.own:app"
"""What stands for the app in a command that is run: the suite's, or a user's own."""
FACTORY_FLAG = {"sanic": "--factory", "uvicorn": "--factory", "granian": "--factory"}
"""Programs that take the name of a factory with a flag; the others take a call."""

# What `targets.check_app` ends with when the import of an app takes too long, and when the app serves itself.
LATE, SERVES_ITSELF = 3, 4

# A server heeds these, so that they would change what its configuration states; the last are our own.
RESERVED = ("UVICORN_", "GUNICORN_", "GRANIAN_", "HYPERCORN_", "WEB_CONCURRENCY", "WHICHWORKER_")


@dataclass(frozen=True)
class OwnApp:
    """A user's app: `MODULE:NAME` in a folder, and the names of the variables that it gets."""

    name: str
    folder: Path
    variables: tuple[str, ...] = ()

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Its part of an inherited environment; Python finds its modules first and the suite's last.

        Nothing may be written into its folder, so Python keeps no bytecode.
        """
        passed = {
            name: value
            for name, value in inherited.items()
            if name in _ORDINARY or name.startswith("LC_") or name in self.variables
        }
        path = [str(self.folder), str(PROJECT), *filter(None, [passed.get("PYTHONPATH")])]
        return {**passed, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}


def reserved(variable: str) -> bool:
    """Whether a variable is one that may not be passed on to an app."""
    return variable.startswith(RESERVED)


def named(words: Sequence[str], app: str) -> list[str]:
    """A command with the name of an app in place of what stands for one; a factory's name ends in `()`."""
    if not any(word in (SUITES_APP, OWN_APP) for word in words):
        return list(words)
    flag = FACTORY_FLAG.get(Path(words[0]).name) if app.endswith("()") else None
    name = app if flag is None else app[: -len("()")]
    said = [name if word in (SUITES_APP, OWN_APP) else word for word in words]
    return said if flag is None else [*said, flag]
