import os

import pytest

from bench.machine import cpus


def cores(*names):
    return dict(enumerate(names))


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


def test_a_server_gets_a_cpu_for_each_worker():
    split = cpus.split(range(6), None, 4, {})
    assert split.for_workers(1) == (0,)
    assert split.for_workers(4) == (0, 1, 2, 3)


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
