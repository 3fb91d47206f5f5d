import pytest

from analysis.recycling.cells import Bound, leaks
from tests.fixtures.make_recycling import MIB, Life, Story, generation

ALONE = [Life(1, -2, -1)]


def test_memory_is_that_of_all_processes_at_one_time(cell):
    pair = [Life(1, -2, -1, mib=100), Life(2, -2, -1, mib=60)]
    row = cell(Story("sanic", pair, "control", workers=2))
    # The manager weighs 10 MiB, and the meter is none of the server's.
    assert row["rss_peak_bytes"] == row["rss_end_bytes"] == 170 * MIB
    assert row["pss_peak_bytes"] == 86 * MIB


def test_a_saw_tooth_does_not_grow_and_a_slope_does(told):
    stories = [
        Story("sanic", generation(11, 1.0), leak_mib=0.5),
        Story("sanic", ALONE, "control", leak_mib=0.5),
    ]
    cells = told(*stories).recycling.cells.set_index("treatment")
    # 100 requests of half a MiB each between two replacements, and a successor beside them, against 1100.
    assert cells.loc["recycled", "rss_peak_bytes"] / MIB == pytest.approx(140, abs=15)
    assert cells.loc["control", "rss_peak_bytes"] / MIB == pytest.approx(600, abs=2)
    assert abs(cells.loc["recycled", "growth"]) < 0.1 < cells.loc["control", "growth"]
    assert leaks(cells.loc["control", "growth"]) and not leaks(cells.loc["recycled", "growth"])


def test_the_warm_up_is_not_in_the_peaks(cell):
    workers = [Life(1, -2, -1, died=-0.1, mib=500), Life(2, -2, -0.5)]
    assert cell(Story("sanic", workers))["rss_peak_bytes"] == 50 * MIB


@pytest.mark.parametrize(
    "recycled, control, growth, held",
    [
        (100, 600, 0.02, True),
        (100, 600, 0.3, False),
        (100, 1200, 0.3, True),  # 23 between the halves, where the leak adds 600 without recycling
        (700, 600, 0.0, False),
        (100, 600, float("nan"), False),
    ],
)
def test_a_bound_holds_if_the_peak_stands_still_below_the_controls(recycled, control, growth, held):
    assert Bound(recycled, control, growth, control_growth=1.0).held is held


def test_of_a_control_that_does_not_leak_nothing_is_excused():
    assert not Bound(100, 600, 0.3, control_growth=0.0).held
