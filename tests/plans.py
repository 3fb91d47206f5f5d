"""Plans of a few seconds, as tests have them."""

from targets.catalogue.tables import toml

INDEX = """
[scenarios.index]
users = [4]
"""
# Users who wait for most of their time: what the load is does not matter.
SLOW = """
[scenarios.slow]
users = [4]
"""


def tiny(*configurations, loads=INDEX, **keys):
    """The text of a plan of some configurations (else of all) with the tables `loads`; `keys` are its own."""
    usual = {
        "summary": "for tests",
        "configurations": list(configurations) or "all",
        "workers": [1],
        "repeats": 1,
        "warmup_s": 0.2,
        "measured_s": 1,
    }
    return "\n".join([*(f"{key} = {toml(value)}" for key, value in {**usual, **keys}.items()), loads])
