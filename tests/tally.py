"""What Hypothesis tried, test by test: a plugin of pytest for `make fuzz`, which names the file to write."""

import json
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis.statistics import collector

_PHASES = ("reuse-phase", "generate-phase", "shrink-phase")


def pytest_addoption(parser):
    parser.addoption("--tally", type=Path, help="write there what was tried")


def pytest_configure(config):
    config.pluginmanager.register(_Tally(config.getoption("--tally")))


class _Tally:
    """Counts examples as Hypothesis tells of them, those of a `@given` within a test included."""

    def __init__(self, path):
        self._path = path
        self._tests = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem):
        tried, began, others = Counter(), time.monotonic(), collector.value

        def note(statistics):
            if others is not None:
                others(statistics)
            for phase in _PHASES:
                cases = statistics.get(phase, {}).get("test-cases", [])
                # One that a strategy has given up was shown to no test.
                tried["examples"] += sum(case["status"] != "invalid" for case in cases)

        held = False
        try:
            with collector.with_value(note):
                result = yield
            held = True
            return result
        except pytest.skip.Exception:
            held = None
            raise
        finally:
            if held is not None:
                seconds = round(time.monotonic() - began, 2)
                told = {"held": held, "examples": tried["examples"], "seconds": seconds}
                self._tests[pyfuncitem.nodeid] = told

    def pytest_sessionfinish(self):
        self._path.write_text(json.dumps(self._tests))
