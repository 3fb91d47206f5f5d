"""The known answers as tables: for the terminal, and in Markdown for the methodology."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from analysis.schema import Run
from bench.known import arithmetic
from bench.known.arithmetic import Load
from bench.known.comparison import Answer, KnownRun

COLUMNS = {"figure": 22, "expected": 10, "measured": 10, "off": 22, "": 5}
"""Of a cell's table in the terminal: their widths."""

CAPTION = (
    f"Right is what is within {arithmetic.TOLERANCE:.0%} of arithmetic, or within a resolution: of "
    f"{arithmetic.ROUND_TRIP_S * 1e3:g} ms for means and medians, because the round trip is part of every "
    f"latency and arithmetic does not know it; of {arithmetic.TAIL_S * 1e3:g} ms for higher percentiles. "
    "What the schedule and the generator's lateness add to the median of an idle server may be "
    f"{arithmetic.ADDED.resolution * 1e3:g} ms. Failures in a window may be off by "
    f"{arithmetic.EDGE_REQUESTS}; counts in all, warm-up included, must be equal."
)


def by_cell(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """The answers by server and load in words, in their order."""
    cells: dict[str, list[Answer]] = {}
    for answer in answers:
        cells.setdefault(f"{answer.configuration}, {load_words(answer.load)}", []).append(answer)
    return cells


def row(answer: Answer) -> tuple[str, ...]:
    """The texts of `COLUMNS`."""
    mark = "ok" if answer.right else "WRONG"
    return (answer.expected.figure, *_values(answer), off(answer), mark)


def load_words(load: Load) -> str:
    """A load for people."""
    if load.rate_per_s is None:
        return f"closed, {load.users} user{'s' if load.users > 1 else ''}"
    return f"open, {load.rate_per_s:g}/s {load.arrivals}"


def off(answer: Answer) -> str:
    """By how much a figure is off: in its unit if it has a resolution, and as a share."""
    difference = answer.measured - answer.expected.value
    if math.isnan(difference):
        return ""
    if answer.expected.exact:
        return f"{difference:+g}"
    share = f"{difference / answer.expected.value:+.1%}" if answer.expected.value else ""
    if answer.expected.unit != "ms":
        return share
    absolute = f"{difference * 1e3:+.2f} ms"
    return f"{absolute} ({share})" if share else absolute


def _values(answer: Answer) -> tuple[str, str]:
    """A figure as expected and as measured."""
    return _value(answer, answer.expected.value), _value(answer, answer.measured)


def _value(answer: Answer, value: float) -> str:
    if answer.expected.unit == "ms":
        return milliseconds(value)
    return f"{value:{',' if answer.expected.exact else ',.5'}g}{answer.expected.unit}"


def milliseconds(seconds: float) -> str:
    """A time for people; a percentile is missing where too few requests lie beyond it."""
    if math.isnan(seconds):
        return "too few"
    ms = seconds * 1e3
    return f"{ms:.2f} ms" if abs(ms) < 100 else f"{ms:.0f} ms"


def markdown(answers: Sequence[Answer], stall: KnownRun, command: str) -> str:
    """The part of the methodology that the command writes: the stall, all cells in short, where and when."""
    parts = [*_stall(stall), "", *_short(answers), "", CAPTION, "", _provenance(stall.run, command)]
    return "\n".join(parts)


def _stall(run: KnownRun) -> Iterator[str]:
    """The same stall in both kinds of loop, beside arithmetic."""
    closed = next(cell for cell in run.cells if cell.load.rate_per_s is None)
    constant = next(cell for cell in run.cells if cell.load.arrivals == "constant")
    behaviour, load = constant.behaviour, constant.load
    assert load.rate_per_s is not None
    known = {
        name: arithmetic.stalled_quantile_s(behaviour, load.rate_per_s, load.users, q)
        for name, q in arithmetic.QUANTILES.items()
    }
    known["max"] = behaviour.stall_s + behaviour.service_s
    yield (
        f"A server that answers in {behaviour.service_s * 1e3:g} ms and stalls for {behaviour.stall_s:g} s "
        f"in every {behaviour.period_s:g} s; closed loop: {closed.load.users} users; "
        f"open loop: {load.rate_per_s:g} requests/s, constant."
    )
    yield ""
    yield "| | closed loop | open loop, service time | open loop, from the schedule | arithmetic |"
    yield "|---|--:|--:|--:|--:|"
    for name, seconds in known.items():
        scheduled = constant.figures[f"schedule {name}"]
        texts = map(milliseconds, (closed.figures[name], constant.figures[name], scheduled, seconds))
        yield f"| {name} | {' | '.join(texts)} |"


def _short(answers: Sequence[Answer]) -> Iterator[str]:
    """A row per cell: how many figures were right, and each as expected and as measured."""
    yield "| server and load | right | expected → measured |"
    yield "|---|--:|---|"
    for cell, of_cell in by_cell(answers).items():
        right = sum(answer.right for answer in of_cell)
        figures = "; ".join(f"{each.expected.figure} {' → '.join(_values(each))}" for each in of_cell)
        yield f"| {cell} | {right} of {len(of_cell)} | {figures} |"


def _provenance(run: Run, command: str) -> str:
    date = datetime.fromtimestamp(run.started, UTC)
    return (
        f"Measured on {date:%Y-%m-%d} by `{command}` on {run.host.cpu}, {run.host.cpus} CPUs, "
        f"{run.host.system}."
    )
