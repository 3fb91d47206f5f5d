import pytest

from bench.launch import workers

HEADER = "time,event,pid,role,exit_status\n"
# Two workers of a manager; 4 is ready before 2 dies, 3 dies before 5 is there.
STORY = """1,born,1,manager,
1.1,born,2,worker,
1.1,born,3,worker,
2,ready,2,worker,
2.1,ready,3,worker,
3,born,9,helper,
4,died,9,helper,0
9,born,4,worker,
9.5,ready,4,worker,
10,died,2,worker,0
11,died,3,worker,-9
11.1,born,5,worker,
11.2,born,6,helper,
11.3,died,6,helper,0
11.5,ready,5,worker,
"""


@pytest.fixture
def read(tmp_path):
    def written(text):
        (tmp_path / "workers.csv").write_text(HEADER + text)
        return workers.read(tmp_path)

    return written


def until(last):
    lines = STORY.splitlines(keepends=True)
    (end,) = [number for number, line in enumerate(lines) if line.startswith(last)]
    return "".join(lines[: end + 1])


def test_a_row_that_is_being_written_is_left_out(read):
    events = read("1,born,1,manager,\n2,died,1,manager,-15\n3,born,12")
    assert events == [
        workers.Event(1, "born", 1, "manager", None),
        workers.Event(2, "died", 1, "manager", -15),
    ]
    assert read("") == []


@pytest.mark.parametrize(
    ("last", "since", "count"),
    [
        ("9.5,", 5, 0),  # a successor without a death
        ("10,", 5, 1),
        ("10,", 10.5, 0),  # the death was before the window
        ("11,", 5, 1),  # a death without a successor
        ("11.3,", 5, 1),  # a helper replaces nobody
        ("11.5,", 5, 2),
        ("11.5,", 10.5, 1),
        ("2.1,", 0, 0),
    ],
)
def test_a_replacement_is_a_death_and_a_successor_that_is_ready(read, last, since, count):
    assert workers.replaced(read(until(last)), 2, since) == count


def test_workers_that_die_before_they_are_ready_are_not_replaced(read):
    dying = "".join(f"{20 + n},born,{n},worker,\n{20.5 + n},died,{n},worker,1\n" for n in range(10, 20))
    assert workers.replaced(read(STORY + dying), 2, 15) == 0


def test_the_worker_that_serves_for_longest(read):
    assert workers.oldest(read(until("9.5,"))) == 2
    assert workers.oldest(read(until("10,"))) == 3
    assert workers.oldest(read(STORY)) == 4
    assert workers.oldest(read(until("1.1,born,3"))) is None


def test_how_a_server_ended(read):
    assert workers.last_end(read(until("9.5,"))) is None
    # Without a manager the last worker is the server, whoever was before it (a server that is respawned).
    assert workers.last_end(read(STORY)) == workers.Event(11, "died", 3, "worker", -9)
    ended = read(STORY + "12,died,1,manager,0\n12.1,died,4,worker,-9\n")
    assert workers.last_end(ended) == workers.Event(12, "died", 1, "manager", 0)


def test_workers_with_a_later_release_are_renewed(tmp_path):
    (tmp_path / "ready.csv").write_text("1.5,7,1\n2.5,8,2\n3.5,9,3\n4.5,10,\n5.5,11\n")
    assert workers.renewed(tmp_path) == [8, 9]
