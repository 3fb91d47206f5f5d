"""Tests of a stack whose Python is missing are left out; that this is reported is tested in tests/bench."""

from functools import cache

import pytest

from bench.launch import stacks


@cache
def without_interpreter(stack):
    """Why tests of a stack are left out; `None` where this machine has an interpreter for it."""
    # That of its environment, if there is one: every process of pytest asks, and to look takes a second.
    there = (stacks.VENVS / stack.name / "bin" / "python").exists()
    if there or stacks.find_interpreter(stack.pythons):
        return None
    wanted = " or ".join(stack.pythons)
    return f"no Python {wanted} for the stack {stack.name} (for example: pyenv install {stack.pythons[0]})"


def needs_interpreter(stack):
    """Leave a test out where this machine has no interpreter for its stack."""
    if why := without_interpreter(stack):
        pytest.skip(why)
