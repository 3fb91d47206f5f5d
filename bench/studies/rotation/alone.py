"""Alone: what a server does in a rotation, over what it does by itself in a block.

Sittings and rounds of blocks take turns, so that hours of drift are in both; minutes of it stay. Every few
turns are also a run of either kind: how narrow are its ratios, and how far do those of several lie apart?
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.words import listed
from bench.model.documents import ShownTable
from bench.stats.comparison import Field, compare, half_width, mean
from bench.studies.rotation.figures import span, told
from bench.studies.rotation.series import Leg, Series

QUESTION, MARKER = "alone", "rotation and alone"
ROTATION, BLOCKS = "rotation", "blocks"
# A difference beyond this wants an explanation.
NOTABLE = 1.05
# The sittings, or repeats of blocks, of a run of either kind.
RUN_TURNS = 5
_METRICS = {"throughput": "requests/s", "cpu_us": "CPU per request"}


def legs(series: Series) -> Iterator[Leg]:
    """A sitting and a block of each configuration, again and again; which comes first alternates."""
    for turn in range(1, series.settings["turns"] + 1):
        pair = [
            Leg(f"{ROTATION} {turn}", QUESTION),
            Leg(f"{BLOCKS} {turn}", QUESTION, {"blocks": True}),
        ]
        yield from pair if turn % 2 else reversed(pair)


def tables(series: Series) -> list[ShownTable]:
    """A row for each configuration: its ratios, paired by turn."""
    values = {
        metric: {how: _by_turn(series, how, metric) for how in (ROTATION, BLOCKS)} for metric in _METRICS
    }
    first = values["throughput"]
    names = [str(name) for name in first[ROTATION] if name in first[BLOCKS]]
    rows, apart, served = [], [], []
    for name in names:
        ratios = [
            compare(of[ROTATION][name], of[BLOCKS][name]) for of in values.values() if name in of[BLOCKS]
        ]
        if any(ratio.beyond(NOTABLE) for ratio in ratios):
            apart.append(name)
        served.append(ratios[0].ratio)
        rows.append([name, *(told(ratio, marked=ratio.beyond(NOTABLE)) for ratio in ratios)])
    which = f": {', '.join(apart)}" if apart else ""
    notes = [
        f"{span(served)} of the requests/s that each serves alone.",
        f"Certainly more than {NOTABLE - 1:.0%} apart: {len(apart)} of {len(rows)} configurations{which}.",
        f"Paired by turn, of which there are {len(first[ROTATION])}. Minutes lie between the two of a "
        "pair, and these intervals hold what the machine did in them.",
    ]
    headings = ["configuration", *(f"{label}, rotation / alone" for label in _METRICS.values())]
    neighbours = ShownTable("In a rotation, over alone in a block", headings, rows, notes, brief=())
    return [neighbours, *_as_runs({how: table[names] for how, table in first.items()})]


def _as_runs(rates: dict[str, pd.DataFrame]) -> list[ShownTable]:
    """Rotation beside blocks, as runs of ``RUN_TURNS``; nothing where there are turns for one run only.

    ``rates`` have a row for each turn and a column for each configuration.
    """
    together = rates[ROTATION].index.intersection(rates[BLOCKS].index)
    count = len(together) // RUN_TURNS
    names = [str(name) for name in rates[ROTATION]]
    if count < 2 or len(names) < 2:
        return []
    best = max(names, key=lambda name: mean(rates[ROTATION][name]))
    rows = []
    for how, table in rates.items():
        runs = []
        for number in range(count):
            field = Field(table.loc[together[number * RUN_TURNS : (number + 1) * RUN_TURNS]])
            runs.append([field.compare(name, best) for name in names if name != best])
        widths = [[half_width(ratio.low, ratio.high) for ratio in run] for run in runs]
        points = ([ratio.ratio for ratio in of_one] for of_one in zip(*runs, strict=True))
        apart = [max(each) / min(each) - 1 for each in points]
        rows.append(
            [
                how,
                listed([f"±{np.median(each):.1%}" for each in widths]),
                listed([f"±{max(each):.1%}" for each in widths]),
                f"{np.median(apart):.1%}",
                f"{max(apart):.1%}",
            ]
        )
    headings = [
        "measured by", "interval of each run, median", "widest", "estimates apart, median", "furthest",
    ]  # fmt: skip
    notes = [
        f"Runs of {RUN_TURNS} turns, {count} of each kind, with the same seconds under load: requests/s of "
        f"{len(names) - 1} configurations over those of {best}. Estimates are apart by the largest over the "
        "smallest of the same ratio, less 1."
    ]
    return [ShownTable("Rotation beside blocks", headings, rows, notes)]


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
