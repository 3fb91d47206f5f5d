import pytest

from bench.cockpit.cost import Window, completed, cost


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


def test_a_cost_of_two_percent_is_found_in_pairs_that_drift():
    chosen = windows(6)
    found = cost(chosen, table(chosen, lambda each: (1000 + 100 * each.pair) * (0.98 if each.watched else 1)))
    assert found.ratio == pytest.approx(0.98) and found.low <= 0.98 <= found.high and found.pairs == 6


def test_the_interval_is_as_wide_as_the_pairs_differ():
    chosen = windows(4)
    found = cost(chosen, table(chosen, lambda each: 1000 * (1 + 0.05 * (each.pair % 2) * each.watched)))
    assert found.low < 1 < found.high and found.ratio == pytest.approx(1.05**0.5)


def test_completed_requests_are_read_of_the_generators_rows(tmp_path):
    path = tmp_path / "generator.csv"
    path.write_text("time,process,requests\n100.5,0,10\n101.5,0,30\n")
    assert completed(path) == [(100.5, 10.0), (101.5, 30.0)]
