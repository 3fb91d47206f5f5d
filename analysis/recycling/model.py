"""What a run of recycling says, as frames: their columns, and the deciding table."""

from dataclasses import dataclass
from typing import Literal

import pandas as pd

from analysis.table import Cell, TableRow, words

# The columns that the frames of `Recycling` have behind the `DIMENSIONS` of their cell; times are Unix s.
LIVES: dict[str, str] = {
    "pid": "int64",
    "born": "float64",
    "ready": "float64",
    "died": "float64",
    "exit_status": "float64",
    "served": "int64",
    "started": "int64",
    "first": "float64",
    "last": "float64",
    "whole": "bool",
    "rss_peak_bytes": "float64",
    "pss_peak_bytes": "float64",
}
REPLACEMENTS: dict[str, str] = {
    "number": "int64",
    "old_pid": "int64",
    "new_pid": "Int64",
    "begin": "float64",
    "end": "float64",
    "start_s": "float64",
    "overlaps": "int64",
    "lost": "int64",
    "gap_s": "float64",
    "slowest_ms": "float64",
}
LOSSES: dict[str, str] = {
    "time": "float64",
    "id": "object",
    "kind": "object",
    "handled": "object",
    "pid": "Int64",
    "replacement": "Int64",
    "in_probe": "bool",
}
CELLS: dict[str, str] = {
    "replaced": "int64",
    "served_low": "float64",
    "served_median": "float64",
    "served_high": "float64",
    "overshoot_median": "float64",
    "jitter_seen": "float64",
    "requests": "int64",
    "lost": "int64",
    "lost_not_handled": "int64",
    "lost_started": "int64",
    "lost_finished": "int64",
    "lost_elsewhere": "int64",
    "idle_closes": "float64",
    "per_replacement": "float64",
    "per_1000": "float64",
    "per_1000_low": "float64",
    "per_1000_high": "float64",
    "gap_s": "float64",
    "slowest_ms": "float64",
    "slowest_outside_ms": "float64",
    "all_gone": "float64",
    "all_gone_s": "float64",
    "fewest_ready": "float64",
    "short_s": "float64",
    "share_busiest": "float64",
    "rss_peak_bytes": "float64",
    "pss_peak_bytes": "float64",
    "rss_end_bytes": "float64",
    "growth": "float64",
    "keep_alive": "bool",
    "last_second": "int64",
    "recovery_s": "float64",
    "renewed": "float64",
    "renewed_s": "float64",
    "in_flight": "float64",
    "answered": "float64",
    "cut_after_s": "float64",
    "verdict": "object",
    "reason": "object",
}

# The deciding table: what is asked of every configuration.
QUESTIONS = (
    "restarts after N",
    "requests per life",
    "lost per 1000 recycles, keep-alive",
    "lost per 1000 recycles, connection per request",
    "longest stall",
    "memory bound held",
    "after kill -9 of a worker",
    "SIGTERM with requests in flight",
)


@dataclass(frozen=True)
class Answer:
    """One cell of the deciding table.

    `verdict` says whether that is what one wants of a server; "unknown" where it was not measured.
    `evidence` are the paths (folder relative to the run) of the cells it was read from. `value` is the figure
    that the text begins with, where it is one.
    """

    text: str
    verdict: Literal["good", "fair", "bad", "unknown"]
    evidence: tuple[str, ...] = ()
    value: float | None = None

    @property
    def cell(self) -> Cell:
        return Cell(self.text, self.value, verdict=self.verdict, evidence=self.evidence)


@dataclass(frozen=True)
class RecyclingRow(TableRow):
    """A configuration in the deciding table, with an answer to each of `QUESTIONS`."""

    configuration: str
    answers: tuple[Answer, ...]

    def cells(self) -> tuple[Cell, ...]:
        """A cell for each column: the configuration, then the answers."""
        return words(self.configuration), *(answer.cell for answer in self.answers)


@dataclass(frozen=True)
class Recycling:
    """A run of recycling. Every frame has `frames.DIMENSIONS` and the columns named above.

    `lives` has a row per worker process of every finished cell of recycling. `served` are the requests of the
    trace that its handler finished, `started` those it began; `first` and `last` the times of the first and
    the last of them. `whole`: it was ready and died by itself, before the load ended, so that `served` can
    be held against N. Times are NaN where there was no such event, memory where no sample tells it.

    `replacements` has a row per worker that died in the window (`old_pid`), numbered from 1 in its cell, with
    the successor in its order (`new_pid`, NA if none came). It lasts from `begin`, the earliest of the
    successor's birth, the death, and the last request that the old worker handled, to `end`, the later of
    the successor's ready and the death, or the end of the window if none came. `gap_s` is the longest time
    without a completed request that overlaps it, `slowest_ms` the longest an answered request took, from
    when it was due, that was waiting or in flight in it. `start_s` is the time from the successor's birth to
    its readiness, `overlaps` how many other replacements overlap it.

    `losses` has a row per request that failed in the window. `kind` is that of failures.csv, `handled` says
    how far its handler came: "no", "started" or "finished" (its answer was made, and lost, or was an error),
    `pid` whose handler it was (NA where it never ran), `replacement` the number of the one it fell into
    (NA: none), `in_probe` whether a probe's signal is to blame: it ended after it and, where the signal told
    the server to end for good, it was sent before.

    `cells` has a row per finished cell of recycling, indexed by its number.

    * `replaced`: replacements in the window whose successor came. `served_low`, `served_median` and
      `served_high` are over whole lives; `overshoot_median`: beyond N; `jitter_seen`: high less low.
    * `requests` that ended in the window, and `lost` of them, by how far the handler came
      (`lost_not_handled`, `lost_started`, `lost_finished`), and `lost_elsewhere`, in no replacement that is
      known. Of a terminate probe: those in flight at the signal; of a deploy: those lost after it.
      `idle_closes`: connections closed between two requests, which lose nothing.
    * `per_replacement`: lost over replaced; `per_1000` of them with its 95 % interval (`losses.rate`).
    * `gap_s`: the longest time without a completed request in the window; `slowest_ms`: the slowest answered
      request from when it was due, `slowest_outside_ms`: away from replacements.
    * `all_gone`: how often, and `all_gone_s` for how long in all, no worker was ready; NaN with one worker.
      `fewest_ready` workers were so at a time, and for `short_s` fewer than there are to be. `share_busiest`:
      share of the requests that went to the busiest of the workers that live side by side.
    * `rss_peak_bytes`, `pss_peak_bytes`, `rss_end_bytes`: all processes of the server together. `growth`:
      the RSS peak of the window's second half over that of its first, less 1.
    * `keep_alive`: whether the scenario keeps its connections, by the trace.
    * `last_second`: requests answered in the last second of the window.
    * `recovery_s` (kill): from the signal to the next worker that was ready. `renewed` (deploy): workers that
      started with the new release; `renewed_s`: from the signal until there were enough of them and the last
      request of an old worker began, NaN where old ones served until the end. `in_flight` (terminate):
      requests sent before the signal and not ended by it, `answered` of them, the others `lost` or still open
      when the cell ended; `cut_after_s`: when the first of them was lost.
    * `verdict` (`judge.judge`) and `reason`, a sentence with its evidence.

    `configurations` is the deciding table in the catalogue's order; `finding` the sentence for the top.
    """

    lives: pd.DataFrame
    replacements: pd.DataFrame
    losses: pd.DataFrame
    cells: pd.DataFrame
    configurations: tuple[RecyclingRow, ...]
    finding: str
    title = "Workers that restart after N requests"
    basis = (
        "Lost per 1,000 recycles: requests that clients lose by 1,000 replacements of a worker, with the "
        "95 % interval."
    )
    columns = ("configuration", *QUESTIONS)

    @property
    def rows(self) -> tuple[RecyclingRow, ...]:
        return self.configurations
