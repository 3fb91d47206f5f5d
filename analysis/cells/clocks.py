"""Whether the clocks of other machines were known well enough, and kept, while a load ran.

They are read by round trips before each load and after it; half of the quickest one is the most that a
reading is wrong by.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.reading.results import Results
from bench.model.records.hosts import AroundLoad, ReadClock
from bench.model.records.run import Run

# How well the clock of another machine must be known, and how far it may move while a load runs, in
# milliseconds.
CLOCK_MS = 5.0
MOVED_MS = 1.0


def why_unknown(around: AroundLoad) -> str | None:
    """Why it is not known where a clock was while a load ran, in words; None if it is."""
    known = _read(around)
    if not known:
        return "did not answer"
    unsure_ms = max(map(_unsure_ms, known))
    return f"is only known to ±{unsure_ms:.1f} ms" if unsure_ms > CLOCK_MS else None


def why_moved(around: AroundLoad) -> str | None:
    """How far a clock has moved while a load ran, beyond what it is known to; None: not too far."""
    known = _read(around)
    if not known:
        return None
    moved_ms = abs(known[-1].offset_ms - known[0].offset_ms)
    beyond = moved_ms - sum(map(_unsure_ms, known)) > MOVED_MS
    return f"moved by {moved_ms:.1f} ms during a load" if beyond else None


def why_lost(around: AroundLoad) -> str | None:
    """Why times by a clock, corrected by what was read before, are not those of a load; None: they are."""
    return why_unknown(around) or why_moved(around)


def of_servers(results: Results) -> pd.Series:
    """Whether what is sampled on the servers' machine is known to fall into the window of each finished cell.

    Runs from before it was read around loads have one judgement for all of their cells.
    """
    wire = None if results.run.network is None else results.run.network.wire
    if wire is None or wire.clock is None:
        return _everywhere(results, holds=True)
    if not wire.clocks:
        uncertain = max(wire.clock.uncertain_ms, wire.clock.moved_ms)
        return _everywhere(results, holds=uncertain <= CLOCK_MS)
    return ~_loaded(results, [each for each in wire.clocks if why_lost(each) is not None])


def of_generators(results: Results) -> pd.Series:
    """Whether the generators on other machines kept to one timetable in each finished cell of a rotation.

    All others need no such timetable, nor have they one.
    """
    apart = [each for each in _of_run(results.run) if why_lost(each) is not None]
    return ~(_loaded(results, apart) & results.finished["rotated"])


def _of_run(run: Run) -> Sequence[AroundLoad]:
    return () if run.generators is None else run.generators.clocks


def _loaded(results: Results, readings: Sequence[AroundLoad]) -> pd.Series:
    """The finished cells around whose load one of these readings was made."""
    windows = [(each.window["start"], each.window["end"]) for each in readings]
    cells = results.finished
    return pd.Series(
        [bounds in windows for bounds in zip(cells["window_start"], cells["window_end"], strict=True)],
        index=cells.index,
        dtype=bool,
    )


def _everywhere(results: Results, *, holds: bool) -> pd.Series:
    return pd.Series(holds, index=results.finished.index, dtype=bool)


def _read(around: AroundLoad) -> list[ReadClock]:
    return [each for each in (around.before, around.after) if each is not None]


def _unsure_ms(clock: ReadClock) -> float:
    return clock.round_trip_ms.least / 2
