"""The live figures against batches whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from swarm.cockpit.live import AT_ONCE, KEPT_S, LATE_S, Live
from swarm.recording.batch import Batch, FailureRow
from swarm.recording.histogram import Histogram

NOW = 1_790_000_000


def batch(second, latencies_us=(), *, name="/", cpu_s=0.0, spin_s=0.0, lost=(), at=0.01, process=0):
    """What the recorder of a process gives when `second` is over; `at` is how long after that."""
    made = Batch()
    if latencies_us:
        histogram = Histogram.of(np.array(latencies_us, np.int64) * 1000)
        made.add_histogram(second, "GET", name, "service", histogram)
        made.add_histogram(second, "GET", name, "lateness", histogram)
    for kind, count in lost:
        made.failures.append(
            FailureRow(second + 0.5, "GET", name, kind, None, None, None, None, count, None, "")
        )
    made.generator.append({"time": second + 1 + at, "process": process, "cpu_s": cpu_s, "spin_s": spin_s})
    return made


def server(second, **changes):
    worker = {"pid": 7, "born": NOW - 9.0, "ready": NOW - 8.0, "cpu": 0.5, "rss_bytes": 1 << 20}
    told = {"second": second, "cpu_s": 0.5, "rss_bytes": 1 << 21, "workers": [worker], "restarts": 0}
    return {**told, "deaths": [], **changes}


@pytest.fixture
def live():
    return Live(full=0.9)


def test_a_second_is_what_the_files_will_say(live):
    live.add(batch(NOW, [100] * 50 + [300] * 50, cpu_s=1.0, spin_s=0.4, lost=[("refused", 3)]))
    live.add(batch(NOW + 1, [200] * 10, cpu_s=1.9, spin_s=0.6))
    live.metered(server(NOW))
    first, second = live.rows(0)
    assert first[:3] == [NOW, 100, 3] and first[3] == pytest.approx(100, rel=1e-3)
    assert first[4] is None, "too few requests for a 99th percentile"
    assert first[5:] == [0.5, None, 1 << 21], "of the generator's CPU time one needs two readings"
    assert second[:3] == [NOW + 1, 10, 0] and second[6] == pytest.approx(0.7)
    assert live.rows(NOW) == [second]


def test_a_second_without_requests_had_none_and_one_that_is_not_metered_is_unknown(live):
    live.add(batch(NOW))
    assert live.rows(0) == [[NOW, 0, 0, None, None, None, None, None]]


def test_names_are_taken_together_and_parts_of_a_second_added(live):
    both = batch(NOW, [100] * 3)
    both.histograms += batch(NOW, [100] * 4, name="/b").histograms
    live.add(both)
    live.add(batch(NOW, [100] * 5))
    assert live.rows(0)[0][1] == 12


@pytest.mark.parametrize("at", [-0.001, 0.0, 0.01, 0.8])
def test_a_row_belongs_to_the_second_before_it_however_late_it_is(live, at):
    live.add(batch(NOW, at=at))
    assert [row[0] for row in live.rows(0)] == [NOW]


def test_cpu_per_request_takes_only_seconds_of_which_both_are_known(live):
    for second in range(NOW, NOW + 3):
        live.add(batch(second, [100] * 1000))
    assert live.cpu_us() is None
    live.metered(server(NOW, cpu_s=0.9))
    live.metered(server(NOW + 1, cpu_s=0.7))
    assert live.cpu_us() == pytest.approx(800.0)


def test_the_generator_is_the_limit_by_its_work_not_by_what_it_polls_in_vain(live):
    for second, (cpu, spin) in enumerate([(0, 0), (1.0, 0.5), (2.0, 1.0)]):
        live.add(batch(NOW + second, [1], cpu_s=cpu, spin_s=spin))
    assert live.generator_cpu() == pytest.approx(0.5) and not live.generator_is_full()
    for second, cpu in enumerate([2.95, 3.9, 4.85, 5.8, 6.75], 3):
        live.add(batch(NOW + second, [1], cpu_s=cpu, spin_s=1.0))
    assert live.generator_is_full()


def test_losses_of_a_restart_are_those_of_the_seconds_around_it(live):
    for second in range(10):
        live.add(batch(NOW + second, [1], lost=[("refused", 1), ("closed_unanswered", second)]))
    death = {"time": NOW + 4.5, "pid": 7, "exit_status": 0, "successor": NOW + 6.2}
    live.metered(server(NOW, deaths=[{**death, "time": 1.0, "successor": None}, death], restarts=2))
    last, before = live.last_restarts()
    assert (before["time"], before["losses"]) == (1.0, {})
    assert last["pid"] == 7 and live.restarts == 2
    # From 3 (a second before the death began) to 7 (a second after the successor).
    assert last["losses"] == {"refused": 5, "closed_unanswered": 3 + 4 + 5 + 6 + 7}


def test_nobody_has_died(live):
    assert live.last_restarts() == []


def test_the_newest_restarts_are_told_of():
    live = Live(full=0.9)
    deaths = [{"time": NOW + each, "pid": each, "exit_status": 0, "successor": None} for each in range(20)]
    live.metered(server(NOW, deaths=deaths, restarts=20))
    assert [each["pid"] for each in live.last_restarts()] == [19, 18, 17, 16, 15]


def test_what_a_lone_worker_served_is_what_was_answered_since_it_was_ready(live):
    for second in range(NOW, NOW + 4):
        live.add(batch(second, [1] * 10))
    assert live.served(NOW + 1.5) == 30
    assert live.served(NOW - 5.0) == 40, "it was ready before the load began"
    live.metered(server(NOW, deaths=[{"time": NOW, "pid": 1, "exit_status": 0, "successor": NOW}]))
    assert live.served(NOW + 1.5) is None, "its predecessor may have answered some of them"
    live.metered(server(NOW))
    live.add(batch(NOW + KEPT_S + 2, [1] * 10))
    assert live.served(NOW - 5.0) is None, "what it served at first is forgotten"
    assert live.served(NOW + 2.5) == 30


def test_memory_and_answers_are_bounded(live):
    for second in range(KEPT_S + 50):
        live.add(batch(NOW + second, [1], lost=[("refused", 1)]))
    assert len(live.seconds) == KEPT_S + 1
    assert sum(each.histogram is not None for each in live.seconds.values()) <= LATE_S + 1
    rows = live.rows(0)
    assert len(rows) == AT_ONCE and rows[0][0] == NOW + 49
    assert live.rows(rows[-1][0])[0][0] == rows[-1][0] + 1
    live.clear()
    assert live.rows(0) == [] and live.last_restarts() == []


def test_of_several_processes_a_second_is_shown_when_all_have_told_of_it():
    live = Live(full=0.9, processes=2)
    for second, cpu_s in ((NOW, 0.5), (NOW + 1, 1.0)):
        live.add(batch(second, cpu_s=0.1 * cpu_s, process=0))  # the master
        live.add(batch(second, [100] * 500, cpu_s=cpu_s, lost=[("refused", 1)], process=1))
    live.metered(server(NOW))
    assert [row[1:5] for row in live.rows(0)] == [[None] * 4] * 2 and live.cpu_us() is None
    live.add(batch(NOW, [300] * 500, cpu_s=0.6, lost=[("refused", 2)], process=2))
    first, second = live.rows(0)
    assert first[:3] == [NOW, 1000, 3] and second[1:5] == [None] * 4
    assert first[3] == pytest.approx(100, rel=1e-3) and first[4] == pytest.approx(300, rel=1e-3)
    assert live.cpu_us() == pytest.approx(500.0)
    live.add(batch(NOW + 1, cpu_s=1.5, process=2))
    assert live.rows(NOW)[0][:3] == [NOW + 1, 500, 1]
    assert live.generator_cpu() == pytest.approx(0.05 + 0.5 + 0.9), "master and workers"
    assert not live.generator_is_full(), "1.45 of two CPUs"


def test_what_was_recorded_of_the_last_second_is_shown_when_the_load_is_over():
    live = Live(full=0.9, processes=2)
    for process in range(3):
        live.add(batch(NOW, [100] * 10, process=process))
    last = batch(NOW + 1, [100] * 4)
    last.generator.clear()
    live.add(last)
    assert live.rows(NOW)[0][1] is None
    live.ended()
    assert live.rows(NOW)[0][1] == 4
    live.metered(server(NOW + 1))
    assert live.rows(NOW)[0][5] == 0.5 and live.workers == [], "its server is taken down"


def test_a_process_that_was_held_up_for_a_second_holds_up_nothing_for_good():
    live = Live(full=0.9, processes=2)
    for process in range(2):
        for second in range(NOW, NOW + 3):
            live.add(batch(second, [1], process=process))
    for second in (NOW, NOW + 2):
        live.add(batch(second, [1], process=2))
    assert [row[1] for row in live.rows(0)] == [3, 2, 3]
