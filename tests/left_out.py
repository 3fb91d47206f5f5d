"""A plugin: what a machine lacks leaves tests out with one line, and is a failure in CI (`CI=true`)."""

import os
from collections import Counter

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"in CI no test may be left out: {_why(report)}"
    return report


def pytest_terminal_summary(terminalreporter):
    """However many tests it is, what lacks is said once."""
    left_out = Counter(map(_why, terminalreporter.getreports("skipped")))
    for why, tests in left_out.items():
        terminalreporter.write_line(f"left out: {why}: {tests} test{'s' if tests > 1 else ''}")


def _why(report):
    *_, why = report.longrepr
    return why.removeprefix("Skipped: ")
