"""Hypercorn settings that its command line does not have (`-c python:targets.hypercorn_settings`)."""

import os

# The default closes a connection after 1000 requests, which no other server does.
keep_alive_max_requests = 2**62

# It gives up an app that takes longer to start; where servers may, it is told.
startup_timeout = max(60.0, float(os.environ.get("WHICHWORKER_PATIENCE_S", 0)))
