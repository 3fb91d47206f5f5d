"""Hypercorn settings that its command line does not have (`-c python:targets.hypercorn_settings`)."""

# The default closes a connection after 1000 requests, which no other server does.
keep_alive_max_requests = 2**62
