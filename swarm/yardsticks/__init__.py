"""The same request as different Locust users make it, for `python -m swarm.selfbench`."""
