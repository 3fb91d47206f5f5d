"""What of a plan rotates, and the sittings that it becomes."""

import json
import subprocess
import sys
from collections import Counter
from resource import RLIM_INFINITY

import pytest

from bench.experiment.blocks import expand, possible
from bench.experiment.rotation.schedule import (
    Rotating,
    Sittings,
    in_blocks,
    most_connections,
    planned_s,
    rotating,
    seed_of,
    sitting_s,
    why_not_side_by_side,
    with_control,
    within_limit,
)
from bench.machine import memory
from bench.machine.host import open_files
from bench.model import scenarios
from bench.model.cells import ClosedLoop
from bench.model.errors import UsageError, UserError
from bench.model.plans import plan
from bench.model.plans.narrowing import narrow

ALL = scenarios.load()
OPEN = {"open": [{"rates_per_s": [100]}]}
ROTATION = {"sittings": 2, "load_s": 1.0, "settle_s": 0.5}


@pytest.fixture
def chosen(make_plan):
    """Two configurations, one of which has one worker only, under closed and open loads."""
    return make_plan("a", "b", users=(8, 64), loads=OPEN, rotation=ROTATION).model_copy(
        update={"workers": [1, 2]}
    )


@pytest.fixture
def known(entries):
    return entries("a") | entries("b", max_workers=1)


def test_a_sitting_has_every_configuration_that_can_have_so_many_workers_under_every_closed_load(
    chosen, known
):
    sittings = Sittings(chosen, ("index",), known)
    first = sittings.first()
    assert [(each.number, each.repeat, each.workers) for each in first] == [
        (1, 1, 1), (2, 1, 2), (3, 2, 1), (4, 2, 2),
    ]  # fmt: skip
    alone, together = first[1], first[2]
    assert (alone.configurations, together.configurations) == (["a"], ["a", "b"])
    assert together.loads("index") == [ClosedLoop(8), ClosedLoop(64)]
    assert [str(cell.path) for cell in together.under("index", ClosedLoop(64))] == [
        "a/index/c64-w1/r2",
        "b/index/c64-w1/r2",
    ]
    assert {(cell.repeat, cell.block) for cell in together.cells} == {(2, 3)}


def test_what_rotates_is_not_in_blocks_and_open_loops_stay_there(chosen, known):
    found = rotating(chosen, ALL, {})
    assert found == Rotating(frozenset({"index"}))
    with_alias = with_control(chosen, known, known)
    blocks = expand(in_blocks(with_alias, found), 1, known | {"a-again": known["a"]})
    loads = Counter(
        (cell.configuration, cell.workers, type(cell.load).__name__) for b in blocks for cell in b.cells
    )
    assert loads == {("a", 1, "OpenLoop"): 1, ("a", 2, "OpenLoop"): 1, ("b", 1, "OpenLoop"): 1}


def test_a_plan_that_rotates_alone_has_no_blocks(make_plan, entries):
    chosen = make_plan("a", rotation=ROTATION)
    known = entries("a")
    assert not possible(expand(in_blocks(chosen, rotating(chosen, ALL, {})), 1, known), known, ())


def test_scenarios_that_need_a_server_for_themselves_stay_in_blocks(make_plan, entries):
    loads = {name: {"users": [4]} for name in ("index", "mixed", "leak", "sleep")}
    chosen = plan.validate(make_plan("a", rotation=ROTATION).model_dump() | {"scenarios": loads}, "a test")
    found = rotating(chosen, ALL, {"sleep": "its users wait"})
    assert found.scenarios == {"index"} and found.in_blocks["sleep"] == "its users wait"
    assert set(found.in_blocks) == {"mixed", "leak", "sleep"}
    (block,) = expand(in_blocks(chosen, found), 1, entries("a"))
    assert [cell.scenario for cell in block.cells] == ["mixed", "leak", "sleep"]


def test_what_a_scenario_says_of_itself_is_what_the_generator_says():
    """The suite's own files are not loaded before a run."""
    files = {str(entry.path): entry for entry in ALL.values()}
    words = [sys.executable, "-m", "swarm.describe", *files]
    done = subprocess.run(words, cwd=scenarios.ROOT, capture_output=True, text=True, check=True)
    described = json.loads(done.stdout.splitlines()[-1])["scenarios"]
    for file, entry in files.items():
        if entry.rotates:
            assert described[file]["rotates_not"] is None, file
    assert not [name for name in ("mixed", "leak", "leak-50k") if ALL[name].rotates]


@pytest.mark.parametrize("value", ["1", "maybe()", '"no"'])
def test_a_file_that_does_not_say_whether_it_rotates_is_told(tmp_path, value):
    (tmp_path / "mine.py").write_text(f"ROTATES = {value}\n")
    with pytest.raises(UserError, match=r"mine.py, line 1: ROTATES must be True or False"):
        scenarios.load(tmp_path)


# -- The control


def test_the_control_is_the_first_configuration_that_is_there_under_a_second_name(chosen, known):
    changed = with_control(chosen, known, ["b"])
    assert (changed.aliases, changed.configurations) == ({"b-again": "b"}, ["a", "b", "b-again"])
    assert with_control(changed, known, ["a", "b"]) == changed  # of a run that goes on
    assert with_control(chosen, known, []) == chosen


def test_no_control_takes_the_name_of_a_configuration(chosen, known):
    changed = with_control(chosen, [*known, "a-again"], known)
    assert changed.aliases == {"a-again-2": "a"}


# -- Machines that are too small


def test_closed_loops_are_in_blocks_where_servers_cannot_be_side_by_side(chosen, known):
    small = Rotating(reason="one CPU")
    blocks = expand(in_blocks(chosen, small), 1, known)
    assert {block.repeat for block in blocks} == {1, 2}  # as many as it had sittings
    assert sum(isinstance(cell.load, ClosedLoop) for block in blocks for cell in block.cells) == 2 * 3 * 2


def test_why_servers_cannot_be_side_by_side(chosen, known, monkeypatch):
    monkeypatch.setattr("bench.experiment.rotation.schedule.available_bytes", lambda: 8 << 30)
    assert why_not_side_by_side(chosen, known, 2, None) is None
    assert "one CPU" in why_not_side_by_side(chosen, known, 1, None)
    assert "--port" in why_not_side_by_side(chosen, known, 2, 8000)
    monkeypatch.setattr("bench.experiment.rotation.schedule.available_bytes", lambda: 100 << 20)
    assert why_not_side_by_side(chosen, known, 2, None) == (
        "all servers at once may need 360 MiB of memory, and 100 MiB are free"
    )


def test_a_generator_holds_connections_to_all_servers_at_once(chosen, known, monkeypatch):
    servers = sum(name in known for name in chosen.configurations)
    most = max(count for loads in chosen.scenarios.values() for count in loads.users or [])
    # A control comes on top.
    connections = most * (servers + 1)
    assert most_connections(chosen, known) == connections
    needed = open_files(connections, 2)
    for limit, fits in ((needed, True), (needed - 1, False), (RLIM_INFINITY, True)):
        monkeypatch.setattr(
            "bench.experiment.rotation.schedule.open_file_limits", lambda limit=limit: (64, limit)
        )
        why = why_not_side_by_side(chosen, known, 2, None)
        assert (why is None) == fits and (fits or f"would hold {connections:,} connections" in why)


def test_behind_a_proxy_every_server_is_a_target_twice(chosen, known):
    behind = chosen.model_copy(update={"proxy": "nginx"})
    sitting = Sittings(behind, ("index",), known).first()[0]
    cells = sitting.under("index", ClosedLoop(8))
    assert [cell.target for cell in cells] == ["a@nginx", "a", "b@nginx", "b"]
    assert sitting.configurations == ["a", "b"], "both of one server"
    assert most_connections(behind, known) == 2 * most_connections(chosen, known)
    # A server that listens on a Unix socket has no other way.
    alone = behind.model_copy(update={"proxy_socket": "unix"})
    cells = Sittings(alone, ("index",), known).first()[0].under("index", ClosedLoop(8))
    assert [cell.target for cell in cells] == ["a@nginx", "b@nginx"]
    assert most_connections(alone, known) == most_connections(chosen, known)


def cgroup(tmp_path, **files):
    (tmp_path / "meminfo").write_text("MemTotal: 9000000 kB\nMemAvailable: 8000000 kB\n")
    (tmp_path / "cgroup").write_text("0::/outer/inner\n")
    group = tmp_path / "fs" / "outer" / "inner"
    group.mkdir(parents=True)
    for name, text in files.items():
        (group / name.replace("_", ".", 1)).write_text(text)
    return memory.available_bytes(tmp_path / "meminfo", tmp_path / "cgroup", tmp_path / "fs")


def test_memory_is_what_the_machine_has_and_the_control_group_allows(tmp_path):
    assert cgroup(tmp_path) == 8_000_000 << 10


def test_a_control_group_allows_less(tmp_path):
    stat = "anon 5\ninactive_file 40\n"
    assert cgroup(tmp_path, memory_max="1000\n", memory_current="300\n", memory_stat=stat) == 740


def test_a_control_group_without_a_limit_allows_all(tmp_path):
    assert cgroup(tmp_path, memory_max="max\n", memory_current="300\n") == 8_000_000 << 10


def test_memory_that_nobody_tells_is_unknown(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert memory.available_bytes(nowhere, nowhere, nowhere) is None


# -- How long it takes, and by which timetable


def test_every_load_of_every_sitting_has_a_timetable_of_its_own(chosen, known):
    sittings = Sittings(chosen, ("index",), known).first()
    seeds = {
        seed_of(seed, sitting, scenario, ClosedLoop(users))
        for seed in (1, 2) for sitting in sittings for scenario in ("index", "sleep") for users in (8, 64)
    }  # fmt: skip
    assert len(seeds) == 2 * 4 * 2 * 2
    assert seed_of(1, sittings[0], "index", ClosedLoop(8)) == 1545890379


def test_a_plan_takes_its_sittings_or_its_limit_where_a_precision_is_to_be_reached(chosen, known):
    sittings = Sittings(chosen, ("index",), known)
    seconds = sum(sitting_s(sittings.table, each) for each in sittings.first())
    assert planned_s(sittings) == pytest.approx(seconds)
    table = sittings.table.model_copy(update={"precision": 0.05, "limit_s": 900.0})
    precise = chosen.model_copy(update={"rotation": table})
    assert planned_s(Sittings(precise, ("index",), known)) == 900


@pytest.mark.parametrize(
    ("limit_s", "spent_s", "load_s"),
    [
        (None, 0.0, 1.0),  # nobody asked
        (900.0, 0.0, 1.0),  # there is time
        # 2 x 10 s beside the load; 8 cells of 0.5 s, and of 1.35 s for each second of windows.
        (20 + 4 + 8 * 1.35 * 0.8, 0.0, 0.8),
        (60 + 20 + 4 + 8 * 1.35 * 0.8, 60.0, 0.8),
        (10.0, 0.0, 0.667),  # windows that tell nothing would not help
        (10.0, 900.0, 0.667),
    ],
)
def test_windows_are_shorter_where_the_least_sittings_would_take_too_long(
    chosen, known, limit_s, spent_s, load_s
):
    sittings = Sittings(chosen, ("index",), known)
    certain = [(each, 10.0) for each in sittings.first() if each.workers == 1]
    assert sum(len(each.cells) for each, _ in certain) == 8
    table = sittings.table.model_copy(update={"limit_s": limit_s})
    found = within_limit(table, certain, spent_s)
    assert found.load_s == pytest.approx(load_s, abs=0.001)
    assert found.model_copy(update={"load_s": 1.0}) == table
    assert within_limit(table, [], spent_s) == table  # what is added fits, or is not


# -- The plan's table


def test_a_plan_cannot_have_more_sittings_than_its_most(make_plan):
    chosen = make_plan("a").model_dump() | {"rotation": {"sittings": 9, "most_sittings": 3}}
    with pytest.raises(UsageError, match='key "rotation": most_sittings = 3 is less than sittings = 9'):
        plan.validate(chosen, "mine.toml")


def test_a_rotation_is_narrowed(make_plan):
    chosen = make_plan("a", rotation={"precision": 0.05, "limit_s": 60.0})
    more = narrow(chosen, {"sittings": 40}).rotation
    assert (more.sittings, more.most_sittings, more.precision) == (40, 40, None)
    both = narrow(chosen, {"sittings": 3, "precision": 0.1, "limit_s": 5.0}).rotation
    assert (both.sittings, both.precision, both.limit_s) == (3, 0.1, 5.0)
    assert narrow(chosen, {"precision": 0.01}).rotation.sittings == 5
    shorter = narrow(chosen, {"repeats": 1, "measured_s": 4})
    assert (shorter.rotation.sittings, shorter.rotation.load_s, shorter.repeats) == (1, 4.0, 1)
    assert narrow(chosen, {"blocks": True}).rotation.blocks
    assert rotating(narrow(chosen, {"blocks": True}), ALL, {}).reason == "as asked (--blocks)"


def test_a_plan_without_a_rotation_is_not_narrowed_to_one(make_plan):
    chosen = make_plan("a")
    with pytest.raises(UsageError, match=r"--time-limit narrow a plan with \[rotation\], and this has none"):
        narrow(chosen, {"limit_s": 5.0})
    assert narrow(chosen, {"blocks": True}) == chosen


def test_an_external_server_is_alone(make_plan):
    chosen = make_plan("a", rotation=ROTATION)
    changes = {"external": {"url": "http://127.0.0.1:8000", "name": "mine"}}
    assert narrow(chosen, changes).rotation is None
