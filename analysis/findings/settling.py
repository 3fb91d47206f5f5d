"""Had every server of a rotation settled when its first round began?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.cells.rotation import good
from analysis.cells.summary import LOAD
from analysis.findings.finding import Finding, Kind, Measurements, by_configuration, finds
from analysis.findings.steadiness import WARMUP, beyond
from bench.stats.comparison import interval

# The share of the rounds that are the first ones, ...
EARLY = 0.25
# ... of at least so many: fewer are noise.
ROUNDS = 8

UNSETTLED = Kind(
    "unsettled", "number", "Does the rotation hold?", "not settled",
    f"from `ROUNDS` = {ROUNDS} rounds on: what it served in the first quarter (`EARLY` = {EARLY:g}) over "
    f"the rest, beside the median of all, has its whole 95 % interval beyond `WARMUP` = {WARMUP:g}",
    "its ratios hold part of its warm-up",
    topics=("steadiness",), note="not settled",
)  # fmt: skip


@finds(UNSETTLED)
def unsettled(measured: Measurements) -> Iterator[Finding]:
    """Configurations that were slower, or faster, at first, more than the others."""
    finished = measured.results.finished
    if not finished["rotated"].any():
        return
    off = early_rounds(measured.results.slices, finished["rounds"])
    cells = measured.closed.assign(off=off).dropna(subset="off")
    # What a sitting did to all of its configurations cancels.
    sitting = cells.groupby([*LOAD, "repeat"])["off"]
    cells["off"] = np.exp(cells["off"] - sitting.transform("median"))
    cells = cells.groupby(["configuration", *LOAD]).filter(lambda rows: beyond(rows["off"]))
    for scenario, group in cells.groupby("scenario"):
        yield UNSETTLED.found(
            "the first quarter of the rounds was not like the rest, beside the other configurations: "
            + by_configuration(group, lambda rows: f"{interval(rows['off'])[0] - 1:+.0%}"),
            spoils="throughput and ratios there, which hold part of the warm-up",
            advice="give the plan a longer settle_s",
            scenario=scenario,
            cells=group,
        )


def early_rounds(slices: pd.DataFrame, rounds: pd.Series) -> pd.Series:
    """The logarithm of what each cell served in its first rounds over what it served in the others."""
    counted = good(slices)
    of = rounds.reindex(counted["cell"]).to_numpy()
    counted = counted.assign(early=counted["round"] < EARLY * of)[of >= ROUNDS]
    summed = counted.groupby(["cell", "early"])[["requests", "seconds"]].sum()
    rate = (summed["requests"] / summed["seconds"]).unstack("early").reindex(columns=[True, False])
    early, rest = (rate[part].where(rate[part] > 0) for part in (True, False))
    return pd.Series(np.log(early / rest), rate.index)
