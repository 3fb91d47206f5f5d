"""The verdict on each cell of recycling, with its evidence; a new pid alone proves nothing."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from analysis.recycling.limits import (
    ANSWERS_5XX,
    HEAVY,
    OVERLAP_S,
    SERVED,
    STILLBORN,
    STRANGERS,
    SUCCESSOR_S,
    TIMES_N,
)
from analysis.words import MIB, counted, figures, span
from bench.model.plans.recycling import DEPLOYS

Judgement = tuple[str, str]


class Case:
    """What is known of one cell: its row of `Results.cells` joined with `Recycling.cells`, and its frames."""

    def __init__(
        self, cell: pd.Series, lives: pd.DataFrame, replacements: pd.DataFrame, losses: pd.DataFrame
    ) -> None:
        self.cell, self.lives, self.replacements, self.losses = cell, lives, replacements, losses
        self.end = float(cell["window_end"])

    @property
    def whole(self) -> pd.DataFrame:
        """The lives that can be held against N."""
        return self.lives[self.lives["whole"]]

    @property
    def ready(self) -> pd.DataFrame:
        """The workers that were ready at some time."""
        return self.lives[self.lives["ready"].notna()]

    @property
    def lost(self) -> str:
        """How many requests were lost, in words."""
        return f"{self.cell['lost']:,} of {counted(int(self.cell['requests']), 'request')} lost"


def judge(cases: dict[Any, Case]) -> pd.DataFrame:
    """`verdict` and `reason` of each cell.

    * "recycles": workers were replaced, each after N requests (or at the size in memory that was asked
      for), by workers that serve; "not replaced": none was, although there was reason enough; "broken":
      what looks like recycling is none, or the server is no longer one (`_flaws`).
    * "steady" or "broken": a control.
    * "recovers": another worker came for the one that was killed; "degraded": the others serve on without;
      "ends": no worker serves.
    * "finishes": every request in flight at SIGTERM was answered; "cuts": some were not.
    * "deploys": from some time on as many workers as wanted served the new release, and no others; "in part":
      old ones did as well until the end, or there were fewer; "old code": new workers came, and have the old
      release; "ignores": no worker came; "ends": no worker serves.
    * "unknown": a probe that met nothing.
    """
    ways: dict[str, Callable[[Case], Judgement]] = {
        "recycled": _recycled, "control": _control, "kill": _killed, "terminate": _terminated,
        **dict.fromkeys(DEPLOYS, _deployed),
    }  # fmt: skip
    judged = [ways[str(case.cell["treatment"])](case) for case in cases.values()]
    return pd.DataFrame(judged, index=pd.Index(list(cases)), columns=["verdict", "reason"])


def _recycled(case: Case) -> Judgement:
    flaw = next(_flaws(case), None)
    if flaw is not None:
        return "broken", flaw
    if case.cell["replaced"] == 0:
        return "not replaced", _idle(case)
    return "recycles", f"{_replaced(case)}; {case.lost}"


def _control(case: Case) -> Judgement:
    flaw = next(chain(_ended(case), _errors(case)), None)
    if flaw is None and len(case.whole):
        flaw = f"{counted(len(case.whole), 'worker')} ended although nothing told them to"
    return ("steady", case.lost) if flaw is None else ("broken", flaw)


def _flaws(case: Case) -> Iterator[str]:
    """What shows that workers are not replaced properly, the plainest first."""
    yield from _ended(case)
    yield from _errors(case)
    yield from _strangers(case)
    yield from _early(case)
    yield from _stillborn(case)
    yield from _childless(case)
    yield from _left_over(case)


def _ended(case: Case) -> Iterator[str]:
    """The server ended by itself, and nothing restarted it."""
    ended, status = case.cell["server_ended"], case.cell["server_exit_status"]
    if not np.isnan(ended):
        exit_status = "" if np.isnan(status) else f" (exit status {status:.0f})"
        after = ended - case.cell["window_start"]
        when = f"{after:.1f} s into the window" if after > 0 else "in the warm-up"
        served = int(case.lives["served"].sum())
        yield (
            f"the server ended by itself {when}{exit_status} after {counted(served, 'request')}, and nothing "
            "restarted it"
        )


def _errors(case: Case) -> Iterator[str]:
    """The server answers, but with errors."""
    wrong, requests = int((case.losses["kind"] == "http_5xx").sum()), int(case.cell["requests"])
    if wrong > ANSWERS_5XX * requests:
        yield f"{wrong:,} of {counted(requests, 'request')} were answered with an error of the server (5xx)"


def _strangers(case: Case) -> Iterator[str]:
    """Processes that never announced themselves as workers answer requests."""
    strange = case.lives[case.lives["ready"].isna() & (case.lives["started"] > 0)]
    share = strange["started"].sum() / max(1, case.lives["started"].sum())
    if share > STRANGERS:
        yield (
            f"{share:.0%} of the requests were answered by processes that never announced themselves as "
            f"workers ({len(strange):,} of them, {_median(strange['started'])} each): another pid alone is "
            "not a replaced worker"
        )


def _early(case: Case) -> Iterator[str]:
    """Workers end before they have served what they should."""
    whole, asked, limit = case.whole, case.cell["max_requests"], case.cell["max_rss_mib"]
    if whole.empty:
        return
    if not np.isnan(asked) and whole["served"].median() < SERVED * asked:
        lived = (whole["died"] - whole["ready"]).median()
        yield (
            f"{counted(len(whole), 'worker')} ended after {_median(whole['served'])}, {lived:.2f} s after "
            f"they were ready (medians), instead of after {asked:.0f} requests"
        )
    if not np.isnan(limit):
        peak = whole["rss_peak_bytes"].median() / MIB
        if not peak >= HEAVY * limit:
            size = "before their memory could be read" if np.isnan(peak) else f"at {figures(peak)} MiB"
            yield f"{counted(len(whole), 'worker')} ended {size} instead of at {limit:g} MiB"


def _stillborn(case: Case) -> Iterator[str]:
    """Workers are started and die before they are ready, again and again."""
    start = float(case.cell["window_start"])
    lives = case.lives
    dead = lives[lives["ready"].isna() & (lives["died"] >= start)]
    if len(dead) >= STILLBORN and len(dead) > case.cell["replaced"]:
        yield (
            f"{len(dead)} workers died before they were ready, in a loop, while {case.cell['replaced']} were "
            "replaced"
        )


def _childless(case: Case) -> Iterator[str]:
    """Workers end without a successor."""
    alone = case.replacements[case.replacements["new_pid"].isna()]
    missing = int((case.end - alone["begin"] > SUCCESSOR_S).sum())
    if missing:
        yield f"{counted(missing, 'worker')} ended without a successor within {SUCCESSOR_S} s"


def _left_over(case: Case) -> Iterator[str]:
    """Workers live on beside their successors."""
    workers = int(case.cell["workers"])
    alive = case.ready[case.ready["died"].isna()]
    old = len(alive[alive["ready"] < case.end - OVERLAP_S])
    if len(alive) > 2 * workers or (len(alive) > workers and len(case.ready) > workers and old > workers):
        yield f"{len(alive)} workers were alive at the end instead of {workers}: old ones live on"


def _idle(case: Case) -> str:
    """Why no worker was replaced, as far as one can see."""
    asked, limit = case.cell["max_requests"], case.cell["max_rss_mib"]
    served = ", ".join(f"{count:,}" for count in case.ready["served"].sort_values(ascending=False).head(4))
    if not np.isnan(limit):
        peak = case.ready["rss_peak_bytes"].max() / MIB
        return f"no worker was replaced: the largest had {figures(peak)} MiB, the limit was {limit:g}"
    if case.ready["served"].max() >= TIMES_N * asked:
        return f"no worker was replaced, although they served {served} requests (N = {asked:.0f})"
    return f"no worker was replaced; they served {served} requests, too few to tell (N = {asked:.0f})"


def _replaced(case: Case) -> str:
    """How many were replaced, and after how much."""
    row = case.cell
    count = counted(int(row["replaced"]), "replacement")
    if np.isnan(row["served_median"]):
        return count
    after = f"{span(row['served_low'], row['served_high'])} requests"
    if np.isnan(row["max_requests"]):
        peak = case.whole["rss_peak_bytes"].median() / MIB
        return f"{count} at {figures(peak)} MiB (limit: {row['max_rss_mib']:g}), after {after}"
    jitter = row["max_requests_jitter"]
    asked = f"N = {row['max_requests']:.0f}" + (f", jitter {jitter:.0f}" if jitter > 0 else "")
    return f"{count} after {after} ({asked})"


def _killed(case: Case) -> Judgement:
    row = case.cell
    if np.isnan(row["probe_time"]):
        return "unknown", "no worker was killed"
    lost = case.losses[case.losses["in_probe"]]
    price = f"{counted(len(lost), 'request')} lost, {row['gap_s']:.2f} s without an answer at the longest"
    if not np.isnan(row["server_ended"]):
        after = row["server_ended"] - row["probe_time"]
        return "ends", f"the server ended {max(after, 0):.1f} s after one of its workers was killed; {price}"
    if not np.isnan(row["recovery_s"]):
        return "recovers", f"another worker was ready after {row['recovery_s']:.2f} s; {price}"
    waited = case.end - row["probe_time"]
    if row["last_second"] == 0:
        return "ends", f"no worker came within {waited:.0f} s, and nothing answered at the end; {price}"
    left = int(row["workers"]) - 1
    return "degraded", f"no worker came within {waited:.0f} s; {left} of {left + 1} served on; {price}"


def _terminated(case: Case) -> Judgement:
    row = case.cell
    if np.isnan(row["probe_time"]) or not row["in_flight"] > 0:
        return "unknown", "no request was in flight when the server was told to end"
    flying, answered = int(row["in_flight"]), int(row["answered"])
    if answered == flying:
        return "finishes", f"all {flying} requests in flight were answered"
    cut = int(row["lost"])
    text = f"{answered} of {flying} requests in flight were answered"
    if cut:
        text += f", {cut} were cut, the first after {row['cut_after_s']:.1f} s"
    if flying - answered - cut:
        text += f", {flying - answered - cut} had neither when the cell ended"
    return "cuts", text


def _deployed(case: Case) -> Judgement:
    row = case.cell
    if np.isnan(row["probe_time"]):
        return "unknown", "nothing was deployed"
    price = f"{case.lost}, {row['gap_s']:.2f} s without an answer at the longest"
    waited = f"{case.end - row['probe_time']:.0f} s"
    if not np.isnan(row["server_ended"]):
        after = max(row["server_ended"] - row["probe_time"], 0)
        return "ends", f"the server ended {after:.1f} s after it was told of the new release; {price}"
    if row["last_second"] == 0:
        return "ends", f"nothing answered {waited} after the server was told of the new release; {price}"
    if not np.isnan(row["renewed_s"]):
        return "deploys", f"only the new release served after {row['renewed_s']:.2f} s; {price}"
    if row["renewed"] >= row["workers"]:
        return "in part", f"workers with the old release still served {waited} later; {price}"
    if row["renewed"] > 0:
        few = f"{row['renewed']:.0f} of {row['workers']} workers"
        return "in part", f"only {few} had the new release {waited} later; {price}"
    came = int((case.ready["ready"] > row["probe_time"]).sum())
    if came:
        return "old code", f"{counted(came, 'worker')} came, and have the old release; {price}"
    return "ignores", f"no worker came within {waited}; {price}"


def _median(counts: pd.Series) -> str:
    return counted(round(float(counts.median())), "request")
