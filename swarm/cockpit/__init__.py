"""Locust's web UI with the suite behind it: its fields, its Server tab, its page. Started by `bench ui`."""

import swarm  # noqa: F401  # first: Locust's gevent must patch ssl before all else
