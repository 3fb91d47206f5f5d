"""Alone: what a server does in a rotation, over what it does by itself in a block.

Sittings and rounds of blocks take turns, so that hours of drift are in both; minutes of it stay.
"""

from collections.abc import Iterator

import pandas as pd

from bench.model.documents import Table
from bench.stats.comparison import compare
from bench.studies.rotation.figures import told
from bench.studies.rotation.series import Leg, Series

QUESTION, MARKER = "alone", "rotation and alone"
ROTATION, BLOCKS = "rotation", "blocks"
# A difference beyond this wants an explanation.
NOTABLE = 1.05
_METRICS = {"throughput": "requests/s", "cpu_us": "CPU per request"}


def legs(series: Series) -> Iterator[Leg]:
    """A sitting and a block of each configuration, again and again; which comes first alternates."""
    for turn in range(1, series.settings["turns"] + 1):
        pair = [
            Leg(f"{ROTATION} {turn}", QUESTION),
            Leg(f"{BLOCKS} {turn}", QUESTION, {"blocks": True}),
        ]
        yield from pair if turn % 2 else reversed(pair)


def tables(series: Series) -> list[Table]:
    """A row for each configuration: its ratios, paired by turn."""
    values = {
        metric: {how: _by_turn(series, how, metric) for how in (ROTATION, BLOCKS)} for metric in _METRICS
    }
    first = values["throughput"]
    names = [str(name) for name in first[ROTATION] if name in first[BLOCKS]]
    rows, apart = [], []
    for name in names:
        ratios = [
            compare(of[ROTATION][name], of[BLOCKS][name]) for of in values.values() if name in of[BLOCKS]
        ]
        if any(ratio.beyond(NOTABLE) for ratio in ratios):
            apart.append(name)
        rows.append([name, *(told(ratio, marked=ratio.beyond(NOTABLE)) for ratio in ratios)])
    which = f": {', '.join(apart)}" if apart else ""
    notes = [
        f"Certainly more than {NOTABLE - 1:.0%} apart: {len(apart)} of {len(rows)} configurations{which}.",
        f"Paired by turn, of which there are {len(first[ROTATION])}. Minutes lie between the two of a "
        "pair, and these intervals hold what the machine did in them.",
    ]
    headings = ["configuration", *(f"{label}, rotation / alone" for label in _METRICS.values())]
    return [Table("In a rotation, over alone in a block", headings, rows, notes)]


def command(series: Series) -> str:
    """What measures it again."""
    return f"make {QUESTION} TURNS={series.settings['turns']}"


def _by_turn(series: Series, how: str, metric: str) -> pd.DataFrame:
    """A row for each turn and a column for each configuration, without aliases, which blocks have not."""
    rows = {}
    for purpose, study in series.studies.items():
        kind, turn = purpose.split()
        if kind != how:
            continue
        cells = study.summary[study.summary["rotated"] == (how == ROTATION)]
        aliases = study.results.run.plan.get("aliases", {})
        own = cells[~cells["configuration"].isin(aliases)]
        rows[int(turn)] = own.set_index("configuration")[metric]
    return pd.DataFrame(rows).T.sort_index()
