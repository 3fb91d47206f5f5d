import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine import cpus
from bench.machine.topology import Place, imagined


def cores(*names):
    return {cpu: Place(name) for cpu, name in enumerate(names)}


@pytest.mark.parametrize(
    ("usable", "quota", "workers", "server", "generator", "spare"),
    [
        ([0, 1], None, 1, (0,), (1,), ()),
        ([0, 1], None, 4, (0,), (1,), ()),
        ([4, 7, 9], None, 2, (4, 7), (9,), ()),
        ([0, 1, 2, 3], None, 1, (0,), (1,), (2, 3)),
        ([0, 1, 2, 3], None, 2, (0, 1), (2,), (3,)),
        (list(range(8)), None, 8, (0, 1, 2, 3, 4, 5), (6, 7), ()),
        ([0, 1, 2, 3], 2.0, 2, (0,), (1,), ()),
    ],
)
def test_disjoint_cpus_as_far_as_there_are_any(usable, quota, workers, server, generator, spare):
    split = cpus.split(usable, quota, workers, {})
    assert (split.server, split.generator, split.spare) == (server, generator, spare)
    assert split.trusted and split.note is None
    assert not set(split.server) & set(split.generator)
    assert split.own == (spare or generator)


@pytest.mark.parametrize(("usable", "quota"), [([3], None), ([0, 1], 1.0), ([0, 1, 2], 0.5)])
def test_one_cpu_is_shared_and_not_trusted(usable, quota):
    split = cpus.split(usable, quota, 1, {})
    assert split.server == split.generator == (usable[0],)
    assert not split.trusted and "one CPU" in split.note


def test_threads_of_one_core_are_used_last_and_told():
    hyper = cores("a", "a", "b", "b")
    split = cpus.split([0, 1, 2, 3], None, 1, hyper)
    assert (split.server, split.generator, split.note) == ((0,), (2,), None)
    split = cpus.split([0, 1], None, 1, hyper)
    assert split.trusted and "one physical core" in split.note


@pytest.mark.parametrize(
    ("machine", "workers", "server", "generator", "spare"),
    [
        # A second thread of its own core is better for the server than one beside the generator.
        ((4, 1, 2), 2, (0, 2), (1,), (3,)),
        # What shares a core with the server stays idle, unless it is the server's own.
        ((8, 1, 2), 1, (0,), (1,), (2, 3, 6, 7)),
        ((16, 1, 2), 8, (0, 1, 2, 3, 4, 5, 8, 9), (6, 7, 14), (15,)),
        ((64, 1, 2), 8, tuple(range(8)), (8, 9, 10), (*range(11, 32), *range(43, 64))),
        # Sockets: the server has one, all else is on the other.
        ((8, 2, 1), 1, (0,), (4,), (5, 6, 7)),
        ((8, 2, 1), 4, (0, 1, 2, 3), (4, 5), (6, 7)),
        ((64, 2, 2), 16, tuple(range(16)), tuple(range(16, 22)), (*range(22, 32), *range(54, 64))),
        (
            (64, 2, 2),
            32,
            (*range(16), *range(32, 48)),
            tuple(range(16, 27)),
            (*range(27, 32), *range(59, 64)),
        ),
    ],
)
def test_large_machines(machine, workers, server, generator, spare):
    places = imagined(*machine)
    split = cpus.split(range(machine[0]), None, workers, places)
    assert (split.server, split.generator, split.spare) == (server, generator, spare)
    assert split.trusted and split.processes == len(server) + len(generator)


def test_more_workers_than_a_socket_has_threads_share_the_memory_and_it_is_told():
    split = cpus.split(range(64), None, 64, imagined(64, 2, 2))
    assert len(split.server) == 48 and len(split.generator) == 16
    assert "share a socket's memory" in split.note and "beyond 24 workers" in split.note


def test_the_generator_has_what_is_left_of_another_socket_first():
    # Five workers do not fit into one socket of four; of the three CPUs that are left, all are the other's.
    split = cpus.split(range(8), None, 5, imagined(8, 2, 1))
    assert (split.server, split.generator) == ((0, 1, 2, 3, 4), (5, 6))
    # Sockets of three and five: the server has the second, on which it fits.
    places = {cpu: Place(str(cpu), memory=int(cpu > 2)) for cpu in range(8)}
    assert cpus.split(range(8), None, 5, places).server == (3, 4, 5, 6, 7)


MACHINES = st.tuples(st.integers(2, 12), st.integers(1, 3), st.integers(1, 4)).map(
    lambda parts: (parts[0] * parts[1] * parts[2], parts[1], parts[2])
)


@given(MACHINES, st.integers(1, 100), st.data())
def test_sides_share_nothing_that_they_need_not(machine, workers, data):
    places = imagined(*machine)
    usable = data.draw(st.sets(st.sampled_from(sorted(places)), min_size=2))
    quota = data.draw(st.none() | st.floats(2, 100))
    split = cpus.split(sorted(usable), quota, workers, places)
    server, generator, spare = map(set, (split.server, split.generator, split.spare))
    assert 1 <= len(server) <= workers and server | generator | spare <= usable
    assert not server & generator and not spare & (server | generator)
    assert len(generator) == -(-len(server) // 3)
    assert len(server | generator | spare) <= (quota or len(usable))
    several_cores = len({places[cpu].core for cpu in usable}) > 1
    shared = {kind: {getattr(places[c], kind) for c in server} & {getattr(places[c], kind) for c in generator}
              for kind in ("core", "memory")}  # fmt: skip
    assert bool(shared["core"]) != several_cores
    assert not {places[cpu].core for cpu in server} & {places[cpu].core for cpu in spare}
    if shared["memory"] and len({places[cpu].memory for cpu in usable}) > 1:
        assert "share a socket's memory" in split.note
        # It must: on no socket alone would the server have as many, whatever that left to the generator.
        for memory in {places[cpu].memory for cpu in usable}:
            ours = sum(places[cpu].memory == memory for cpu in usable)
            fits = min(ours, 3 * (len(usable) - ours), workers)
            assert fits < len(server) or len(server) + -(-fits // 3) > (quota or len(usable))


def test_a_server_gets_a_cpu_for_each_worker():
    split = cpus.split(range(6), None, 4, {})
    assert split.for_workers(1) == (0,)
    assert split.for_workers(4) == (0, 1, 2, 3)


def test_what_rests_while_servers_start_is_all_but_their_own():
    split = cpus.split([0, 1, 2, 3, 4, 5], None, 3, {})
    assert (split.server, split.generator, split.spare) == ((0, 1, 2), (3,), (4, 5))
    assert split.resting(1) == (3, 4, 5, 1, 2) and split.resting(3) == (3, 4, 5)
    assert cpus.split([0], None, 1, {}).resting(1) == ()


@pytest.mark.parametrize(
    ("own", "others", "sockets", "found"),
    [
        ((0,), (1,), 1, [(0,), (1,)]),
        ((0,), (3, 1, 2), 1, [(0,), (3,), (1,), (2,)]),
        ((0, 1), (2, 3, 4), 1, [(0, 1), (2, 3)]),  # one is left over
        ((0, 1), (2,), 1, [(0, 1)]),
        ((0,), (1, 4, 5), 2, [(0,), (1,)]),  # 4 and 5 have another memory
        ((4,), (0, 5), 2, [(4,), (5,)]),
        ((0,), (), 1, [(0,)]),
    ],
)
def test_others_are_as_good_if_they_are_as_many_and_have_the_same_memory(own, others, sockets, found):
    assert cpus.as_good(own, others, imagined(8, sockets=sockets)) == found


def test_the_quota_of_version_2_is_the_smallest_of_all_groups_around(tmp_path):
    group = tmp_path / "outer" / "inner"
    group.mkdir(parents=True)
    (tmp_path / "outer" / "cpu.max").write_text("150000 100000\n")
    (group / "cpu.max").write_text("max 100000\n")
    proc = tmp_path / "cgroup"
    proc.write_text("0::/outer/inner\n")
    assert cpus.quota(proc, tmp_path) == 1.5
    (tmp_path / "outer" / "cpu.max").write_text("max 100000\n")
    assert cpus.quota(proc, tmp_path) is None


def test_the_quota_of_version_1(tmp_path):
    group = tmp_path / "cpu" / "box"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("50000\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    proc = tmp_path / "cgroup"
    proc.write_text("3:memory:/box\n2:cpu,cpuacct:/box\n")
    assert cpus.quota(proc, tmp_path) == 0.5
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    assert cpus.quota(proc, tmp_path) is None


def test_pinned_puts_the_affinity_back():
    before = os.sched_getaffinity(0)
    one = min(before)
    with cpus.pinned([one]):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before
