"""Locust, which has gevent patch Python while it is imported: as the suite needs it, and in less time.

gevent asks for the entry points of each of its twenty events, for which Python looks into every package that
is installed: a quarter of all that importing Locust takes. Here it looks once.
"""

import os
import sys
from importlib import metadata

if "locust" not in sys.modules:
    # A program of the suite's own: its Locust is as the suite needs it, whatever these say.
    for name in ("LOCUST_SKIP_MONKEY_PATCH", "LOCUST_SKIP_URLLIB3_PATCH", "LOCUST_PLAYWRIGHT"):
        os.environ.pop(name, None)

    of_packages, found = metadata.entry_points, metadata.entry_points()
    metadata.entry_points = found.select
    try:
        import locust  # noqa: F401
    finally:
        metadata.entry_points = of_packages
