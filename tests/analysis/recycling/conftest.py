from itertools import count

import pytest

from analysis.study import Study, study
from tests.fixtures.make_recycling import make_recycling


@pytest.fixture
def told(tmp_path):
    """The study of a run of some stories: `told(Story(...), plan={...})`."""

    runs = count(1)

    def analyse(*stories, plan=None) -> Study:
        return study(make_recycling(tmp_path / "results" / f"run-{next(runs)}", stories, plan))

    return analyse


@pytest.fixture
def cell(told):
    """The row of `Recycling.cells` of a single story."""

    def judged(story):
        return told(story).recycling.cells.iloc[0]

    return judged
