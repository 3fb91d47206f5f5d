"""The known recyclers do what their catalogue says, by their own books and by what serve writes of them."""

import os
import signal

import pytest

from bench.launch import stacks
from bench.launch.local import Processes
from bench.launch.server import ServerError
from targets.catalogue.configurations import load
from tests.patience import LONG_S, wait_until
from tests.recycling.conftest import HERE
from tests.targets.conftest import PROJECT

LOST = "RemoteDisconnected"


@pytest.fixture
def recycler(served):
    """Serves a known recycler."""
    return lambda name, *options: served("configurations.toml", name, *options)


def lives(server):
    """How many requests each worker finished whose life has ended, by the log of requests."""
    ended = {entry["pid"] for entry in server.books("ended")}
    return [len(numbers) for pid, numbers in server.handled().items() if pid in ended]


def await_deaths(server, count):
    wait_until(lambda: len(server.events("died")) >= count, f"{count} workers die")


def test_an_honest_one_replaces_each_worker_after_n_requests_and_loses_nothing(recycler):
    server = recycler("honest", "--workers", 2, "--max-requests", 20)
    assert server.visit(150) == [200] * 150
    # The kernel decides who gets which: the two that are left have had 38 at most, so 6 or 7 have ended.
    ended = (150 - sum(len(handled) for handled in server.handled().values() if len(handled) < 20)) // 20
    await_deaths(server, ended)
    assert lives(server) == [20] * ended
    assert ended in (6, 7)
    born, died = server.events("born"), server.events("died")
    assert (len(born), len(died)) == (ended + 2, ended)
    assert server.end() == 0


def test_its_successors_are_ready_before_their_predecessors_end(recycler):
    server = recycler("honest", "--workers", 1, "--max-requests", 20)
    server.visit(50)
    await_deaths(server, 2)
    ready = [float(row["time"]) for row in server.rows("workers.csv") if row["event"] == "ready"]
    died = [float(row["time"]) for row in server.rows("workers.csv") if row["event"] == "died"]
    assert all(successor < death for successor, death in zip(ready[1:], died, strict=True))


def test_without_n_nobody_is_replaced(recycler):
    server = recycler("honest", "--workers", 1)
    assert server.visit(50) == [200] * 50
    assert list(server.handled()) == server.events("ready") == [server.whoami()]


def test_jitter_makes_lives_differ_within_bounds(recycler):
    server = recycler("jittered", "--workers", 1, "--max-requests", 20, "--max-requests-jitter", 10)
    assert server.visit(130) == [200] * 130
    assert set(lives(server)) <= set(range(20, 31))
    assert len(set(lives(server))) > 1


def test_a_lossy_one_loses_what_its_books_say(recycler):
    server = recycler("lossy", "--workers", 1, "--max-requests", 20)
    outcomes = server.visit(60)
    expected = {18: "finished", 19: "finished", 20: "started", 21: "no", 22: "no"}
    expected |= {number + 22: handled for number, handled in expected.items()}
    assert [number for number, outcome in enumerate(outcomes, 1) if outcome == LOST] == list(expected)
    assert {int(entry["id"][2:]): entry["handled"] for entry in server.books("lost")} == expected
    started = {number: pid for pid, numbers in server.handled("started").items() for number in numbers}
    finished = {number: pid for pid, numbers in server.handled("finished").items() for number in numbers}
    assert {number for number, handled in expected.items() if handled != "no"} == set(started) & set(expected)
    assert {number for number, handled in expected.items() if handled == "finished"} == set(finished) & set(
        expected
    )
    assert [entry["pid"] for entry in server.books("lost")] == [started.get(number) for number in expected]


def test_a_stalling_one_is_silent_between_two_workers(recycler):
    server = recycler("stalling", "--workers", 1, "--max-requests", 20)
    assert server.visit(50) == [200] * 50
    ends = [entry["time"] for entry in server.books("ended")]
    ready = [float(line.split(",")[0]) for line in (server.metrics / "ready.csv").read_text().splitlines()]
    assert len(ends) == 2
    assert all(start - end >= 0.3 for start, end in zip(ready[1:], ends, strict=True))
    handled = [float(row["time"]) for row in server.rows("requests.csv")]
    assert not [moment for moment in handled for end in ends if end < moment < end + 0.3]


def test_one_that_only_exits_is_started_again_by_serve(recycler):
    server = recycler("respawned", "--max-requests", 20)
    first = server.whoami()
    assert server.visit(20) == [200] * 20
    wait_until(lambda: len(server.events("ready")) == 2, "serve starts it again")
    assert server.whoami() != first
    assert server.events("died") == [first]
    assert server.end() == 0


def test_one_that_ends_after_n_requests_ends_serve(recycler):
    server = recycler("exits", "--workers", 1, "--max-requests", 20)
    outcomes = server.visit(25)
    assert outcomes[:20] == [200] * 20
    assert 200 not in outcomes[20:]
    assert server.process.wait(timeout=LONG_S) == 5


@pytest.mark.parametrize(
    ("name", "life"), [("never", None), ("early", 4), ("dies-at-once", 1), ("leaks-workers", 20)]
)
def test_how_long_workers_live(recycler, name, life):
    server = recycler(name, "--workers", 1, "--max-requests", 20)
    assert server.visit(50) == [200] * 50
    assert lives(server) == ([life] * (50 // life) if life else [])


def test_old_workers_stay_alive_where_they_leak(recycler):
    server = recycler("leaks-workers", "--workers", 1, "--max-requests", 20)
    server.visit(50)
    wait_until(lambda: len(server.events("ready")) == 3, "two more workers start")
    assert server.events("died") == []


def test_pids_change_with_each_request_without_a_worker_being_replaced(recycler):
    server = recycler("changing-pid", "--workers", 1, "--max-requests", 20)
    assert server.visit(50) == [200] * 50
    assert [len(numbers) for numbers in server.handled().values()] == [1] * 50
    assert len(server.events("ready")) == 1


def test_nothing_but_500_after_n(recycler):
    server = recycler("answers-500", "--workers", 2, "--max-requests", 20)
    assert server.visit(50) == [200] * 20 + [500] * 30


@pytest.mark.parametrize("workers", [1, 2])
def test_one_whose_workers_start_and_end_is_never_ready(workers, tmp_path, monkeypatch):
    """Each announces itself, so that waiting for announcements would wait in vain or be content too early."""
    catalogue = load(HERE / "configurations.toml")
    environment = stacks.ensure(catalogue.stacks["current"], print)
    monkeypatch.chdir(PROJECT)
    with (
        Processes().open(
            {"current": environment}, tmp_path, print, catalogue=HERE / "configurations.toml"
        ) as launcher,
        pytest.raises(ServerError) as caught,
    ):
        launcher.start(catalogue.get("stillborn"), workers, tmp_path / "m", [0])
    said = str(caught.value).splitlines()
    assert said[0] == "stillborn did not start (exit status 3): keeps starting workers that die"


@pytest.mark.parametrize(("name", "left"), [("honest", 2), ("deserted", 1), ("collapses", 0)])
def test_what_becomes_of_a_server_whose_worker_is_killed(recycler, name, left):
    server = recycler(name, "--workers", 2)
    killed = server.events("ready")[0]
    os.kill(killed, signal.SIGKILL)
    await_deaths(server, 1 if left else 2)
    if left:
        serving = set()
        wait_until(lambda: serving.add(server.whoami()) or len(serving) == left, "as many serve as are left")
        assert server.visit(20) == [200] * 20
        assert killed not in server.handled()
        assert len(server.handled()) == left
    else:
        assert server.process.wait(timeout=LONG_S) == 5
