"""Every scenario file is loadable, says in a line what it is, and hides no standard module."""

from __future__ import annotations

import ast
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from swarm import SwarmUser
from tests.swarm.processes import ROOT

FILES = sorted((ROOT / "locustfiles").glob("*.py"))


def test_there_are_scenarios():
    expected = {
        "db",
        "db_write",
        "index",
        "index_close",
        "leak_50k",
        "long",
        "mixed",
        "sleep_close",
        "slow",
        "slow_close",
        "slow_post",
        "upload",
        "upload_close",
    }
    assert expected <= {file.stem for file in FILES}


def test_the_classes_have_names_of_their_own():
    """Locust runs them side by side, and refuses two of one name."""
    names = [
        node.name
        for file in FILES
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef)
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_scenario_file(file):
    docstring = ast.get_docstring(ast.parse(file.read_text()))
    assert docstring
    assert "\n" not in docstring
    assert docstring.endswith(".")
    assert file.stem not in sys.stdlib_module_names  # locust puts the folder on the path
    spec = spec_from_file_location(f"scenario_{file.stem}", file)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    users = [
        thing
        for thing in vars(module).values()
        if isinstance(thing, type) and issubclass(thing, SwarmUser) and thing is not SwarmUser
    ]
    assert len(users) == 1
    assert users[0].tasks
    assert not users[0].abstract
