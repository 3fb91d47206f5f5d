import pytest

from bench.studies.cockpit.cost import Counts, Window, cost, counted


def windows(pairs):
    """Pairs of windows of four seconds, the watched one first in every second pair."""
    made = []
    for pair in range(pairs):
        for place, watched in enumerate((True, False) if pair % 2 else (False, True)):
            start = 100.0 + pair * 10 + place * 5 + 1
            made.append(Window(pair, watched, start, start + 4))
    return made


def table(of_windows, rate):
    """A row a second, in which `rate(window)` requests per second were completed."""
    rows, total = [(99.0, 0.0)], 0.0
    last = round(max(each.end for each in of_windows))
    for second in range(100, last + 2):
        inside = next((each for each in of_windows if each.start < second <= each.end), None)
        total += 1000.0 if inside is None else rate(inside)
        rows.append((float(second), total))
    return rows


def full(table):
    """What a generator counts whose CPU is always full."""
    return Counts(table, [(time, time - 99.0) for time, _ in table])


def test_a_cost_of_two_percent_is_found_in_pairs_that_drift():
    chosen = windows(6)
    found = cost(
        chosen, full(table(chosen, lambda each: (1000 + 100 * each.pair) * (0.98 if each.watched else 1)))
    )
    requests, cpu = found.throughput, found.cpu
    assert requests.ratio == pytest.approx(0.98) and requests.low <= 0.98 <= requests.high
    assert cpu.ratio == pytest.approx(1 / 0.98) and found.pairs == 6


def test_the_interval_is_as_wide_as_the_pairs_differ():
    chosen = windows(4)
    found = cost(chosen, full(table(chosen, lambda each: 1000 * (1 + 0.05 * (each.pair % 2) * each.watched))))
    assert found.throughput.low < 1 < found.throughput.high
    assert found.throughput.ratio == pytest.approx(1.05**0.5)


def test_a_generator_with_time_to_spare_is_judged_by_its_own_time():
    """Half the requests for half the CPU time is somebody else's doing."""
    chosen = windows(4)
    rates = table(chosen, lambda each: 500 if each.watched else 1000)
    found = cost(chosen, Counts(rates, [(time, requests / 2000) for time, requests in rates]))
    assert found.throughput.ratio == pytest.approx(0.5) and found.cpu.ratio == pytest.approx(1)
    assert "CPU per request 1.0000 (95 %" in str(found) and "requests/s 0.5000" in str(found)


def test_a_generators_rows_are_read_without_the_time_that_polling_burnt(tmp_path):
    path = tmp_path / "generator.csv"
    path.write_text("time,process,requests,cpu_s,spin_s\n100.5,0,10,1.5,0.25\n101.5,0,30,2.5,0.5\n")
    assert counted(path) == Counts([(100.5, 10.0), (101.5, 30.0)], [(100.5, 1.25), (101.5, 2.0)])
