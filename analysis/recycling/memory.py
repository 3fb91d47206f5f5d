"""What the server's processes weigh together, and whether replacing workers keeps a leak within bounds."""

from dataclasses import dataclass

import pandas as pd

from analysis import counters
from analysis.recycling.limits import BOUND, LEAK, OF_LEAK
from analysis.results import Results


def memory(results: Results, cells: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of `cells`, of all processes of the server together, in its window.

    Peaks and the last size in bytes; `growth`: the peak of the window's second half over that of
    the first, less 1. NaN where no sample tells.
    """
    samples = results.processes[results.processes["cell"].isin(cells.index)]
    inside = counters.within(counters.server_memory(samples), cells)
    middle = ((cells["window_start"] + cells["window_end"]) / 2).reindex(inside["cell"]).to_numpy()
    late = inside["time"].to_numpy() >= middle
    whole = inside.groupby("cell")
    halves = [inside[half].groupby("cell")["rss_bytes"].max() for half in (~late, late)]
    frame = pd.DataFrame(
        {
            "rss_peak_bytes": whole["rss_bytes"].max(),
            "pss_peak_bytes": whole["pss_bytes"].max(),
            "rss_end_bytes": whole["rss_bytes"].last(),
            "growth": halves[1] / halves[0] - 1,
        }
    )
    return frame.reindex(cells.index)


@dataclass(frozen=True)
class Bound:
    """A leaking app with and without replaced workers: peaks in bytes, `growth` as `memory` gives it."""

    recycled_bytes: float
    control_bytes: float
    growth: float
    control_growth: float

    @property
    def held(self) -> bool:
        """Whether the peak does not go on growing, and is below what it is without replacing workers.

        The peaks of the two halves of a saw-tooth are alike wherever its teeth begin, where a slope would
        depend on that. Where workers end unevenly its teeth differ in height, by a small part of what the
        leak adds in the control, whose window is no longer.
        """
        grown = _grown(self.recycled_bytes, self.growth)
        leaked = _grown(self.control_bytes, self.control_growth)
        steady = self.growth <= BOUND or grown <= OF_LEAK * leaked
        return steady and self.recycled_bytes < self.control_bytes


def _grown(peak_bytes: float, growth: float) -> float:
    """By how many bytes the peak of the second half of a window exceeds that of the first."""
    return 0.0 if growth <= 0 else peak_bytes * growth / (1 + growth)


def leaks(growth: float) -> bool:
    """Whether a server without recycling grows with what it serves, by its `growth` as `memory` gives it."""
    return growth > LEAK
