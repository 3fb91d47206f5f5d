from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.experiment.blocks import duration, expand
from bench.model.cells import Block, Cell, ClosedLoop, OpenLoop
from bench.model.errors import UsageError
from bench.model.plans import plan
from bench.model.plans.loads import Search
from bench.model.search import Attempt
from targets.catalogue.configurations import load as load_catalogue

LIKE = load_catalogue().get("uvicorn")
SEARCH = {"p99_ms": 10, "from_rate_per_s": 100}


def cell(load, configuration="sanic", repeat=2, workers=1, scenario="index"):
    return Cell(configuration, scenario, load, workers, repeat, block=1)


@pytest.mark.parametrize(
    ("load", "folder", "words"),
    [
        (ClosedLoop(1), "c1-w1", "index, 1 user"),
        (ClosedLoop(64), "c64-w1", "index, 64 users"),
        (OpenLoop("poisson", 3000.0, 256), "o3000-poisson-w1", "index, 3000/s poisson"),
        (OpenLoop("constant", 0.5, 1), "o0.5-constant-w1", "index, 0.5/s constant"),
        (OpenLoop("constant", 1_234_567.0, 1), "o1234567-constant-w1", "index, 1234567/s constant"),
    ],
)
def test_a_load_in_a_path_and_in_words(load, folder, words):
    assert str(cell(load).path) == f"sanic/index/{folder}/r2"
    assert cell(load).words == words


def test_a_step_of_a_search_has_a_folder_of_its_own():
    search = Search(**SEARCH, arrivals="poisson", users=32)
    step = Block(4, "sanic", 2, 3, ()).step("sleep", search, Attempt(1490.0))
    assert str(step.path) == "sanic/sleep/s1490-poisson-w2/r3"
    assert step.load == OpenLoop("poisson", 1490.0, 32) and (step.block, step.search) == (4, search)


def test_every_configuration_meets_the_same_arrivals():
    load = OpenLoop("poisson", 3000.0, 256)
    first = cell(load).arrivals(7)
    # A hash that changed would break the promise of the recorded seed.
    assert first == {"kind": "poisson", "rate_per_s": 3000.0, "seed": 853121903}
    assert cell(load, configuration="uvicorn", workers=2).arrivals(7) == first
    others = [
        cell(load).arrivals(8),
        cell(load, repeat=3).arrivals(7),
        cell(load, scenario="sleep").arrivals(7),
        cell(OpenLoop("poisson", 3000.5, 256)).arrivals(7),
    ]
    assert len({each["seed"] for each in [first, *others]}) == 5
    assert cell(ClosedLoop(8)).arrivals(7) is None


@given(
    configurations=st.lists(st.sampled_from("abcdefg"), min_size=1, unique=True),
    workers=st.lists(st.integers(1, 4), min_size=1, unique=True),
    repeats=st.integers(1, 4),
    users=st.lists(st.integers(1, 500), min_size=1, max_size=3, unique=True),
    rates=st.lists(st.floats(0.1, 1e6), min_size=1, max_size=3, unique_by=lambda rate: f"{rate:.10g}"),
    limited=st.sets(st.sampled_from("abcdefg")),
    seed=st.integers(),
)
def test_every_repeat_holds_each_configuration_once(
    configurations, workers, repeats, users, rates, limited, seed
):
    chosen = plan.Plan(
        summary="",
        configurations=configurations,
        scenarios={
            "index": {"users": users, "open": [{"rates_per_s": rates, "arrivals": "poisson"}]},
            "sleep": {"users": users[:1], "search": SEARCH},
        },
        workers=workers,
        repeats=repeats,
        warmup_s=1,
        measured_s=1,
    )
    known = {name: replace(LIKE, name=name, max_workers=1 if name in limited else None) for name in "abcdefg"}
    blocks = expand(chosen, seed, known)
    assert blocks == expand(chosen, seed, known)
    wanted = {(c, w) for c in configurations for w in workers if w == 1 or c not in limited}
    for repeat in range(1, repeats + 1):
        pairs = Counter((b.configuration, b.workers) for b in blocks if b.repeat == repeat)
        assert pairs == Counter(wanted)
    assert [b.number for b in blocks] == list(range(1, len(blocks) + 1))
    paths = [cell.path for block in blocks for cell in block.cells]
    assert len(set(paths)) == len(paths) == len(wanted) * repeats * (len(users) + len(rates) + 1)
    closed = [("index", ClosedLoop(u)) for u in users]
    opened = [("index", OpenLoop("poisson", rate, 256)) for rate in rates]
    for block in blocks:
        assert [(c.scenario, c.load) for c in block.cells] == [
            *closed,
            *opened,
            ("sleep", ClosedLoop(users[0])),
        ]
        assert [scenario for scenario, _ in block.searches] == ["sleep"]


def test_the_order_is_random_within_and_between_repeats(make_plan, entries):
    names = list("abcdefgh")
    chosen = make_plan(*names, repeats=2)
    orders = set()
    for seed in range(3):
        blocks = expand(chosen, seed, entries(*names))
        for repeat in (1, 2):
            orders.add(tuple(b.configuration for b in blocks if b.repeat == repeat))
    assert len(orders) == 6


def test_durations_in_words():
    assert [duration(seconds) for seconds in (12, 300, 9000)] == ["12 s", "5.0 min", "2.5 h"]


def test_recycling_is_measured_on_both_ways_and_all_else_behind_the_proxy(entries):
    chosen = plan.validate(
        {
            "summary": "",
            "configurations": ["a"],
            "scenarios": {"index": {"users": [8], "open": [{"rates_per_s": [100]}]}},
            "workers": [1],
            "repeats": 1,
            "warmup_s": 1,
            "measured_s": 1,
            "rotation": {"sittings": 5},
            "recycling": {"max_requests": 10, "replacements": 2, "requests": 20},
            "probes": [
                {
                    "kind": "kill",
                    "scenario": "index",
                    "rate_per_s": 5,
                    "users": 4,
                    "after_s": 1,
                    "measured_s": 3,
                },
                {"kind": "swap", "scenario": "index", "rate_per_s": 5, "after_s": 1, "measured_s": 3},
            ],
            "proxy": "nginx",
        },
        "test",
    )
    blocks = expand(chosen, 1, entries("a", recycle="flag"))
    first, *others = blocks
    assert (first.proxy, first.cells[0].proxy) == ("nginx", "nginx")
    assert str(first.cells[0].path) == "a/index/c8-w1-nginx/r1"
    names = sorted(str(cell.path).split("/")[2] for block in others for cell in block.cells)
    assert names == [
        "o100-constant-w1-control",
        "o100-constant-w1-control-nginx",
        "o100-constant-w1-n10",
        "o100-constant-w1-n10-nginx",
        "o5-constant-w1-kill",
        "o5-constant-w1-kill-nginx",
        "o5-constant-w1-swap-nginx",
    ]
    with pytest.raises(UsageError, match='of the kind "swap" need a proxy: give PROXY=nginx'):
        plan.validate(chosen.model_dump() | {"proxy": None}, "test")
    assert all(block.proxy == cell.proxy for block in others for cell in block.cells)
    assert {cell.words for block in others for cell in block.cells} >= {
        "index, 100/s constant, recycled after 10 requests",
        "index, 100/s constant, recycled after 10 requests, behind nginx",
    }
