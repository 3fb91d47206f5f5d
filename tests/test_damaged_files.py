"""No file is forgotten: of whatever the suite knows, damage is tested, or nobody reads it later."""

import ast
import re
from pathlib import Path

import pytest

from bench.model.records.columns import FILES

ROOT = Path(__file__).parents[1]
CODE = ("analysis", "bench", "swarm", "targets")
_NAME = re.compile(r"(?:.*/)?([\w.-]+\.(?:csv|json))")

_RUNS = "tests/analysis/reading/runs_to_damage.py"
_SOAK = "tests/analysis/soak/test_soak.py"
_INPUTS = "tests/bench/model/test_damaged_inputs.py"
DAMAGED_IN = {
    **{f"{name}.csv": _RUNS for name in FILES},
    "cell.json": _RUNS,
    "run.json": _RUNS,
    "connections.csv": _RUNS,
    "locust_exceptions.csv": _RUNS,
    "lane.json": _SOAK,
    "intervals.csv": _SOAK,
    **dict.fromkeys(("ceilings.json", "loopback.json", "replay.json", "series.json"), _INPUTS),
    "verdict.json": _INPUTS,
}
"""The files that are read after who has written them has ended, and the tests that damage them."""
OF_THE_MOMENT = {
    **dict.fromkeys(("identity.json", "ready.csv", "server.json"), "of a server that runs, for who runs it"),
    **dict.fromkeys(("locust_failures.csv", "locust_stats.csv"), "Locust's own, which nothing reads"),
    "charts.json": "of a report that is being made",
    "kernel.json": "of a notebook that is executed",
    "clients.json": "of a program that was run to its end, for who has run it",
}
"""All others, and why nobody else's damage comes to them."""


def known_to_the_code():
    """The names of files in the texts of all modules."""
    found = {f"{name}.csv" for name in FILES}
    for module in (path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= {name[1]} if (name := _NAME.fullmatch(node.value)) else set()
    return found


def test_the_damage_of_every_file_is_tested_or_comes_to_nobody():
    assert known_to_the_code() == {*DAMAGED_IN, *OF_THE_MOMENT}
    assert not {*DAMAGED_IN} & {*OF_THE_MOMENT}


@pytest.mark.parametrize("name", sorted(set(DAMAGED_IN) - {f"{name}.csv" for name in FILES}))
def test_tests_damage_what_they_are_said_to(name):
    said = (ROOT / DAMAGED_IN[name]).read_text()
    constant = {"connections.csv": "CONNECTIONS_FILE", "locust_exceptions.csv": "raise_in"}.get(name, name)
    assert constant in said
