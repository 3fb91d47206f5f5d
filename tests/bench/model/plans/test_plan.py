import json

import pytest

from bench.experiment.blocks import estimate_s, expand, load_s, possible
from bench.experiment.connections.starts import Connections
from bench.experiment.inputs import Inputs
from bench.experiment.rotation.schedule import (
    Sittings,
    in_blocks,
    rotating,
    sitting_s,
    under_load_s,
    with_control,
)
from bench.model.errors import UsageError
from bench.model.plans import naming, plan
from bench.model.plans.loads import Loads, OpenLoads, Search
from bench.model.plans.narrowing import narrow

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

EVERYTHING = """
summary = "one of everything"
configurations = ["sanic", "sanic-again"]
workers = [1]
repeats = 2
warmup_s = 1
measured_s = 2
[aliases]
sanic-again = "sanic"
[thresholds]
all = ["failures == 0"]
index = ["p99_ms < 50", "achieved >= 0.99"]
[scenarios.index]
users = [8, 64]
[[scenarios.index.open]]
rates_per_s = [1000, 2500.5]
arrivals = "poisson"
[[scenarios.index.open]]
rates_per_s = [1000]
users = 32
[scenarios.sleep.search]
p99_ms = 50
users = 1024
from_rate_per_s = 500
"""


@pytest.fixture
def small(write):
    return plan.load(write(TEXT))


@pytest.fixture
def large(write):
    return plan.load(write(EVERYTHING))


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


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "rates_per_s = [1000]",
            "rates = [1000]",
            '[scenarios.index.open.1] unknown key "rates"; did',
        ),
        ("p99_ms = 50", "p99 = 50", '[scenarios.sleep.search] unknown key "p99"; did you mean "p99_ms"?'),
        ("users = 1024", "[scenarios.sleep.serch]", '[scenarios.sleep] unknown key "serch"; did you mean'),
        (
            "[scenarios.sleep.search]",
            "[scenarios.sleep]\n[scenarios.cpu.search]",
            'key "scenarios.sleep": has no load; give it "users", "open" or "search"',
        ),
        (
            '"poisson"',
            '"poison"',
            'key "scenarios.index.open.0.arrivals": unknown kind of arrivals "poison"; did',
        ),
        ('"poisson"', '"constant"', 'key "scenarios.index": has the open load of 1000/s constant twice'),
        ("[1000, 2500.5]", "[1000, 1000]", 'key "scenarios.index.open.0.rates_per_s": names the same value'),
        ("[1000, 2500.5]", "[]", 'key "scenarios.index.open.0.rates_per_s"'),
        (
            "[1000, 2500.5]",
            '["1000"]',
            'key "scenarios.index.open.0.rates_per_s.0": input should be a v',
        ),
        ("[1000, 2500.5]", "[nan]", 'key "scenarios.index.open.0.rates_per_s.0"'),
        ("[1000, 2500.5]", "[-1]", 'key "scenarios.index.open.0.rates_per_s.0"'),
        ("users = 32", "users = 0", 'key "scenarios.index.open.1.users": input should be greater than 0'),
        ("p99_ms = 50", "p99_ms = 0", 'key "scenarios.sleep.search.p99_ms": input should be greater than 0'),
        ("from_rate_per_s = 500", "", 'key "scenarios.sleep.search.from_rate_per_s": field required'),
        ("users = 1024", "resolution = 0", 'key "scenarios.sleep.search.resolution"'),
        (
            '"failures == 0"',
            '"failure == 0"',
            'key "thresholds.all.0": unknown metric "failure"; did',
        ),
        ('"failures == 0"', '"failures = 0"', 'key "thresholds.all.0": unknown comparison "="'),
        (
            '"failures == 0"',
            '"failures == no"',
            'key "thresholds.all.0": "no" in "failures == no" is not',
        ),
        (
            '"failures == 0"',
            '"failures == inf"',
            'key "thresholds.all.0": "inf" in "failures ==',
        ),
        (
            '"failures == 0"',
            '"failures==0"',
            'key "thresholds.all.0": "failures==0" is not of',
        ),
        ('["failures == 0"]', '"failures == 0"', 'key "thresholds.all": input should be a valid list'),
        ('["failures == 0"]', "[]", 'key "thresholds.all"'),
        ("index = [", "indx = [", 'key "thresholds": unknown scenario "indx"; did you mean "index"?'),
        ('sanic-again = "sanic"', '"../x" = "sanic"', 'key "aliases": "../x" cannot be the name of a folder'),
        (
            'sanic-again = "sanic"',
            "sanic-again = 3",
            'key "aliases.sanic-again": input should be a',
        ),
        ("[aliases]", 'catalogue = "no.toml"\n[aliases]', 'key "catalogue": there is no file /'),
        ("[aliases]", 'locustfiles = "no"\n[aliases]', 'key "locustfiles": there is no file or folder /'),
        ("[aliases]", 'catalog = "no.toml"\n[aliases]', 'unknown key "catalog"; did you mean "catalogue"?'),
    ],
)
def test_a_wrong_load_threshold_or_name_is_told_in_one_line_too(write, old, new, message):
    assert old in EVERYTHING
    with pytest.raises(UsageError) as caught:
        plan.load(write(EVERYTHING.replace(old, new, 1)))
    assert f"mine.toml: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plan_that_does_not_exist():
    with pytest.raises(UsageError, match=r'unknown plan "quik"; did you mean "quick"\?'):
        plan.load("quik")
    with pytest.raises(UsageError, match=r"no plan at nowhere/x\.toml"):
        plan.load("nowhere/x.toml")


def test_names_are_checked_and_all_is_spelt_out(small, entries):
    known = entries("b", "a")
    assert naming.resolve(small, known, ["index", "sleep"], "mine.toml").configurations == ["b", "a"]
    with pytest.raises(UsageError, match='unknown scenario "sleep"; known: index'):
        naming.resolve(small, entries("a"), ["index"], "")
    some = narrow(small, {"configurations": ["sanik"]})
    with pytest.raises(UsageError, match=r'unknown configuration "sanik"; did you mean "sanic"\?'):
        naming.resolve(some, entries("sanic", "uvicorn"), ["index", "sleep"], "")


def test_narrowing(small):
    narrowed = narrow(small, {"users": [3], "repeats": 7, "measured_s": 1, "workers": [2]})
    assert {name: loads.users for name, loads in narrowed.scenarios.items()} == {"index": [3], "sleep": [3]}
    assert (narrowed.repeats, narrowed.measured_s, narrowed.workers) == (7, 1, [2])
    assert narrow(small, {}) == small
    # A scenario of its own gets every load of the plan.
    assert narrow(small, {"scenarios": ["sleep", "cpu"]}).scenarios == {
        "sleep": Loads(users=[16]),
        "cpu": Loads(users=[8, 16, 64]),
    }
    with pytest.raises(UsageError, match='command line: key "repeats": input should be greater than 0'):
        narrow(small, {"repeats": 0})


def test_every_kind_of_load_is_read(large):
    index, sleep = large.scenarios["index"], large.scenarios["sleep"]
    assert index.users == [8, 64] and index.most_users == 256
    assert index.open == [
        OpenLoads(rates_per_s=[1000.0, 2500.5], arrivals="poisson"),
        OpenLoads(rates_per_s=[1000.0], arrivals="constant", users=32),
    ]
    assert sleep.users is None and sleep.open == [] and sleep.most_users == 1024
    assert sleep.search == Search(p99_ms=50.0, users=1024, from_rate_per_s=500.0, resolution=0.1)
    assert large.thresholds == {"all": ["failures == 0"], "index": ["p99_ms < 50", "achieved >= 0.99"]}
    assert large.original("sanic-again") == "sanic" and large.original("granian") == "granian"


def test_narrowing_to_users_or_rates_drops_every_other_load(large):
    closed = narrow(large, {"users": [3, 4]}).scenarios
    assert closed == dict.fromkeys(["index", "sleep"], Loads(users=[3, 4]))
    rates = {"rates_per_s": [10.0, 20.0]}
    for asked, expected in (
        ({}, {}),
        ({"arrivals": "poisson"}, {"arrivals": "poisson"}),
        ({"users": [5]}, {"users": 5}),
    ):
        narrowed = narrow(large, rates | asked)
        loads = OpenLoads(**rates, **expected)
        assert list(narrowed.scenarios.values()) == [Loads(open=[loads])] * 2
    for asked, message in (
        ({"arrivals": "poisson"}, "give --rates too"),
        (rates | {"users": [5, 6]}, "--users is one number"),
        (rates | {"arrivals": "poison"}, 'unknown kind of arrivals "poison"; did you mean "poisson"?'),
        ({"rates_per_s": [0.0]}, 'command line: key "scenarios.index.open.0.rates_per_s.0"'),
    ):
        with pytest.raises(UsageError) as caught:
            narrow(large, asked)
        assert message in str(caught.value)


def test_narrowing_to_scenarios_keeps_what_belongs_to_them(large):
    narrowed = narrow(large, {"scenarios": ["sleep", "cpu"]})
    assert narrowed.thresholds == {"all": ["failures == 0"]}
    assert narrowed.scenarios["sleep"] == large.scenarios["sleep"]
    loops = [
        ("constant", [1000.0], 32),
        ("poisson", [1000.0], 256),
        ("poisson", [2500.5], 256),
    ]
    cpu = narrowed.scenarios["cpu"]
    assert cpu.users == [8, 64] and cpu.search is None
    assert [(each.arrivals, each.rates_per_s, each.users) for each in cpu.open] == loops


def test_a_plan_that_was_recorded_reads_the_same(large):
    recorded = json.loads(json.dumps(large.model_dump()))
    assert plan.validate(recorded, "run.json") == large


def test_paths_are_relative_to_the_plan_and_recorded_from_the_root(tmp_path, write, monkeypatch):
    (tmp_path / "own.toml").touch()
    (tmp_path / "loads").mkdir()
    own = 'catalogue = "own.toml"\nlocustfiles = "loads"\n'
    outside = plan.load(write(own + TEXT))
    assert (outside.catalogue, outside.locustfiles) == (str(tmp_path / "own.toml"), str(tmp_path / "loads"))
    monkeypatch.setattr(plan, "ROOT", tmp_path.parent)
    inside = plan.load(write(own + TEXT))
    assert inside.catalogue == f"{tmp_path.name}/own.toml"
    assert plan.validate(inside.model_dump(), "run.json", tmp_path.parent) == inside


def test_aliases_are_checked_and_measured_like_configurations(write, entries):
    names, scenarios = entries("sanic", "uvicorn"), ["index", "sleep"]
    aliased = plan.load(write(TEXT + '[aliases]\nagain = "sanic"\n'))
    assert naming.resolve(aliased, names, scenarios, "").configurations == ["sanic", "uvicorn", "again"]
    some = narrow(aliased, {"configurations": ["again"]})
    assert naming.resolve(some, names, scenarios, "") == some
    for alias, message in (
        (
            'again = "sanik"',
            'mine: key "aliases.again": unknown configuration "sanik"; did you mean "sanic"?',
        ),
        ('uvicorn = "sanic"', 'mine: key "aliases.uvicorn": uvicorn is a configuration; an alias needs'),
    ):
        with pytest.raises(UsageError) as caught:
            naming.resolve(plan.load(write(f"{TEXT}[aliases]\n{alias}\n")), names, scenarios, "mine")
        assert message in str(caught.value)


@pytest.mark.parametrize("name", plan.names())
def test_the_plans_that_come_with_the_suite(name):
    chosen = plan.load(name)
    inputs = Inputs.of(name, chosen, name)
    found = rotating(chosen, inputs.scenarios, {})
    if found.scenarios:
        inputs = inputs.with_plan(with_control(inputs.plan, inputs.configurations, inputs.configurations))
    chosen, catalogue, known = inputs.plan, inputs.catalogue, inputs.configurations
    blocks = possible(expand(in_blocks(chosen, found), 1, known), known, ())
    sittings = Sittings(chosen, tuple(found.scenarios), known).first() if found.scenarios else []
    seconds = estimate_s(chosen, blocks)
    load = load_s(chosen, blocks)
    for sitting in sittings:
        seconds += sitting_s(chosen.rotation, sitting)
        load += under_load_s(chosen.rotation, sitting)
    measured = {block.configuration for block in blocks}
    measured |= {name for sitting in sittings for name in sitting.configurations}
    if chosen.connections is not None:
        connected = Connections(
            chosen.connections, 1, {each: known[each] for each in chosen.configurations}, ()
        )
        measured |= connected.start(1).visited | {*connected.start(1).pausing}
    own = {key for key, entry in catalogue.configurations.items() if entry.variant_of is None}
    # A jitter spreads the ends of several workers.
    alone = {each for each in chosen.configurations if known[each].least_workers and name == "settings"}
    assert measured == set(chosen.configurations) - alone
    if name == "aa":
        loads = {(cell.scenario, cell.load) for sitting in sittings for cell in sitting.cells}
        assert seconds <= 25 * 60 and len(chosen.aliases) * len(loads) >= 60 and len(sittings) >= 5
        assert measured == {*chosen.aliases, *chosen.aliases.values()}
    elif name == "recycle":
        assert measured == {*own, "gunicorn-uvicorn-preload"}
        assert seconds <= 75 * 60 and chosen.recycling.replacements >= 20
    elif name == "recycle-proxy":
        behind = narrow(chosen, {"proxy": "haproxy"})
        assert chosen.proxy == "nginx" and behind.proxy == "haproxy" and chosen.recycling.replacements >= 20
        assert measured == own - {"sanic-single"} and seconds <= 75 * 60
    elif name == "deploy":
        assert measured == own - {"gunicorn-uvicorn-legacy"} | {
            "gunicorn-uvicorn-preload",
            "sanic-recycle-after",
        }
        assert seconds <= 15 * 60 and {probe.kind for probe in chosen.probes} == {"deploy"}
    elif name == "deploy-proxy":
        assert chosen.proxy == "nginx" and seconds <= 45 * 60
        assert measured == own - {"gunicorn-uvicorn-legacy"} | {"sanic-recycle-after"}
        assert [probe.kind for probe in chosen.probes] == ["deploy"] * 3 + ["swap"] * 3
    elif name == "recycle-smoke":
        assert seconds <= 120 and len(chosen.probes) == 2 and chosen.workers == [1, 2]
    elif name == "settings":
        servers = {"sanic", "uvicorn", "gunicorn-uvicorn"}
        variants = {each for each, entry in known.items() if entry.variant_of in servers}
        assert measured == (servers | variants | {*chosen.aliases}) - alone and alone
        assert seconds <= 21 * 60 and len(sittings) >= 5 and chosen.rotation.precision == 0.02
    elif name in ("small-n", "migrate"):
        assert seconds <= 7 * 60 and chosen.workers == [2] and not sittings
    elif name == "lifetime":
        assert measured == {"granian", "granian-lifetime"} and chosen.workers == [2] and not sittings
    elif name == "several":
        assert seconds <= 8 * 60 and chosen.workers == [4] and "gunicorn-uvicorn-preload" in measured
    elif name == "tls":
        parents = {known[each].variant_of or each for each in measured - {*chosen.aliases}}
        assert parents == own - {"gunicorn-uvicorn-legacy"} and len(measured) == 2 * len(parents) + 1
    elif name == "proxy-cost":
        assert chosen.proxy == "nginx" and seconds <= 10 * 60
        assert {(cell.proxy, cell.scenario) for sitting in sittings for cell in sitting.cells} == {
            (way, name) for way in ("nginx", None) for name in ("index", "index-close")
        }
        assert measured == own - {"gunicorn-uvicorn-legacy"} | {*chosen.aliases}
    elif name == "price":
        told = {cell.recycling.max_requests for block in blocks for cell in block.cells}
        assert seconds <= 33 * 60 and told == {None, 500, 2000, 8000}
    elif name == "soak":
        assert chosen.soak is not None and [len(block.cells) for block in blocks] == [1] * 8
    elif name == "price-long":
        told = {cell.recycling.max_requests for block in blocks for cell in block.cells}
        assert seconds <= 21 * 60 and told == {None, 10_000, 50_000} and len(measured) == 3
    else:
        (control,) = chosen.aliases or [None]
        assert measured == own | ({control} if found.scenarios else set())
        assert bool(control) == bool(found.scenarios)
    if name == "smoke":
        assert seconds <= 60 and any(each.open for each in chosen.scenarios.values())
    if name == "quick":
        assert seconds <= 8 * 60 and load / seconds >= 0.6 and chosen.both and len(sittings) >= 5
        assert chosen.rotation.limit_s <= 4.5 * 60 and chosen.rotation.precision == 0.05
    if name == "full":
        assert seconds <= 80 * 60 and load / seconds >= 0.8 and chosen.repeats >= 4
        assert [each for each, loads in chosen.scenarios.items() if loads.search] == ["index"]
        assert {"mixed", "leak"} == set(chosen.scenarios) - found.scenarios
