"""Notebooks of a report without a kernel, which takes seconds to begin and to import what is here."""

import runpy
from contextlib import contextmanager

import pytest

from analysis.charts.drawing import style
from analysis.report.execute import notebooks, step_of
from analysis.study import REPORT_VARIABLE, RUN_VARIABLE


class _Here:
    """Stands in for a kernel: this process has the study already."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def take(self, _):
        pass

    def execute(self, run_dir, folder, say):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(RUN_VARIABLE, str(run_dir))
            patch.setenv(REPORT_VARIABLE, str(folder.resolve()))
            for path in notebooks():
                say(step_of(path))
                runpy.run_path(str(path))


class _Nowhere(_Here):
    def execute(self, *_):
        pass


@contextmanager
def here():
    """Have reports execute their notebooks in this process, while the block lasts.

    For what is about more than how they are executed: tests/analysis/report/test_report.py has kernels.
    Nobody looks at the pictures, which have few dots.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.report.build.Kernel", _Here)
        patch.setitem(style._RC, "figure.dpi", 50)
        yield


@contextmanager
def left_out():
    """Have reports leave out their notebooks, while the block lasts: for what these have no part in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analysis.report.build.Kernel", _Nowhere)
        yield
