import json
from collections import Counter

import pytest

from bench.experiment.blocks import cell_s, estimate_s, expand, load_s
from bench.model.cells import ClosedLoop, Goal, OpenLoop
from bench.model.errors import UsageError
from bench.model.plans import naming, plan
from bench.model.plans.narrowing import narrow
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.recycling import NEVER, Recycling

TEXT = """
summary = "recycling"
configurations = "all"
workers = [1, 2]
repeats = 2
warmup_s = 1
measured_s = 60
[recycling]
max_requests = 500
max_requests_jitter = 50
max_rss_mib = 40
replacements = 20
requests = 4000
[[scenarios.index.open]]
rates_per_s = [800]
users = 64
[[scenarios.leak.open]]
rates_per_s = [1000]
[scenarios.leak.recycling]
requests = 20000
max_rss_mib = 150
[[probes]]
kind = "kill"
scenario = "index"
rate_per_s = 200
after_s = 3
measured_s = 12
[[probes]]
kind = "terminate"
scenario = "long"
rate_per_s = 10
users = 512
after_s = 3
measured_s = 14
"""
SCENARIOS = ["index", "leak", "long"]


@pytest.fixture
def read(tmp_path):
    def written(text=TEXT):
        (tmp_path / "mine.toml").write_text(text)
        return plan.load(str(tmp_path / "mine.toml"))

    return written


@pytest.fixture
def known(entries):
    """A configuration of every kind; the one that cannot recycle has one worker at most."""
    return {
        **entries("flag", recycle="flag", recycle_argv=("--n", "{max_requests}")),
        **entries("spread", recycle="flag", recycle_argv=("{max_requests}", "{max_requests_jitter}")),
        **entries("app", recycle="app", recycle_argv=()),
        **entries("rss", recycle="rss", recycle_argv=("{max_rss_mib}",)),
        **entries("none", recycle="none", recycle_argv=(), max_workers=1),
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "replacements",
            "replacement",
            '[recycling] unknown key "replacement"; did you mean "replacements"?',
        ),
        (
            "requests = 20000",
            "request = 1",
            '[scenarios.leak.recycling] unknown key "request"; did you mean "req',
        ),
        ("after_s = 3", "after = 3", '[probes.0] unknown key "after"; did you mean "after_s"?'),
        ("[[probes]]", "[[probe]]", 'unknown key "probe"; did you mean "probes"?'),
        (
            "[[probes]]",
            "variant = true\n[[probes]]",
            '[scenarios.leak.recycling] unknown key "variant"; known:',
        ),
        ('"kill"', '"kil"', 'key "probes.0.kind": unknown kind of probe "kil"; did you mean "kill"?'),
        ("replacements = 20\n", "", 'key "recycling.replacements": field required'),
        ("replacements = 20", "replacements = 0", 'key "recycling.replacements": input should be'),
        ("max_requests = 500", "max_requests = 0", 'key "recycling.max_requests": input should be'),
        (
            "max_requests = 500\n",
            "",
            'key "recycling": "max_requests_jitter" spreads "max_requests"; give both',
        ),
        (
            "max_requests = 500\nmax_requests_jitter = 50\nmax_rss_mib = 40\n",
            "",
            'key "recycling": says not when; give it "max_requests", "max_rss_mib" or both',
        ),
        ("after_s = 3", "after_s = 12", 'key "probes.0": after_s = 12 lies beyond its window of 12 s'),
        (
            'kind = "terminate"\nscenario = "long"\nrate_per_s = 10',
            'kind = "kill"\nscenario = "index"\nrate_per_s = 200',
            'key "probes": has the probe kill (index, 200/s) twice',
        ),
        (
            "[[scenarios.leak.open]]",
            "[scenarios.leak]\nusers = [8]\n[[scenarios.leak.open]]",
            '[scenarios.leak] "users" are closed loops, and a plan of recycling takes open loads only',
        ),
        (
            "[[scenarios.leak.open]]",
            "[scenarios.leak.search]\np99_ms = 5\nfrom_rate_per_s = 100\n[[scenarios.leak.open]]",
            "[scenarios.leak.search] is a search, and a plan of recycling takes open loads only",
        ),
        (
            "[recycling]",
            '[thresholds]\nall = ["failures == 0", "requests_per_second > 5"]\n[recycling]',
            '[thresholds] all: "requests_per_second" is for closed loops, and a plan of recycling takes',
        ),
    ],
)
def test_a_wrong_plan_of_recycling_is_told_in_one_line(read, old, new, message):
    assert old in TEXT
    with pytest.raises(UsageError) as caught:
        read(TEXT.replace(old, new, 1))
    assert f"mine.toml: {message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_further_n_have_cells_of_their_own_and_one_control(read):
    text = TEXT.replace("replacements = 20", "replacements = 20\nalso_max_requests = [2000, 500]")
    chosen = narrow(read(text), {"configurations": ["uvicorn"], "scenarios": ["index"], "workers": [1]})
    known = {"uvicorn": load_catalogue().get("uvicorn")}
    cells = [cell for block in expand(chosen, 1, known) for cell in block.cells if cell.repeat == 1]
    told = [cell.recycling for cell in cells if cell.probe is None]
    assert sorted(told, key=lambda each: each.max_requests or 0) == [
        NEVER, Recycling(500, 50), Recycling(2000, 50),
    ]  # fmt: skip
    assert len({cell.path for cell in cells}) == len(cells)
    with pytest.raises(UsageError, match='"also_max_requests" are further than "max_requests"'):
        read(text.replace("max_requests = 500\n", "").replace("max_requests_jitter = 50\n", ""))


def test_what_belongs_to_recycling_only_is_refused_elsewhere(read):
    before, _, rest = TEXT.partition("[recycling]")
    without = before + rest[rest.index("[[scenarios") :]
    with pytest.raises(UsageError, match=r"\[\[probes\]\] need \[recycling\], which this plan has not"):
        read(without)
    with pytest.raises(UsageError, match=r"\[scenarios.leak.recycling\] needs \[recycling\], which"):
        read(without.partition("[[probes]]")[0])
    with pytest.raises(UsageError, match=r"mine.toml: \[scenarios\] names none"):
        read(before + "[scenarios]\n")


def test_every_part_is_read_and_recorded(read):
    chosen = read()
    index, leak = (chosen.recycling_in(scenario) for scenario in ("index", "leak"))
    assert (index.max_requests, index.max_rss_mib, index.requests) == (500, 40, 4000)
    assert (leak.max_requests, leak.max_rss_mib, leak.requests, leak.replacements) == (500, 150, 20000, 20)
    assert chosen.loaded == ["index", "leak", "long"] and chosen.most_users == 512
    assert [(each.kind, each.users) for each in chosen.probes] == [("kill", 256), ("terminate", 512)]
    assert plan.validate(json.loads(json.dumps(chosen.model_dump())), "run.json") == chosen


def test_probes_alone_are_a_plan(read, known):
    head, _, probes = TEXT.partition("[[probes]]")
    alone = read(head.partition("[[scenarios")[0] + "[scenarios]\n[[probes]]" + probes)
    assert alone.loaded == ["index", "long"] and alone.most_users == 512
    blocks = expand(naming.resolve(alone, known, SCENARIOS, ""), 1, known)
    assert len(blocks) == 2 * 2 * len(known) and all(block.cells[0].probe for block in blocks)


def test_names_and_missing_numbers_are_told(read, known):
    with pytest.raises(UsageError, match='unknown scenario "long"; known: index, leak'):
        naming.resolve(read(), known, SCENARIOS[:2], "")
    fewer = TEXT.replace("max_rss_mib = 40\n", "")
    with pytest.raises(UsageError, match=r'mine: \[recycling\] lacks "max_rss_mib", by which rss replaces'):
        naming.resolve(read(fewer), known, SCENARIOS, "mine")
    only = narrow(read(fewer), {"configurations": ["rss"], "scenarios": ["leak"]})  # leak has its own
    assert naming.resolve(only, known, SCENARIOS, "mine") == only
    fewer = TEXT.replace("max_requests = 500\nmax_requests_jitter = 50\n", "")
    with pytest.raises(UsageError, match=r'\[recycling\] lacks "max_requests", by which flag replaces'):
        naming.resolve(read(fewer), known, SCENARIOS, "mine")
    some = narrow(read(fewer), {"configurations": ["rss", "none"]})
    assert naming.resolve(some, known, SCENARIOS, "mine") == some


def test_all_leaves_variants_out_unless_asked_for(read, entries):
    known = {**entries("a"), **entries("b", variant_of="a")}
    assert naming.resolve(read(), known, SCENARIOS, "").configurations == ["a"]
    assert naming.resolve(read("variants = true" + TEXT), known, SCENARIOS, "").configurations == ["a", "b"]
    named = narrow(read(), {"configurations": ["b"]})
    assert naming.resolve(named, known, SCENARIOS, "").configurations == ["b"]


def blocks_of(chosen, known, seed=1):
    return expand(naming.resolve(chosen, known, SCENARIOS, ""), seed, known)


def test_every_load_is_run_with_and_without_recycling_and_every_cell_has_a_block(read, known):
    blocks = blocks_of(read(), known)
    assert blocks == blocks_of(read(), known) != blocks_of(read(), known, seed=2)
    cells = [cell for block in blocks for cell in block.cells]
    assert len(cells) == len(blocks) == len({cell.path for cell in cells})
    assert [cell.block for cell in cells] == [block.number for block in blocks]
    first = [cell for cell in cells if cell.repeat == 1]
    assert {cell.path.parent for cell in first} == {cell.path.parent for cell in cells if cell.repeat == 2}
    index, leak = OpenLoop("constant", 800.0, 64), OpenLoop("constant", 1000.0, 256)
    told = {
        "flag": (Recycling(500), Recycling(500)),
        "spread": (Recycling(500, 50), Recycling(500, 50)),
        "app": (Recycling(500, 50), Recycling(500, 50)),
        "rss": (Recycling(max_rss_mib=40), Recycling(max_rss_mib=150)),
    }
    for name in known:
        loads = Counter(
            (each.scenario, each.load, each.workers, each.recycling)
            for each in first
            if each.configuration == name and each.probe is None
        )
        counts = [1] if name == "none" else [1, 2]
        expected = [
            *(("index", index, count, NEVER) for count in counts),
            *(("leak", leak, count, NEVER) for count in counts),
        ]
        if name in told:
            expected += [("index", index, count, told[name][0]) for count in counts]
            expected += [("leak", leak, count, told[name][1]) for count in counts]
        assert loads == Counter(expected)
        probes = [each for each in first if each.configuration == name and each.probe is not None]
        assert {(each.scenario, each.workers, each.load.rate_per_s) for each in probes} == {
            ("index", max(counts), 200.0),
            ("long", max(counts), 10.0),
        }
        assert all(each.recycling == NEVER and each.goal is None for each in probes)


def test_what_cannot_have_so_many_workers_is_left_out_with_its_probes(read, known):
    two = blocks_of(narrow(read(), {"workers": [2]}), known)
    assert {block.configuration for block in two} == set(known) - {"none"}
    assert {block.workers for block in two} == {2}


def test_a_control_is_not_always_before_its_recycled_cell(read, known):
    def comes_first(seed):
        cells = [block.cells[0] for block in blocks_of(read(), known, seed)]
        names = [cell.path.parent.name for cell in cells if cell.configuration == "flag" and cell.repeat == 1]
        return names.index("o800-constant-w1-control") < names.index("o800-constant-w1-n500")

    assert {comes_first(seed) for seed in range(20)} == {True, False}


def test_the_goals_of_cells(read, known):
    cells = {
        (c.configuration, c.scenario, c.workers, c.recycling == NEVER): c
        for block in blocks_of(read(), known)
        for c in block.cells
        if c.probe is None
    }
    control = cells["spread", "index", 2, True]
    assert control.goal == Goal(0, 4000, 5.0)
    # 20 replacements of lives of 525 requests each, which two workers share.
    assert cells["spread", "index", 2, False].goal == Goal(20, 4000, 20 * (525 * 2 / 800) / 2)
    assert cells["flag", "leak", 1, False].goal == Goal(20, 20000, 20.0)
    assert cells["app", "index", 1, False].goal.seconds == pytest.approx(20 * 2.6)
    # One after the other, however many there are.
    assert cells["rss", "index", 1, False].goal == cells["rss", "index", 2, False].goal


@pytest.mark.parametrize(
    ("configuration", "scenario", "folder", "words"),
    [
        ("flag", "index", "o800-constant-w1-n500", "index, 800/s constant, recycled after 500 requests"),
        ("rss", "leak", "o1000-constant-w1-rss150", "leak, 1000/s constant, recycled above 150 MiB"),
        ("none", "index", "o800-constant-w1-control", "index, 800/s constant, not recycled"),
        ("none", "index", "o200-constant-w1-kill", "index, 200/s constant, a worker is killed"),
        ("none", "long", "o10-constant-w1-terminate", "long, 10/s constant, SIGTERM"),
    ],
)
def test_cells_of_recycling_in_paths_and_in_words(read, known, configuration, scenario, folder, words):
    cells = {cell.path: cell for block in blocks_of(read(), known) for cell in block.cells}
    (found,) = [
        cell for path, cell in cells.items() if str(path) == f"{configuration}/{scenario}/{folder}/r1"
    ]
    assert found.words == words


def test_the_estimate_knows_that_cells_end_early(read, known):
    chosen = read()
    blocks = blocks_of(chosen, known)
    cells = {block.cells[0].path: block.cells[0] for block in blocks}
    by_folder = {path.parent: cell_s(chosen, cell) for path, cell in cells.items()}
    of = {str(path): seconds for path, seconds in by_folder.items()}
    overhead = 1 + 0.3
    assert of["flag/index/o800-constant-w1-control"] == pytest.approx(5 + 1.5 + overhead)
    assert of["none/long/o10-constant-w1-terminate"] == pytest.approx(14 + overhead)
    slow = narrow(chosen, {"rates_per_s": [10.0]})
    longest = {cell_s(slow, block.cells[0]) for block in blocks_of(slow, known)}
    assert max(longest) == pytest.approx(60 + overhead)
    seconds = estimate_s(chosen, blocks)
    assert seconds == pytest.approx(2 + len(blocks) + sum(cell_s(chosen, c) for c in cells.values()))
    assert load_s(chosen, blocks) == pytest.approx(seconds - 2 - 1.3 * len(blocks))
    assert estimate_s(chosen, []) == 0


def test_narrowing_recycling(read):
    fewer = narrow(read(), {"max_requests": 90, "replacements": 3})
    assert (fewer.recycling.max_requests, fewer.recycling.replacements) == (90, 3)
    assert (fewer.recycling.max_requests_jitter, fewer.recycling_in("leak").requests) == (50, 20000)
    own = TEXT.replace("requests = 20000", "requests = 20000\nmax_requests = 70\nreplacements = 5")
    assert read(own).recycling_in("leak").max_requests == 70
    narrowed = narrow(read(own), {"max_requests": 90})
    assert narrowed.recycling_in("leak").max_requests == 90
    assert narrowed.recycling_in("leak").replacements == 5
    with pytest.raises(UsageError, match=r'command line: key "recycling\.max_requests": input should'):
        narrow(read(), {"max_requests": 0})
    with pytest.raises(UsageError, match="--max-requests and --replacements narrow a plan of recycling, and"):
        narrow(plan.load("smoke"), {"max_requests": 1, "replacements": 2})


def test_narrowing_to_scenarios_keeps_their_probes(read):
    assert narrow(read(), {}) == read()
    index = narrow(read(), {"scenarios": ["index"]})
    assert list(index.scenarios) == ["index"] and [each.kind for each in index.probes] == ["kill"]
    long = narrow(read(), {"scenarios": ["long"]})
    assert long.scenarios == {} and [each.kind for each in long.probes] == ["terminate"]
    leak = narrow(read(), {"scenarios": ["leak", "cpu"]})
    assert leak.probes == [] and leak.scenarios["leak"] == read().scenarios["leak"]
    assert sorted(each.rates_per_s[0] for each in leak.scenarios["cpu"].open) == [800.0, 1000.0]


def test_narrowing_to_rates_keeps_what_is_different_for_a_scenario(read):
    narrowed = narrow(read(), {"rates_per_s": [50.0], "users": [9]})
    assert narrowed.recycling_in("leak").requests == 20000
    assert [each.open[0].rates_per_s for each in narrowed.scenarios.values()] == [[50.0], [50.0]]
    assert [each.rate_per_s for each in narrowed.probes] == [200.0, 10.0]
    with pytest.raises(
        UsageError, match=r'"users" are closed loops, and a plan .* open loads only \(--rates\)'
    ):
        narrow(read(), {"users": [9]})


def test_closed_loops_have_no_treatment(make_plan, entries):
    chosen = make_plan("a", loads={"open": [{"rates_per_s": [5]}]})
    ((block),) = expand(chosen, 1, entries("a"))
    assert [(cell.load, cell.recycling, cell.goal, cell.probe) for cell in block.cells] == [
        (ClosedLoop(2), None, None, None),
        (OpenLoop("constant", 5.0, 256), None, None, None),
    ]
