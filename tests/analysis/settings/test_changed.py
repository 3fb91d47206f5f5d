"""Which settings have another fate in a second run."""

import pytest

from analysis.settings.changed import changed
from analysis.settings.model import Judged, Settings
from tests.analysis.settings.test_model import BETTER, OPEN, SAME, WORSE, judged, setting


def named(name, bounds, **others):
    each = judged(setting("throughput", bounds), **others)
    return Judged(name, each.facts, each.measured, unmeasured=each.unmeasured)


def test_fates_that_changed_are_told_with_both_figures():
    before = Settings((named("same", SAME), named("won", OPEN), named("lost", BETTER), named("gone", BETTER)))
    after = Settings(
        (named("same", SAME), named("won", (1.05, 1.15, 1.3)), named("lost", WORSE), named("new", SAME))
    )
    found = changed(before, after)
    assert [row.texts()[:3] for row in found.rows] == [
        ["won", "not shown", "worth it"],
        ["lost", "worth it", "costs"],
    ]
    assert [row.overlap for row in found.rows] == [True, False]
    won, lost = (row.texts() for row in found.rows)
    assert won[3:] == ["requests/s", "1.00x (0.900 to 1.10)", "1.15x (1.05 to 1.30)", "the intervals overlap"]
    assert lost[-1] == "the intervals lie apart"
    assert found.finding == (
        "Of 3 settings that both runs tried the fate of 1 is the same, of 2 another; the intervals of 1 of "
        "these lie apart. In 2 of 3 measures the intervals of both overlap; ratios lie apart, in the median: "
        "requests/s 15.0% (at most 50.0%)."
    )
    assert (found.only_one, found.only_other) == (("gone",), ("new",))
    told = found.document()
    assert told["changed"][1] == {
        "variant": "lost", "parent": "uvicorn", "measure": "throughput", "fates": ["worth it", "costs"],
        "ratios": [[1.2, 1.1, 1.3], [0.8, 0.7, 0.9]], "overlap": False,
    }  # fmt: skip
    assert told["overlaps"]["lost"] == {"throughput": False}
    assert told["apart"]["won"] == {"throughput": pytest.approx(0.15)}


def test_what_could_not_be_measured_or_was_not_tried_has_no_fate():
    known = Settings((named("one", SAME), named("failed", SAME)))
    assert changed(known, Settings(())) is None and changed(Settings(()), known) is None
    failed = Settings(
        (named("one", SAME), Judged("failed", known.judged[1].facts, (), unmeasured="it ended"))
    )
    found = changed(known, failed)
    assert found.rows == [] and found.only_one == ("failed",)
    assert found.finding == (
        "Of 1 setting that both runs tried the fate of 1 is the same. In 1 of 1 measure the "
        "intervals of both overlap; ratios lie apart, in the median: requests/s 0.0% (at most 0.0%)."
    )


def test_a_fate_without_an_interval_contradicts_nothing():
    nan = float("nan")
    (row,) = changed(Settings((named("x", (nan, 1.1, nan)),)), Settings((named("x", BETTER),))).rows
    assert row.overlap is None and row.texts()[4] == "1.10x"
