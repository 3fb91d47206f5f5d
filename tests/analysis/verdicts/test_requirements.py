import re
from pathlib import Path

import pytest

from analysis.comparison import MATERIAL
from analysis.errors import AnalysisError
from analysis.verdicts.requirements import Requirements, requirements
from bench.requirements import RequirementsTable

CONTRACTS = Path(__file__).parents[3] / "docs" / "contracts.md"


def test_defaults_stand_for_what_nobody_states():
    assert requirements({}, {}) == requirements({"run": {}}, {"restart": None}) == Requirements()
    assert Requirements().margin == pytest.approx(MATERIAL - 1)


def test_options_go_before_plans():
    stated = {"run": {"restart": "none", "lost_per_1000": 5, "stall_s": None}}
    asked = requirements(stated, {"restart": "any", "workers": 2})
    assert (asked.restart, asked.lost_per_1000, asked.workers, asked.stall_s) == ("any", 5, 2, None)


def test_plans_that_differ_need_an_option():
    stated = {"one": {"lost_per_1000": 5}, "two": {"lost_per_1000": 6}}
    with pytest.raises(AnalysisError, match=r"one requires lost_per_1000 = 5 and two 6; .*--lost-per-1000"):
        requirements(stated, {})
    assert requirements(stated, {"lost_per_1000": 7}).lost_per_1000 == 7
    agreeing = {"one": {"lost_per_1000": 5}, "two": {"lost_per_1000": 5, "margin": 0.1}}
    assert requirements(agreeing, {}).margin == 0.1


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
    with pytest.raises(AnalysisError) as caught:
        requirements({"run": table}, {})
    assert str(caught.value).startswith(message)


def test_the_plan_the_analysis_and_the_contract_have_the_same_keys():
    keys = list(Requirements.model_fields)
    assert list(RequirementsTable.model_fields) == keys
    part = CONTRACTS.read_text().partition("\n### Requirements\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \| ", part, re.MULTILINE)
    assert [key for row in rows for key in re.findall(r"`(\w+)`", row)] == keys


def test_the_contract_has_the_defaults():
    part = CONTRACTS.read_text().partition("\n### Requirements\n")[2].partition("\n## ")[0]
    asked = Requirements()
    told = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", part, re.MULTILINE))
    assert set(told) > {"restart", "lost_per_1000", "enough_recycles", "margin", "max_rss_mib"}
    for name, value in told.items():
        default = getattr(asked, name)
        written = str(default).lower() if isinstance(default, bool) else f"{default}"
        assert value.strip('"') == (f"{default:g}" if isinstance(default, float) else written), name
