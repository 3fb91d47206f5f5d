import io
import re

import pytest
from rich.console import Console

from bench.experiment.blocks import expand
from bench.experiment.progress import RunProgress
from bench.model.plans.plan import validate
from bench.model.search import Attempt, Found

SEARCH = {"p99_ms": 10, "from_rate_per_s": 1000}
MEASURED = {"requests": 1500, "failures": 0, "latency_us": {"service": {"p99": 900.0}}}
OPEN = MEASURED | {"latency_us": {"from_schedule": {"p99": 1234.0}}}


@pytest.fixture
def chosen(make_plan):
    loads = {"open": [{"rates_per_s": [500]}], "search": SEARCH}
    return make_plan("sanic", "uvicorn", users=(8,), loads=loads)


def show(chosen, entries, answer, steps, terminal):
    """Go through the first of two blocks with a search of so many steps; returns what was shown."""
    first, second = blocks = expand(chosen, 1, entries("sanic", "uvicorn"))
    output = io.StringIO()
    console = Console(file=output, width=200, force_terminal=terminal, no_color=True)
    with RunProgress(console, blocks, chosen) as progress:
        progress.block(first)
        closed, opened = first.cells
        progress.measured(closed, MEASURED, 1)
        progress.measured(opened, OPEN, 1)
        ((scenario, search),) = first.searches
        for number in range(steps):
            step = first.step(scenario, search, Attempt(1000.0 + number))
            progress.cell(step)
            progress.measured(step, OPEN, 1)
        progress.searched(first, scenario, search, answer, steps)
        progress.block_done(first)
        progress.block(second)
    return output.getvalue()


def test_a_cell_without_any_success_says_so(chosen, entries, monkeypatch):
    monkeypatch.setitem(MEASURED, "requests", 0)
    monkeypatch.setitem(MEASURED, "failures", 1801)
    (line,) = show(chosen, entries, None, steps=0, terminal=False).splitlines()
    assert "index, 8 users every request FAILED (1,801); " in line


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Found(12_300.0, at_least=False), "index, p99 within 10 ms up to 12,300/s"),
        (Found(62.5, at_least=True), "index, p99 within 10 ms up to at least 62.5/s"),
        (Found(None, at_least=False), "index, p99 within 10 ms at no rate tried"),
        (Found(None, at_least=True), "index, p99 within 10 ms: not found, the generator was late itself"),
        (None, "index, p99 within 10 ms: not found"),
    ],
)
def test_a_block_is_told_in_a_line(chosen, entries, answer, words):
    (line,) = show(chosen, entries, answer, steps=3, terminal=False).splitlines()
    assert re.match(r"\[1/2\] \w+, 1 worker, repeat 1: index, 8 users 1,500/s; ", line)
    assert f"; index, 500/s constant p99 1.23 ms; {words}; " in line
    assert re.search(r"; \d+:\d\d left$", line)


@pytest.mark.parametrize(("steps", "total"), [(3, 14), (7, 18), (9, 20)])
def test_the_number_of_cells_is_put_right_when_a_search_is_over(chosen, entries, steps, total):
    output = show(chosen, entries, Found(1.0, at_least=False), steps, terminal=True)
    # Two loads and the usual seven steps in both blocks, at first.
    counted = re.findall(r"(\d+)/(\d+) cells", output)
    assert counted[0] == ("0", "18") and counted[-1] == (str(steps + 2), str(total))


def test_what_is_left_never_falls_below_nothing(chosen, entries):
    left = re.findall(r"(-?\d+):(-?\d\d) left", show(chosen, entries, None, steps=30, terminal=True))
    assert len(left) > 30 and all(int(minutes) >= 0 for minutes, _ in left)


@pytest.mark.parametrize(
    ("percentiles", "words"),
    [
        ({"p50": 400.0, "p90": 900.0, "p99": None}, "p90 0.9 ms"),
        ({"p50": None, "p90": None, "p99": None}, "1,500/s"),
    ],
)
def test_an_open_load_with_few_requests_is_told_by_what_they_allow(chosen, entries, percentiles, words):
    few = MEASURED | {"latency_us": {"from_schedule": percentiles}}
    (block, _) = blocks = expand(chosen, 1, entries("sanic", "uvicorn"))
    output = io.StringIO()
    with RunProgress(Console(file=output, width=200), blocks, chosen) as progress:
        progress.block(block)
        progress.measured(block.cells[1], few, 1)
        progress.block_done(block)
    assert f"index, 500/s constant {words}; " in output.getvalue()


def test_a_cell_of_recycling_is_told_by_what_happened_to_its_server(entries):
    text = {
        "summary": "",
        "configurations": ["uvicorn"],
        "recycling": {"max_requests": 10, "replacements": 2, "requests": 100},
        "scenarios": {"index": {"open": [{"rates_per_s": [50]}]}},
        "workers": [1],
        "repeats": 1,
        "warmup_s": 1,
        "measured_s": 60,
    }
    chosen = validate(text, "")
    blocks = expand(chosen, 1, entries("uvicorn"))
    output = io.StringIO()
    console = Console(file=output, width=200, force_terminal=True, no_color=True)
    with RunProgress(console, blocks, chosen) as progress:
        for block in blocks:
            (cell,) = block.cells
            progress.block(block)
            progress.cell(cell)
            progress.rate({"requests_per_s": 50.0, "failures_per_s": 1.0}, "1/2 replaced, 1 failed")
            progress.measured(cell, MEASURED | {"failures": 3}, 4, "2 replaced, the server ended")
            progress.block_done(block)
    shown = output.getvalue()
    assert "50 requests/s, 1 failures/s  1/2 replaced, 1 failed" in shown
    said = "2 replaced, the server ended, 3 of 1,503 requests failed"
    assert f"repeat 1: index, 50/s constant, recycled after 10 requests: {said}" in shown
    assert f"repeat 1: index, 50/s constant, not recycled: {said}" in shown
    # 2 + 1.5 s each, with a second of warm-up, 0.3 s around the cell and 1 s to start its server.
    assert re.findall(r"\d+:\d\d left", shown)[0] == "0:12 left"
