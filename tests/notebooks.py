"""Notebooks of a report without a kernel, which takes seconds to begin and to import what is here."""

import runpy
from contextlib import contextmanager

import pytest

from analysis.charts.drawing import style
from analysis.report.execute import notebooks, step_of
from analysis.study import REPORT_VARIABLE, RUN_VARIABLE


def _execute(run_dir, folder, say):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(RUN_VARIABLE, str(run_dir))
        patch.setenv(REPORT_VARIABLE, str(folder.resolve()))
        for path in notebooks():
            say(step_of(path))
            runpy.run_path(str(path))


@contextmanager
def here():
    """Have reports execute their notebooks in this process, while the block lasts.

    For what is about more than how they are executed: tests/analysis/report/test_report.py has kernels.
    Nobody looks at the pictures, which have few dots.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.report.build.execute", _execute)
        patch.setitem(style._RC, "figure.dpi", 50)
        yield
