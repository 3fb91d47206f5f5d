"""A plan that compares servers and replaces their workers as well."""

import pytest

from bench.experiment.blocks import expand, longest_window_s
from bench.model.cells import ClosedLoop, OpenLoop
from bench.model.errors import UsageError
from bench.model.plans import plan
from bench.model.plans.narrowing import narrow
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.recycling import NEVER, Recycling

TEXT = """
summary = "both"
configurations = ["sanic", "sanic-single", "again"]
workers = [1]
repeats = 3
warmup_s = 0.5
measured_s = 2
[aliases]
again = "sanic"
[rotation]
[recycling]
max_requests = 500
replacements = 9
requests = 2000
repeats = 1
measured_s = 30
[scenarios.index]
users = [64]
[[scenarios.index.open]]
rates_per_s = [800]
users = 32
[scenarios.sleep]
users = [512]
"""


@pytest.fixture
def read(tmp_path):
    def written(text=TEXT):
        (tmp_path / "mine.toml").write_text(text)
        return plan.load(str(tmp_path / "mine.toml"))

    return written


def blocks_of(chosen):
    known = load_catalogue().configurations
    return expand(chosen, 1, known | {"again": known["sanic"]})


def test_closed_loops_share_a_block_and_each_recycled_cell_has_its_own(read):
    chosen = read()
    blocks = blocks_of(chosen)
    closed, open_ = blocks[:9], blocks[9:]
    for block in closed:
        assert [(cell.scenario, cell.load) for cell in block.cells] == [
            ("index", ClosedLoop(64)),
            ("sleep", ClosedLoop(512)),
        ]
        assert all(cell.recycling is None and longest_window_s(chosen, cell) == 2 for cell in block.cells)
    assert {block.configuration for block in closed} == {"sanic", "sanic-single", "again"}
    # Once, and not under the second name.
    cells = [cell for block in open_ for cell in block.cells]
    assert len(cells) == len(open_) == 3 and {cell.load for cell in cells} == {
        OpenLoop("constant", 800.0, 32)
    }
    assert all(longest_window_s(chosen, cell) == 30 for cell in cells)
    found = [(cell.configuration, cell.recycling) for cell in cells]
    assert sorted(found, key=str) == sorted(
        [("sanic", Recycling(500, 0)), ("sanic", NEVER), ("sanic-single", NEVER)], key=str
    )


def test_closed_loops_beside_recycling_need_a_rotation(read):
    with pytest.raises(UsageError, match="a plan of recycling takes open loads only"):
        read(TEXT.replace("[rotation]", ""))


def test_other_users_leave_the_recycling_as_it_is(read):
    chosen = narrow(read(), {"users": [8]})
    assert chosen.scenarios["index"].users == chosen.scenarios["sleep"].users == [8]
    assert [loop.rates_per_s for loop in chosen.scenarios["index"].open] == [[800.0]]
    assert not chosen.scenarios["sleep"].open


@pytest.mark.parametrize(
    "changes",
    [
        {"rates_per_s": [100.0]},
        {"locustfiles": "locustfiles/index.py", "scenarios": ["index"]},
        {"external": {"url": "http://127.0.0.1:1", "name": "mine"}, "rotation": None},
    ],
)
def test_what_cannot_replace_workers_narrows_it_to_the_comparison(changes):
    chosen = narrow(plan.load("quick"), changes)
    assert chosen.recycling is None
    opened = [loop.rates_per_s for loads in chosen.scenarios.values() for loop in loads.open]
    assert opened == ([[100.0], [100.0]] if "rates_per_s" in changes else [])


def test_a_scenario_that_the_plan_does_not_name_is_compared_only(read):
    chosen = narrow(read(), {"scenarios": ["mixed"]})
    assert chosen.scenarios["mixed"].users == [64, 512] and not chosen.scenarios["mixed"].open


def test_recycling_is_narrowed_as_elsewhere(read):
    chosen = narrow(read(), {"replacements": 30, "max_requests": 200})
    assert (chosen.recycling.replacements, chosen.recycling.max_requests) == (30, 200)
