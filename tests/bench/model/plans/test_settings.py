"""Plans of settings: which configurations and loads they mean."""

import pytest

from bench.model.errors import UsageError
from bench.model.plans import naming, plan
from bench.model.plans.narrowing import narrow
from bench.model.plans.settings import beside_variants, expecting, having_variants, parents
from tests.bench.variants import KNOWN, TEXT


@pytest.fixture
def read(tmp_path):
    def written(text=TEXT):
        (tmp_path / "mine.toml").write_text(text)
        return plan.load(str(tmp_path / "mine.toml"))

    return written


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["b", "a"], ["b", "b-preload", "a", "a-log", "a-gc"]),
        (["a-gc"], ["a", "a-gc"]),
        (["a", "a-gc"], ["a", "a-gc"]),
        (["a-gc", "b", "a-log"], ["a", "a-log", "a-gc", "b", "b-preload"]),
        (["misspelt", "a-log"], ["misspelt", "a", "a-log"]),
    ],
)
def test_a_configuration_brings_its_variants_and_a_variant_its_parent(names, meant):
    assert beside_variants(names, KNOWN) == meant
    # A run goes on with what it recorded.
    assert beside_variants(meant, KNOWN) == meant


def test_what_is_compared_with_what():
    assert having_variants(KNOWN) == ["a", "b"]
    assert parents(["a", "a-log", "b-preload"], KNOWN) == {"a-log": "a"}
    assert expecting(["tail"], KNOWN, KNOWN) == {"a", "a-gc"}
    assert expecting(["losses", "stall"], ["a", "a-log", "a-gc"], KNOWN) == set()


def test_all_are_those_that_have_variants(read):
    chosen = read(TEXT.replace('["uvicorn"]', '"all"'))
    assert chosen.named(KNOWN) == ["a", "a-log", "a-gc", "b", "b-preload"]


def test_without_variants_there_is_nothing_to_compare(read):
    chosen = read().model_copy(update={"configurations": ["a", "alone"]})
    with pytest.raises(UsageError, match=r"mine: alone has no variants.*those that have: a, b "):
        naming.resolve(chosen, KNOWN, ["index"], "mine")
    with pytest.raises(UsageError, match='unknown configuration "aa"'):
        naming.resolve(chosen.model_copy(update={"configurations": ["aa"]}), KNOWN, ["index"], "mine")


def opened(chosen, scenario="index"):
    return [(loop.rates_per_s, loop.recycled) for loop in chosen.scenarios[scenario].open]


def test_other_rates_are_those_under_which_workers_stay(read):
    chosen = narrow(read(), {"rates_per_s": [100.0]})
    assert chosen.recycling is not None and chosen.scenarios["index"].users == [64]
    assert opened(chosen) == [([800.0], True), ([100.0], False)]
    # One of them may be both.
    assert opened(narrow(read(), {"rates_per_s": [800.0]})) == [([800.0], True), ([800.0], False)]


def test_other_users_leave_the_open_loops(read):
    chosen = narrow(read(), {"users": [8]})
    assert chosen.scenarios["index"].users == [8]
    assert opened(chosen) == [([800.0], True), ([1500.0], False)]


def test_ones_own_locustfile_has_a_tail_at_ones_own_rates_only(read):
    own = {"locustfiles": "locustfiles/sleep.py", "scenarios": ["sleep"]}
    chosen = narrow(read(), own)
    assert (
        chosen.recycling is None and chosen.scenarios["sleep"].users == [64] and not opened(chosen, "sleep")
    )
    chosen = narrow(read(), own | {"rates_per_s": [50.0]})
    assert chosen.scenarios["sleep"].users == [64] and opened(chosen, "sleep") == [([50.0], False)]


def test_a_server_that_runs_already_has_no_variants():
    chosen = narrow(plan.load("settings"), {"external": {"url": "http://127.0.0.1:1", "name": "mine"}})
    assert not chosen.settings and chosen.recycling is None


def test_two_versions_of_an_app_are_another_question(read, tmp_path):
    baseline = {"app": "a:b", "folder": str(tmp_path), "baseline": {"folder": str(tmp_path)}}
    with pytest.raises(UsageError, match="settings compare variants, BASELINE= two versions"):
        narrow(read(), {"own_app": baseline, "locustfiles": "locustfiles/index.py", "scenarios": ["index"]})


def test_what_was_recorded_before_reads_as_it_was(read):
    text = TEXT.replace("settings = true\n", "").replace("recycled = false\n", "")
    recorded = read(text).model_dump()
    assert "settings" not in recorded
    assert all("recycled" not in loop for loop in recorded["scenarios"]["index"]["open"])
