"""A run of known servers as the analysis sees it, held against arithmetic, and the tables that show it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cells import summary
from analysis.reading import frames
from analysis.reading import results as analysed
from bench.model.documents import markdown_table
from bench.model.errors import UserError
from bench.model.records.run import Run
from bench.stats import histograms
from bench.studies.self_check.known import arithmetic
from bench.studies.self_check.known.arithmetic import Expected, KnownLoad
from bench.studies.self_check.known.server import Behaviour, behaviour_in, read_totals

# The kinds of latency by what stands before their figures' names.
KINDS = {"": "service", "schedule ": "from_schedule"}


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


@dataclass(frozen=True)
class KnownAnswer:
    """A figure of a cell as expected and as measured; times are seconds."""

    configuration: str
    load: KnownLoad
    expected: Expected
    measured: float

    @property
    def right(self) -> bool:
        return self.expected.allows(self.measured)


@dataclass(frozen=True)
class KnownCell:
    """A cell: what its server and load were, and what the analysis makes of it.

    `figures` are by the names of `Expected.figure`, times in seconds; `served` is how many requests the
    server says it read.
    """

    configuration: str
    behaviour: Behaviour
    load: KnownLoad
    figures: dict[str, float]
    served: int

    def answers(self) -> Iterator[KnownAnswer]:
        """Every figure that arithmetic knows."""
        expected = [
            *arithmetic.expectations(self.behaviour, self.load),
            *arithmetic.counts(self.behaviour, self.served, self.figures["requests in the window"]),
        ]
        for figure in expected:
            yield KnownAnswer(self.configuration, self.load, figure, self.figures[figure.figure])


@dataclass(frozen=True)
class KnownRun:
    """A run of known servers, its cells in the order they were measured."""

    run: Run
    cells: tuple[KnownCell, ...]

    def answers(self) -> Iterator[KnownAnswer]:
        for cell in self.cells:
            yield from cell.answers()
        yield from self._added_to_idle()

    def _added_to_idle(self) -> Iterator[KnownAnswer]:
        """What the schedule and the generator's own lateness add to the median of an idle server."""
        idle = [cell for cell in self.cells if cell.behaviour == Behaviour()]
        undisturbed = [cell.figures["p50"] for cell in idle if cell.load.rate_per_s is None]
        for cell in idle:
            if undisturbed and cell.load.rate_per_s is not None:
                added = cell.figures["schedule p50"] + cell.figures["lateness p50"] - min(undisturbed)
                yield KnownAnswer(cell.configuration, cell.load, arithmetic.ADDED, added)


def read(folder: Path) -> KnownRun:
    """Read a run of known servers.

    Raises:
        UserError: it cannot be read, no cell was finished, or a server has not printed its totals.
    """
    results = analysed.load(folder)
    summarised = summary.summarise(results)
    times = {prefix: _times(results.latencies, kind) for prefix, kind in KINDS.items()}
    totals = _whole(results)
    cells = []
    cell: Any
    for cell, row in results.finished.sort_values("started").iterrows():
        figures = {
            f"{prefix}{name}": value for prefix, of in times.items() for name, value in of[cell].items()
        }
        is_open = row["load_kind"] == "open"
        cells.append(
            KnownCell(
                configuration=row["configuration"],
                behaviour=behaviour_in(shlex.split(row["command"])),
                load=KnownLoad(row["users"], row["rate_per_s"], row["arrivals"])
                if is_open
                else KnownLoad(row["users"]),
                figures=figures | totals[cell] | _window(summarised.loc[cell]),
                served=_served(folder / row["path"] / "server.log"),
            )
        )
    return KnownRun(results.run, tuple(cells))


def _window(row: Any) -> dict[str, float]:
    """The figures of a window that are columns of the summary."""
    return {
        "users (X·R)": float(row["little"] * row["users"]),
        "achieved": float(row["achieved"]),
        "offered": float(row["offered"]),
        "lateness p50": float(row["late_p50_us"]) / 1e6,
        "requests in the window": float(row["requests"] + row["failures"]),
        "failures in the window": float(row["failures"]),
    }


def _times(latencies: pd.DataFrame, kind: str) -> dict[Any, dict[str, float]]:
    """Mean, maximum and percentiles of one kind of latency by cell, in seconds; none where it has none."""
    times: dict[Any, dict[str, float]] = {cell: {} for cell in latencies["cell"].unique()}
    for row in histograms.describe(latencies, ["cell"], kind).to_dict("records"):
        times[row["cell"]] |= {"mean": row["mean_us"] / 1e6, "max": row["max_us"] / 1e6}
    for cell, own in histograms.merge(latencies, ["cell"], kind).groupby("cell"):
        for name, q in arithmetic.QUANTILES.items():
            times[cell][name] = histograms.quantile(own["bucket_us"], own["count"], q) / 1e6
    return times


def _whole(results: analysed.Results) -> dict[Any, dict[str, float]]:
    """What the generator counted by cell from the first request to the last, warm-up included."""
    latencies = frames.read(results.directory, results.finished, "latency")
    failures = frames.read(results.directory, results.finished, "failures")
    answered = latencies[latencies["kind"] == "service"].groupby("cell")["count"].sum()
    failed = failures.groupby("cell")["count"].sum()
    return {
        cell: {
            "requests in all": int(answered.get(cell, 0) + failed.get(cell, 0)),
            "failures in all": int(failed.get(cell, 0)),
        }
        for cell in results.finished.index
    }


def _served(log: Path) -> int:
    totals = read_totals(log.read_text(encoding="utf-8"))
    if totals is None:
        raise UserError(f"{log}: the server did not say how many requests it read; measure again")
    return totals[0]


def by_cell(answers: Sequence[KnownAnswer]) -> dict[str, list[KnownAnswer]]:
    """The answers by server and load in words, in their order."""
    cells: dict[str, list[KnownAnswer]] = {}
    for answer in answers:
        cells.setdefault(f"{answer.configuration}, {load_words(answer.load)}", []).append(answer)
    return cells


def row(answer: KnownAnswer) -> tuple[str, ...]:
    """The texts of `COLUMNS`."""
    mark = "ok" if answer.right else "WRONG"
    return (answer.expected.figure, *_values(answer), off(answer), mark)


def load_words(load: KnownLoad) -> str:
    """A load for people."""
    if load.rate_per_s is None:
        return f"closed, {load.users} user{'s' if load.users > 1 else ''}"
    return f"open, {load.rate_per_s:g}/s {load.arrivals}"


def off(answer: KnownAnswer) -> str:
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


def _values(answer: KnownAnswer) -> tuple[str, str]:
    """A figure as expected and as measured."""
    return _value(answer, answer.expected.value), _value(answer, answer.measured)


def _value(answer: KnownAnswer, value: float) -> str:
    if answer.expected.unit == "ms":
        return milliseconds(value)
    return f"{value:{',' if answer.expected.exact else ',.5'}g}{answer.expected.unit}"


def milliseconds(seconds: float) -> str:
    """A time for people; a percentile is missing where too few requests lie beyond it."""
    if math.isnan(seconds):
        return "too few"
    ms = seconds * 1e3
    return f"{ms:.2f} ms" if abs(ms) < 100 else f"{ms:.0f} ms"


def markdown(answers: Sequence[KnownAnswer], stall: KnownRun, command: str) -> str:
    """The part of the methodology that the command writes: the stall, all cells in short, where and when."""
    parts = [*_stall(stall), "", _counts(answers), "", _provenance(stall.run, command)]
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
    rows = []
    for name, seconds in known.items():
        measured = closed.figures[name], constant.figures[name], constant.figures[f"schedule {name}"]
        rows.append([name, *map(milliseconds, (*measured, seconds))])
    headings = ["", "closed loop", "open loop, service time", "open loop, from the schedule", "arithmetic"]
    yield from markdown_table(headings, rows)


def _counts(answers: Sequence[KnownAnswer]) -> str:
    """How many figures were right, and in which cells some were not."""
    wrong = [
        f"{cell} {sum(answer.right for answer in of_cell)} of {len(of_cell)}"
        for cell, of_cell in by_cell(answers).items()
        if not all(answer.right for answer in of_cell)
    ]
    right, cells = sum(answer.right for answer in answers), len(by_cell(answers))
    lacking = f"; not all in {'; '.join(wrong)}" if wrong else ""
    return f"Figures that were right: {right} of {len(answers)}, in {cells} cells{lacking}."


def _provenance(run: Run, command: str) -> str:
    date = datetime.fromtimestamp(run.started, UTC)
    return (
        f"Measured on {date:%Y-%m-%d} by `{command}` on {run.host.cpu}, {run.host.cpus} CPUs, "
        f"{run.host.system}."
    )
