from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import plan
from bench.errors import UsageError

TEXT = """
summary = "one"
configurations = "all"
workers = [1]
repeats = 2
warmup_s = 0.5
measured_s = 2
[scenarios.index]
users = [8, 64]
[scenarios.sleep]
users = [16]
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return written


@pytest.fixture
def small(write):
    return plan.load(write(TEXT))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("repeats", "repeat", 'mine.toml: unknown key "repeat"; did you mean "repeats"?'),
        (
            "users = [16]",
            "user = [16]",
            '[scenarios.sleep] unknown key "user"; did you mean "users"?',
        ),
        ("repeats = 2", "repeats = 0", 'mine.toml: key "repeats": input should be greater than 0'),
        ("measured_s = 2", "measured_s = 2.5", 'mine.toml: key "measured_s"'),
        ("[8, 64]", "[8, 8]", 'mine.toml: key "scenarios.index.users": names the same value twice'),
        ("[8, 64]", "[]", 'mine.toml: key "scenarios.index.users"'),
        ("[8, 64]", "[-1]", 'mine.toml: key "scenarios.index.users.0"'),
        ('"all"', "3", 'mine.toml: key "configurations": input should be a valid list'),
        ('"all"', '"some"', 'mine.toml: key "configurations": input should be a valid list'),
        ("repeats = 2", "", 'mine.toml: key "repeats": field required'),
        ("repeats = 2", "repeats =", "mine.toml: not TOML"),
    ],
)
def test_a_wrong_plan_is_told_in_one_line_with_file_and_key(write, old, new, message):
    assert old in TEXT
    with pytest.raises(UsageError) as caught:
        plan.load(write(TEXT.replace(old, new)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_that_does_not_exist():
    with pytest.raises(UsageError, match=r'unknown plan "quik"; did you mean "quick"\?'):
        plan.load("quik")
    with pytest.raises(UsageError, match=r"no plan at nowhere/x\.toml"):
        plan.load("nowhere/x.toml")


def test_names_are_checked_and_all_is_spelt_out(small):
    assert plan.resolve(small, ["b", "a"], ["index", "sleep"]).configurations == ["b", "a"]
    with pytest.raises(UsageError, match='unknown scenario "sleep"; known: index'):
        plan.resolve(small, ["a"], ["index"])
    some = plan.narrow(small, {"configurations": ["sanik"]})
    with pytest.raises(UsageError, match=r'unknown configuration "sanik"; did you mean "sanic"\?'):
        plan.resolve(some, ["sanic", "uvicorn"], ["index", "sleep"])


def test_narrowing(small):
    narrowed = plan.narrow(small, {"users": [3], "repeats": 7, "measured_s": 1, "workers": [2]})
    assert {name: loads.users for name, loads in narrowed.scenarios.items()} == {"index": [3], "sleep": [3]}
    assert (narrowed.repeats, narrowed.measured_s, narrowed.workers) == (7, 1, [2])
    assert plan.narrow(small, {}) == small
    # A scenario of its own gets every load of the plan.
    assert plan.narrow(small, {"scenarios": ["sleep", "cpu"]}).scenarios == {
        "sleep": plan.Loads(users=[16]),
        "cpu": plan.Loads(users=[8, 16, 64]),
    }
    with pytest.raises(UsageError, match='command line: key "repeats": input should be greater than 0'):
        plan.narrow(small, {"repeats": 0})


@given(
    configurations=st.lists(st.sampled_from("abcdefg"), min_size=1, unique=True),
    workers=st.lists(st.integers(1, 4), min_size=1, unique=True),
    repeats=st.integers(1, 4),
    users=st.lists(st.integers(1, 500), min_size=1, max_size=3, unique=True),
    limited=st.sets(st.sampled_from("abcdefg")),
    seed=st.integers(),
)
def test_every_repeat_holds_each_configuration_once(configurations, workers, repeats, users, limited, seed):
    chosen = plan.Plan(
        summary="",
        configurations=configurations,
        scenarios={"index": {"users": users}, "sleep": {"users": users[:1]}},
        workers=workers,
        repeats=repeats,
        warmup_s=1,
        measured_s=1,
    )
    limits = {name: 1 if name in limited else None for name in "abcdefg"}
    blocks = plan.expand(chosen, seed, limits)
    assert blocks == plan.expand(chosen, seed, limits)
    wanted = {(c, w) for c in configurations for w in workers if w == 1 or c not in limited}
    for repeat in range(1, repeats + 1):
        pairs = Counter((b.configuration, b.workers) for b in blocks if b.repeat == repeat)
        assert pairs == Counter(wanted)
    assert [b.number for b in blocks] == list(range(1, len(blocks) + 1))
    paths = [cell.path for block in blocks for cell in block.cells]
    assert len(set(paths)) == len(paths) == len(wanted) * repeats * (len(users) + 1)
    for block in blocks:
        loads = [(c.scenario, c.users) for c in block.cells]
        assert loads == [("index", u) for u in users] + [("sleep", users[0])]


def test_the_order_is_random_within_and_between_repeats(small):
    names = list("abcdefgh")
    chosen = plan.resolve(small, names, ["index", "sleep"])
    orders = set()
    for seed in range(3):
        blocks = plan.expand(chosen, seed, dict.fromkeys(names))
        for repeat in (1, 2):
            orders.add(tuple(b.configuration for b in blocks if b.repeat == repeat))
    assert len(orders) == 6


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_the_plans_that_come_with_the_suite(name, catalogue):
    assert name in plan.names()
    limits = {key: entry.max_workers for key, entry in catalogue.configurations.items()}
    chosen = plan.resolve(plan.load(name), list(limits), plan.load(name).scenarios)
    blocks = plan.expand(chosen, 1, limits)
    seconds = plan.estimate_s(chosen, blocks)
    cells = sum(len(block.cells) for block in blocks)
    load = cells * (chosen.warmup_s + chosen.measured_s) / seconds
    assert {b.configuration for b in blocks} == set(catalogue.configurations)
    if name == "smoke":
        assert seconds <= 90
    if name == "quick":
        assert seconds <= 300 and load >= 0.65 and chosen.repeats >= 3
    if name == "full":
        assert load >= 0.8 and chosen.repeats >= 5
