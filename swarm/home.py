"""Where the users of a locustfile are at home: a folder in which they read, and which is somebody else's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]


def enter(folder: Path | None) -> None:
    """Be in a folder from now on, as `locust -f` would be there, and write no bytecode anywhere.

    Processes that are started from here find this package all the same.
    """
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    if folder is None:
        return
    os.environ["PYTHONPATH"] = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.chdir(folder)
