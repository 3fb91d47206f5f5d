"""The reference app after two seconds of imports, as a large one may need: what a new worker waits for."""

import time

time.sleep(2)

from targets.app import app  # noqa: E402 - after the wait, which is the point

__all__ = ["app"]
