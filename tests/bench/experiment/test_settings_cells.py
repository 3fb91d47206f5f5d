"""Which cells a plan of settings has."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.experiment.blocks import expand
from bench.experiment.rotation.schedule import Rotating, Sittings, in_blocks, with_control
from bench.model.cells import ClosedLoop, OpenLoop
from bench.model.plans import naming, plan
from bench.model.plans.settings import ConnectionsTable
from targets.catalogue.recycling import NEVER, Recycling
from targets.catalogue.variants import Variant
from tests.bench.variants import KNOWN, TEXT

TAIL, RECYCLED = OpenLoop("constant", 1500.0, 256), OpenLoop("constant", 800.0, 256)


@pytest.fixture
def chosen(tmp_path):
    (tmp_path / "mine.toml").write_text(TEXT.replace('["uvicorn"]', '"all"'))
    return naming.resolve(plan.load(str(tmp_path / "mine.toml")), KNOWN, ["index"], "mine")


def test_all_rotate_and_what_a_change_is_expected_to_do_decides_about_the_rest(chosen):
    blocks = expand(in_blocks(chosen, Rotating(frozenset({"index"}))), 1, KNOWN)
    cells = [cell for block in blocks for cell in block.cells]
    tails = [cell for cell in cells if cell.load == TAIL]
    assert {cell.configuration for cell in tails} == {"a", "a-gc"} and len(tails) == 2 * 2
    assert all(cell.recycling is None and cell.goal is None for cell in tails)
    recycled = [cell for cell in cells if cell.load == RECYCLED]
    assert {cell.configuration for cell in recycled} == {"b", "b-preload"} and len(recycled) == 2 * 2 * 2
    assert {cell.recycling for cell in recycled} == {NEVER, Recycling(500, 0)}
    assert len(cells) == len(tails) + len(recycled)
    assert len({cell.path for cell in cells}) == len(cells)
    with_alias = with_control(chosen, KNOWN, KNOWN)
    sittings = Sittings(with_alias, ("index",), KNOWN | {"a-again": KNOWN["a"]})
    assert sittings.first()[0].configurations == ["a", "a-log", "a-gc", "b", "b-preload", "a-again"]
    assert sittings.parents == {"a-log": "a", "a-gc": "a", "b-preload": "b"}


def test_in_blocks_all_have_the_closed_loops(chosen):
    cells = [cell for block in expand(in_blocks(chosen, Rotating()), 1, KNOWN) for cell in block.cells]
    closed = [cell.configuration for cell in cells if not isinstance(cell.load, OpenLoop)]
    assert set(closed) == {"a", "a-log", "a-gc", "b", "b-preload"} and len(closed) == 5 * 3
    assert {cell.configuration for cell in cells if cell.load == TAIL} == {"a", "a-gc"}


def test_what_other_loads_tell_has_no_closed_loops(chosen):
    known = {name: KNOWN[name] for name in ("a", "b", "a-log", "b-preload")}
    for name, expects in {
        "a-backlog": ("bursts",),
        "a-both": ("pauses", "cpu"),
        "b-jitter": ("stall",),
    }.items():
        about = Variant(name[0], "it", "a change", "", "", expects=expects)
        known[name] = replace(known[name[0]], name=name, variant_of=name[0], variant=about)
    given = chosen.model_copy(update={"configurations": list(known), "connections": ConnectionsTable()})

    def closed(changed):
        (sitting, *_) = Sittings(changed, ("index",), known).first()
        blocks = expand(in_blocks(changed, Rotating()), 1, known)
        cells = [cell for block in blocks for cell in block.cells if isinstance(cell.load, ClosedLoop)]
        assert {cell.configuration for cell in cells} == {*sitting.configurations}
        return {*sitting.configurations}

    usual = {"a", "b", "a-log", "b-preload", "a-both"}
    assert closed(given) == usual
    assert closed(given.model_copy(update={"connections": None})) == usual | {"a-backlog"}
    assert closed(given.model_copy(update={"recycling": None})) == usual | {"b-jitter"}
    # The connections of a user's own app are not measured.
    assert closed(given.model_copy(update={"own_app": SimpleNamespace()})) == usual | {"a-backlog"}
    assert closed(given.model_copy(update={"settings": False})) == {*known}


def test_elsewhere_a_load_under_which_workers_stay_has_every_configuration(chosen):
    plain = chosen.model_copy(update={"settings": False})
    cells = [cell for block in expand(plain, 1, KNOWN) for cell in block.cells]
    assert {cell.configuration for cell in cells if cell.load == TAIL} == set(chosen.configurations)
    assert all(cell.recycling is None for cell in cells if cell.load == TAIL)
    assert all(cell.recycling is not None for cell in cells if cell.load == RECYCLED)


def test_workers_of_its_own_are_beside_the_fewest_of_the_plan_and_jitter_beside_several(chosen):
    known = {name: entry for name, entry in KNOWN.items() if name in ("a", "b")}
    about = Variant("a", "workers", "a change", "", "", expects=("throughput",))
    three = replace(known["a"], name="a-three", variant_of="a", variant=about, workers=3)
    jitter = Variant("b", "jitter", "a change", "", "", expects=("stall",))
    even = replace(
        known["b"], name="b-even", variant_of="b", variant=jitter, max_requests_jitter=0, least_workers=2
    )
    known |= {"a-three": three, "b-even": even}
    for numbers, with_three, with_even in (([1], {1}, set()), ([1, 4], {1}, {4}), ([3], set(), {3})):
        plan_of = chosen.model_copy(update={"workers": numbers, "configurations": list(known)})
        cells = [cell for block in expand(plan_of, 1, known) for cell in block.cells]
        assert {cell.workers for cell in cells if cell.configuration == "a-three"} == with_three
        assert {cell.workers for cell in cells if cell.configuration == "b-even"} == with_even
        told = {cell.recycling for cell in cells if cell.configuration == "b-even" and cell.recycling}
        assert told <= {NEVER, Recycling(500, 0)}
        beside = {cell.workers for cell in cells if cell.configuration == "b" and cell.recycling}
        assert with_even <= beside and (with_even or not beside), "nothing is to be compared with it"


def test_one_of_the_network_is_served_where_workers_are_replaced_and_nowhere_else(chosen):
    about = Variant("b", "network", "a change", "", "", expects=("losses",))
    known = {name: KNOWN[name] for name in ("a", "b")}
    known["b-net"] = replace(
        known["b"], name="b-net", variant_of="b", variant=about, sysctls={"net.ipv4.tcp_migrate_req": 1}
    )
    given = chosen.model_copy(update={"configurations": list(known)})
    for plan_of in (given, given.model_copy(update={"settings": False})):
        cells = [cell for block in expand(plan_of, 1, known) for cell in block.cells]
        assert {cell.recycling for cell in cells if cell.configuration == "b-net"} == {
            NEVER,
            Recycling(500, 0),
        }
    assert "b-net" not in Sittings(given, ("index",), known).first()[0].configurations


def test_elsewhere_all_are_compared_with_the_best(chosen):
    assert Sittings(chosen.model_copy(update={"settings": False}), ("index",), KNOWN).parents is None


def test_what_cannot_be_had_is_compared_with_nothing(chosen):
    left = {name: entry for name, entry in KNOWN.items() if name != "a"}
    assert Sittings(chosen, ("index",), left).parents == {"b-preload": "b"}
