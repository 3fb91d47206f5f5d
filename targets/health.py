"""The health check of a container: does the server that `serve` started in it answer, as itself?

`python -m targets.health [DIR]` looks where `serve --metrics DIR` has put `server.json` and asks the server
that it describes. It ends with 0 if that one answers, else with 1 and a line that says why not.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Sequence
from urllib.parse import urlsplit

from targets.serving.readiness import NotReadyError, Place, get_whoami

METRICS = Path("/tmp/metrics")  # as the entry point of targets/Dockerfile says

# A server under load takes its time, and is not ill for it. Docker itself gives up after 5 s.
_TIMEOUT_S = 4.0


class UnhealthyError(Exception):
    """Why the server is not well; the message is for people."""


def main(arguments: Sequence[str]) -> int:
    """Check the server of the folder in `arguments`, or of the container; returns the exit status."""
    try:
        check(Path(arguments[0]) if arguments else METRICS)
    except UnhealthyError as error:
        print(error)  # noqa: T201
        return 1
    return 0


def check(metrics: Path) -> None:
    """Ask the server described in `metrics` for its name; raises `UnhealthyError` if it is not its own."""
    try:
        server = json.loads((metrics / "server.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnhealthyError("the server is not ready") from error
    address = urlsplit(server["url"])
    place = Place(str(address.hostname), address.port or 80, tls=address.scheme == "https")
    try:
        whoami = get_whoami(place, _TIMEOUT_S)
    except NotReadyError as error:
        raise UnhealthyError(str(error)) from error
    if whoami.get("configuration") != server["configuration"]:
        raise UnhealthyError(f"{server['url']} is served by {whoami.get('configuration')!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
