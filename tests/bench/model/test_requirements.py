import json

import pytest

from bench.experiment import inputs
from bench.model.errors import UsageError
from bench.model.plans import naming, plan
from bench.model.plans.narrowing import narrow
from bench.model.requirements import Requirements, numbers, of_options

TEXT = """
summary = "one"
configurations = ["sanic"]
workers = [1]
repeats = 2
warmup_s = 0.5
measured_s = 2
[scenarios.index]
users = [8]
[requirements]
restart = "any"
lost_per_1000 = 5
survive_kill = true
p99_ms = { sleep = 50 }
weights = { sleep = 3, index = 1.5 }
workers = 2
"""


def test_a_plan_says_what_is_required(write):
    required = plan.load(write(TEXT)).requirements
    assert required.given() == {
        "restart": "any",
        "lost_per_1000": 5,
        "survive_kill": True,
        "p99_ms": {"sleep": 50},
        "weights": {"sleep": 3, "index": 1.5},
        "workers": 2,
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('restart = "any"', 'restat = "any"', '[requirements] unknown key "restat"; did you mean "restart"?'),
        ('"any"', '"never"', "key \"requirements.restart\": input should be 'requests', 'memory', 'any' or"),
        ("lost_per_1000 = 5", "lost_per_1000 = -1", 'key "requirements.lost_per_1000": input should be gr'),
        ("true", '"yes"', 'key "requirements.survive_kill": input should be a valid boolean'),
        ("sleep = 50", "sleep = 0", 'key "requirements.p99_ms.sleep": input should be greater than 0'),
        ("workers = 2", "workers = 2.5", 'key "requirements.workers": input should be a valid integer'),
    ],
)
def test_a_wrong_requirement_is_told_in_one_line(write, old, new, message):
    assert old in TEXT
    head, _, table = TEXT.partition("[requirements]")
    with pytest.raises(UsageError) as caught:
        plan.load(write(f"{head}[requirements]{table.replace(old, new, 1)}"))
    assert f"mine.toml: {message}" in str(caught.value) and "\n" not in str(caught.value)


def test_scenarios_that_nobody_knows_are_refused(write, catalogue):
    known = inputs.scenarios(plan.load(write(TEXT)))
    chosen = plan.load(write(TEXT))
    assert naming.resolve(chosen, catalogue.configurations, known, "mine") == chosen
    for key, old in (("weights", "{ sleep = 3"), ("p99_ms", "{ sleep = 50")):
        wrong = plan.load(write(TEXT.replace(old, old.replace("sleep", "slep"))))
        message = f'mine: key "requirements.{key}": unknown scenario "slep"; did you mean "sleep"'
        with pytest.raises(UsageError, match=message):
            naming.resolve(wrong, catalogue.configurations, known, "mine")


def test_they_are_recorded_only_where_they_are(write):
    stated = plan.load(write(TEXT))
    assert plan.validate(json.loads(json.dumps(stated.model_dump())), "run.json") == stated
    without = plan.load(write(TEXT.partition("[requirements]")[0]))
    assert without.requirements is None and "requirements" not in without.model_dump()


def test_narrowing_leaves_them_alone(write):
    stated = plan.load(write(TEXT))
    narrowed = narrow(stated, {"scenarios": ["index"], "repeats": 5})
    assert narrowed.requirements == stated.requirements and narrowed.repeats == 5


def test_options_are_checked_like_keys():
    assert of_options({"restart": None, "margin": 0.1}) == Requirements(margin=0.1)
    with pytest.raises(UsageError, match=r"^--lost-per-1000: input should be greater than or equal to 0$"):
        of_options({"lost_per_1000": -1.0})


def test_numbers_by_scenario():
    assert numbers("--weights", "sleep=3, index=1.5") == {"sleep": 3.0, "index": 1.5}
    assert numbers("--weights", None) is None
    for text in ("sleep", "sleep=", "=3", "sleep=x", "sleep:3"):
        with pytest.raises(UsageError, match=r'--weights takes numbers by scenario .* not "'):
            numbers("--weights", text)
