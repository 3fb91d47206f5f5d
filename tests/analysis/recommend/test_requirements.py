import pytest

from bench.model.errors import UserError
from bench.model.requirements import Requirements, combined
from bench.stats.comparison import MATERIAL


def test_defaults_stand_for_what_nobody_states():
    assert combined({}, {}) == combined({"run": {}}, {"restart": None}) == Requirements()
    assert Requirements().margin == pytest.approx(MATERIAL - 1)


def test_options_go_before_plans():
    stated = {"run": {"restart": "none", "lost_per_1000": 5, "stall_s": None}}
    asked = combined(stated, {"restart": "any", "workers": 2})
    assert (asked.restart, asked.lost_per_1000, asked.workers, asked.stall_s) == ("any", 5, 2, None)


def test_plans_that_differ_need_an_option():
    stated = {"one": {"lost_per_1000": 5}, "two": {"lost_per_1000": 6}}
    with pytest.raises(UserError, match=r"one requires lost_per_1000 = 5 and two 6; .*--lost-per-1000"):
        combined(stated, {})
    assert combined(stated, {"lost_per_1000": 7}).lost_per_1000 == 7
    agreeing = {"one": {"lost_per_1000": 5}, "two": {"lost_per_1000": 5, "margin": 0.1}}
    assert combined(agreeing, {}).margin == 0.1


@pytest.mark.parametrize(
    "table, message",
    [
        ({"restart": "never"}, "run: requirement restart: Input should be"),
        ({"restrt": "none"}, "run: requirement restrt: Extra inputs"),
        ({"weights": {"index": 0}}, "run: requirement weights.index: Input should be greater than 0"),
        ({"margin": -1}, "run: requirement margin"),
    ],
)
def test_what_a_run_states_wrongly_is_told(table, message):
    with pytest.raises(UserError) as caught:
        combined({"run": table}, {})
    assert str(caught.value).startswith(message)
