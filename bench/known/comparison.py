"""A run of known servers as the analysis sees it, held against arithmetic."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import frames, histograms, schema, summary
from analysis import results as analysed
from analysis.errors import AnalysisError
from bench.errors import UserError
from bench.known import arithmetic
from bench.known.arithmetic import Expected, Load
from bench.known.server import Behaviour, behaviour_in, read_totals

# The kinds of latency by what stands before their figures' names.
KINDS = {"": "service", "schedule ": "from_schedule"}


@dataclass(frozen=True)
class Answer:
    """A figure of a cell as expected and as measured; times are seconds."""

    configuration: str
    load: Load
    expected: Expected
    measured: float

    @property
    def right(self) -> bool:
        """Whether it is as expected."""
        return self.expected.allows(self.measured)


@dataclass(frozen=True)
class KnownCell:
    """A cell: what its server and load were, and what the analysis makes of it.

    `figures` are by the names of `Expected.figure`, times in seconds; `served` is how many requests the
    server says it read.
    """

    configuration: str
    behaviour: Behaviour
    load: Load
    figures: dict[str, float]
    served: int

    def answers(self) -> Iterator[Answer]:
        """Every figure that arithmetic knows."""
        expected = [
            *arithmetic.expectations(self.behaviour, self.load),
            *arithmetic.counts(self.behaviour, self.served, self.figures["requests in the window"]),
        ]
        for each in expected:
            yield Answer(self.configuration, self.load, each, self.figures[each.figure])


@dataclass(frozen=True)
class KnownRun:
    """A run of known servers, its cells in the order they were measured."""

    run: schema.Run
    cells: tuple[KnownCell, ...]

    def answers(self) -> Iterator[Answer]:
        """Every figure that arithmetic knows, cell by cell."""
        for cell in self.cells:
            yield from cell.answers()
        yield from self._added_to_idle()

    def _added_to_idle(self) -> Iterator[Answer]:
        """What the schedule and the generator's own lateness add to the median of an idle server."""
        idle = [cell for cell in self.cells if cell.behaviour == Behaviour()]
        undisturbed = [cell.figures["p50"] for cell in idle if cell.load.rate_per_s is None]
        for cell in idle:
            if undisturbed and cell.load.rate_per_s is not None:
                added = cell.figures["schedule p50"] + cell.figures["lateness p50"] - min(undisturbed)
                yield Answer(cell.configuration, cell.load, arithmetic.ADDED, added)


def read(folder: Path) -> KnownRun:
    """Read a run of known servers.

    Raises:
        UserError: it cannot be read, no cell was finished, or a server has not told its totals.
    """
    try:
        results = analysed.load(folder)
    except AnalysisError as error:
        raise UserError(str(error)) from error
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
                load=Load(row["users"], row["rate_per_s"], row["arrivals"])
                if is_open
                else Load(row["users"]),
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
        raise UserError(f"{log}: the server has not told how many requests it read; measure again")
    return totals[0]
