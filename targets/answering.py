"""Does a server answer at a URL? `python -m targets.answering URL SECONDS` ends with 0 as soon as it does.

Any answer will do but those by which a proxy says that it has none. Ends with 1, and a line on what is
missing, if there is none in time. Standard library only.
"""

from __future__ import annotations

import http.client
import ssl
import sys
import time
from typing import Sequence
from urllib.parse import urlsplit

_TIMEOUT_S = 1.0
_AGAIN_S = 0.02
# Bad gateway, service unavailable, gateway time-out.
_NONE = (502, 503, 504)


def main(arguments: Sequence[str]) -> int:
    """Ask until there is an answer or the time is over; returns the exit status."""
    url, seconds = arguments
    deadline = time.monotonic() + float(seconds)
    while (why := lacking(url)) is not None:
        if time.monotonic() > deadline:
            print(f"{url}: {why}")  # noqa: T201
            return 1
        time.sleep(_AGAIN_S)
    return 0


def lacking(url: str) -> str | None:
    """Why there is no answer at a URL; None if there is one."""
    address = urlsplit(url)
    host, port = str(address.hostname), address.port or 80
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    if address.scheme == "https":  # with any certificate: clients check it
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", "/whoami", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()
    return f"status {status}" if status in _NONE else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
