"""What somebody's own app finds around it when it is served: its folder, and an environment that is stated.

An app that is measured here and in a container must meet the same variables: what somebody's shell happens to
have is not passed on, only what every program needs and what was asked for by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

PROJECT = Path(__file__).resolve().parent.parent

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

# A server heeds these, so that they would change what its configuration states; the last are our own.
RESERVED = ("UVICORN_", "GUNICORN_", "GRANIAN_", "HYPERCORN_", "WEB_CONCURRENCY", "WHICHWORKER_")


@dataclass(frozen=True)
class OwnApp:
    """Somebody's app: `MODULE:NAME` in a folder, and the names of the variables that it is to get."""

    name: str
    folder: Path
    variables: tuple[str, ...] = ()

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """What it gets of the environment that is there; Python finds its modules first and ours last.

        Nothing is to be written into its folder, so Python keeps no bytecode.
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
