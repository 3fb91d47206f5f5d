import pytest

from bench.machine.topology import Place, described, imagined, ranges, read
from bench.model.errors import UsageError


def machine(folder, cpus, nodes):
    """A `/sys/devices/system` with the package and the siblings of each CPU, and the CPUs of each node."""
    for number, (package, siblings) in enumerate(cpus):
        place = folder / f"cpu/cpu{number}/topology"
        place.mkdir(parents=True)
        (place / "physical_package_id").write_text(f"{package}\n")
        (place / "thread_siblings_list").write_text(f"{siblings}\n")
    for number, listed in enumerate(nodes):
        place = folder / f"node/node{number}"
        place.mkdir(parents=True)
        (place / "cpulist").write_text(f"{listed}\n")
    return folder


TWO_SOCKETS = [(0, "0,4"), (0, "1,5"), (1, "2,6"), (1, "3,7")] * 2


@pytest.mark.parametrize(
    ("cpus", "nodes", "memories"),
    [
        (TWO_SOCKETS, ["0-1,4-5", "2-3,6-7"], [0, 0, 1, 1] * 2),
        (TWO_SOCKETS, ["0,4", "1,5", "2,6", "3,7"], [0, 0, 1, 1] * 2),  # two nodes a socket
        (TWO_SOCKETS, ["0-7"], [0] * 8),  # interleaved
        (TWO_SOCKETS, ["0-1,4-5", "2-3,6-7", ""], [0, 0, 1, 1] * 2),  # a node of memory alone
        ([(n, str(n)) for n in range(4)], ["0-3"], [0] * 4),  # a virtual machine
        ([(n, str(n)) for n in range(4)], [], [0] * 4),  # a kernel that knows no nodes
        ([(-1, str(n)) for n in range(2)], ["0-1"], [0] * 2),  # unknown
    ],
)
def test_memory_is_a_sockets_where_it_has_its_own(tmp_path, cpus, nodes, memories):
    found = read(range(len(cpus)), machine(tmp_path, cpus, nodes))
    assert found == {n: Place(cpus[n][1], memory) for n, memory in enumerate(memories)}


def test_only_what_is_asked_for_is_read(tmp_path):
    found = read([6, 3], machine(tmp_path, TWO_SOCKETS, ["0-1,4-5", "2-3,6-7"]))
    assert found == {3: Place("3,7", 1), 6: Place("2,6", 1)}


def test_where_nothing_is_told_every_cpu_is_a_core(tmp_path):
    assert read([0, 3], tmp_path) == {0: Place("0"), 3: Place("3")}


def test_an_imagined_machine_has_second_threads_last():
    found = imagined(8, sockets=2, threads_per_core=2)
    assert [found[cpu].core for cpu in range(8)] == [*"01230123"]
    assert [found[cpu].memory for cpu in range(8)] == [0, 0, 1, 1] * 2
    assert described(found) == "8 CPUs, 4 cores, 2 sockets with memory of their own"
    assert described(imagined(1)) == "1 CPU, 1 core"


@pytest.mark.parametrize("parts", [(7, 2, 1), (6, 2, 2), (3, 1, 2)])
def test_a_machine_that_cannot_be_is_an_error(parts):
    with pytest.raises(UsageError, match=f"a multiple of {parts[1] * parts[2]}"):
        imagined(*parts)


def test_cpus_are_listed_as_the_kernel_does():
    assert ranges([8, 0, 1, 2, 3]) == "0-3,8" and ranges([]) == "" and ranges([5]) == "5"
