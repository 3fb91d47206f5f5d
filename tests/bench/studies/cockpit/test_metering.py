import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.studies.cockpit.metering import Meter, grown

PROCESSES = "time,pid,role,cpu_s,rss_bytes,pss_bytes\n"
WORKERS = "time,event,pid,role,exit_status\n"


class Serve:
    """Writes what serve writes."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "processes.csv").write_text(PROCESSES)
        (folder / "workers.csv").write_text(WORKERS)

    def _append(self, name, row):
        with (self.folder / name).open("a") as file:
            file.write(",".join(map(str, row)) + "\n")

    def sample(self, time, *rows):
        for pid, role, cpu_s, rss in (*rows, (1, "meter", time, 5)):
            self._append("processes.csv", (f"{time:.6f}", pid, role, cpu_s, rss, ""))

    def event(self, time, event, pid, status=""):
        self._append("workers.csv", (time, event, pid, "worker", status))


@pytest.fixture
def serve(tmp_path):
    return Serve(tmp_path)


def test_a_second_is_told_of_when_it_was_sampled_to_its_end(serve, tmp_path):
    serve.event(90.0, "born", 7)
    serve.event(91.0, "ready", 7)
    meter = Meter(tmp_path, 1, since=99.5)
    serve.sample(99.8, (6, "manager", 1.0, ""), (7, "worker", 10.0, 4096))
    serve.sample(100.8, (6, "manager", 1.1, ""), (7, "worker", 10.5, 8192))
    assert list(meter.seconds()) == []
    serve.sample(101.8, (6, "manager", 1.1, ""), (7, "worker", 11.5, 9999))
    assert list(meter.seconds()) == [], "the last sample may not be whole"
    serve.sample(102.0, (6, "manager", 1.1, ""), (7, "worker", 11.6, ""))
    (second,) = meter.seconds()
    # From 100 (the line from 99.8 to 100.8) to 101 (from 100.8 to 101.8).
    worker = 0.8 * 0.5 + 0.2 * 1.0
    assert second["second"] == 100 and second["cpu_s"] == pytest.approx(worker + 0.8 * 0.1)
    assert second["rss_bytes"] == 8192, "without the meter, at the last sample before the second's end"
    (told,) = second["workers"]
    assert told == {"pid": 7, "born": 90.0, "ready": 91.0, "cpu": pytest.approx(worker), "rss_bytes": 8192}
    assert second["restarts"] == 0 and second["deaths"] == []
    assert list(meter.seconds()) == []


def test_half_a_row_waits_for_its_end(serve, tmp_path):
    meter = Meter(tmp_path, 1, since=100)
    serve.sample(100.0, (7, "worker", 1.0, 1))
    serve.sample(101.5, (7, "worker", 2.5, 1))
    with (tmp_path / "processes.csv").open("a") as file:
        file.write("102.0,7,work")
    assert list(meter.seconds()) == []
    with (tmp_path / "processes.csv").open("a") as file:
        file.write("er,3.0,1,\n")
    assert [each["cpu_s"] for each in meter.seconds()] == [pytest.approx(1.0)]


def test_a_worker_is_replaced_and_its_successors_life_begins_at_zero(serve, tmp_path):
    for pid, born, ready in ((7, 90.0, 91.0), (8, 100.4, 100.6)):
        serve.event(born, "born", pid)
        serve.event(ready, "ready", pid)
    serve.event(100.7, "died", 7, 0)
    meter = Meter(tmp_path, 1, since=100)
    serve.sample(99.9, (7, "worker", 5.0, 100))
    serve.sample(100.3, (7, "worker", 5.4, 100))
    serve.sample(100.9, (8, "worker", 0.5, 200))
    serve.sample(101.4, (8, "worker", 1.0, 200))
    serve.sample(102.4, (8, "worker", 1.5, 200))
    serve.sample(102.6, (8, "worker", 1.6, 200))
    first, second = meter.seconds()
    assert first["cpu_s"] == pytest.approx((5.4 - 5.1) + 0.5 + 0.1), "the newborn's from its birth on"
    assert [each["pid"] for each in first["workers"]] == [8] and first["restarts"] == 1
    assert first["deaths"] == [{"time": 100.7, "pid": 7, "exit_status": 0, "successor": 100.6}]
    assert second["cpu_s"] == pytest.approx(0.4 + 0.3)


def test_of_a_death_without_a_successor_that_is_said(serve, tmp_path):
    serve.event(91.0, "ready", 7)
    serve.event(100.5, "died", 7, -9)
    meter = Meter(tmp_path, 1, since=100)
    for moment in (100.0, 101.0, 101.2):
        serve.sample(moment)
        serve.sample(moment, (6, "manager", 1.0, 1))
    (second,) = meter.seconds()
    assert second["deaths"][0]["successor"] is None and second["restarts"] == 0 and second["workers"] == []


def test_a_second_in_which_nothing_was_weighed_has_no_size(serve, tmp_path):
    meter = Meter(tmp_path, 1, since=100)
    for moment in (99.5, 100.5, 101.5, 102.5):
        serve.sample(moment, (7, "worker", moment, ""))
    assert [each["rss_bytes"] for each in meter.seconds()] == [None]


@given(
    st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0, 1)), min_size=3, max_size=60),
    st.integers(1, 20),
)
def test_seconds_add_up_to_what_was_used_between_their_edges(tmp_path_factory, steps, looks):
    folder = tmp_path_factory.mktemp("serve")
    serve, curve, told = Serve(folder), [(100.0, 0.0)], []
    serve.event(100.0, "born", 7)
    meter = Meter(folder, 1, since=100)
    for index, (gap, used) in enumerate(steps):
        curve.append((curve[-1][0] + gap, curve[-1][1] + used * gap))
        serve.sample(round(curve[-1][0], 6), (7, "worker", curve[-1][1], 1))
        if index % looks == 0:
            told += meter.seconds()
    told += meter.seconds()
    assert [each["second"] for each in told] == list(range(100, 100 + len(told)))
    assert 100 + len(told) <= curve[-2][0] + 1e-6 < 101 + len(told)
    expected = grown(curve, 100, 100 + len(told))
    assert sum(each["cpu_s"] for each in told) == pytest.approx(expected, abs=1e-4)
