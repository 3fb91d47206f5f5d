"""What a proxy takes from clients' losses when workers are replaced, and what it adds."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.reading.results import Results
from analysis.recycling import Recycling
from analysis.recycling.answers import lost_rate
from analysis.recycling.requests import DIRECT, HTTP_5XX, ran_twice, within
from analysis.table import Cell, TableRow, number, words
from analysis.words import MISSING, duration, figures, listed

_PLACE = ["configuration", "workers", "scenario"]
COUNTS = {
    "configuration": "object",
    "workers": "int64",
    "scenario": "object",
    "proxy": "object",
    "method": "object",
    "connections": "object",
    "replacements": "int64",
    "requests": "int64",
    "answers_5xx": "int64",
    "lost": "int64",
    "ran_unanswered": "int64",
    "ran_twice": "int64",
    "stall_s": "float64",
    "p50_ms": "float64",
    "p99_ms": "float64",
}
"""The columns of proxy.csv. All repeats together; `connections` are those of clients, kept or fresh.

Of cells in which workers were replaced: `answers_5xx`, and requests `lost` without any answer; of both
those whose handler began or ended (`ran_unanswered`); requests whose handler ran more than once
(`ran_twice`), answered or not; the longest time without any answer. Of their controls: percentiles of the
time from sending to the last byte."""

# Configuration, number of workers, scenario.
Place = tuple[str, int, str]


@dataclass(frozen=True)
class View:
    """The cells of a run whose clients all went one way."""

    results: Results
    recycling: Recycling


@dataclass(frozen=True)
class ProxiedRow(TableRow):
    """A configuration under a scenario, behind the proxy and past it."""

    configuration: str
    texts_: tuple[Cell, ...]

    def cells(self) -> tuple[Cell, ...]:
        """A cell for each of `Proxied.columns`."""
        return words(self.configuration), *self.texts_


@dataclass(frozen=True)
class Proxied:
    """The table, the `counts` that it was made from, and a sentence; `settings` are those of the proxy."""

    kind: str
    rows: Sequence[ProxiedRow]
    counts: pd.DataFrame
    finding: str
    settings: Sequence[str] = ()

    @property
    def title(self) -> str:
        """What is compared."""
        return f"What clients lose behind {self.kind}"

    @property
    def basis(self) -> str:
        """How to read it."""
        return (
            "Per 1,000 replaced workers, with the 95 % interval. Lost: a 5xx or no answer, to clients that "
            f"go to the server itself (direct) or through {self.kind}. Ran twice: {self.kind} sent the "
            "request again after its handler had begun. Latency: the median without replacements."
            + (f" {self.kind} was set to {listed(list(self.settings))}." if self.settings else "")
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The heads of the table."""
        behind = f"behind {self.kind}"
        return (
            "configuration", "workers", "scenario", "method", "connections",
            "lost, direct", f"lost, {behind}",
            "of these 5xx", "ran twice", "stall, direct", f"stall, {behind}", "latency, direct",
            f"latency, {behind}",
        )  # fmt: skip


def proxied(behind: View, direct: View) -> Proxied:
    """What became of requests on both ways."""
    kind = str(behind.results.run.behind)
    counted = pd.concat([counts(direct, DIRECT), counts(behind, kind)], ignore_index=True)
    order = {name: place for place, name in enumerate(behind.results.configurations)}
    for key in reversed(_PLACE):  # what is direct stays before what is behind the proxy
        counted = counted.sort_values(
            key, key=lambda names: names.map(order) if names.name == "configuration" else names, kind="stable"
        )
    counted = counted.reset_index(drop=True)
    rows = []
    for _, mine in counted.groupby(_PLACE, sort=False):
        sides = {str(side["proxy"]): side for side in mine.to_dict("records")}
        if {DIRECT, kind} <= sides.keys() and all(side["replacements"] for side in sides.values()):
            rows.append(_row(sides, {DIRECT: direct, kind: behind}, kind))
    settings = behind.results.run.proxy_settings
    return Proxied(kind, tuple(rows), counted, _finding(counted, kind), settings)


def counts(view: View, way: str) -> pd.DataFrame:
    """`COUNTS` of the cells of one way; `way` is the value of `proxy`."""
    cells, losses = view.recycling.cells, view.recycling.losses
    recycled = cells[cells["treatment"] == "recycled"]
    of_5xx = losses["kind"] == HTTP_5XX
    frame = recycled[[*_PLACE, "requests"]].assign(
        replacements=recycled["replaced"],
        answers_5xx=_per_cell(losses[of_5xx], recycled.index),
        lost=_per_cell(losses[~of_5xx], recycled.index),
        ran_unanswered=recycled["lost_started"] + recycled["lost_finished"],
        ran_twice=_per_cell(ran_twice(view.results), recycled.index),
    )
    summed = frame.groupby(_PLACE, sort=False).sum()
    whole = recycled.groupby(_PLACE, sort=False)
    summed["stall_s"] = whole["gap_s"].max()
    summed["connections"] = whole["keep_alive"].first().map({True: "kept", False: "fresh"})
    summed = summed.join(_latencies(view)).reset_index()
    methods = view.results.trace.drop_duplicates("cell").set_index("cell")["method"].astype(str)
    of_scenario = (
        recycled.assign(method=methods.reindex(recycled.index)).groupby("scenario")["method"].first()
    )
    summed["method"] = summed["scenario"].map(of_scenario)
    return summed.assign(proxy=way)[list(COUNTS)].astype(COUNTS)


def _per_cell(frame: pd.DataFrame, cells: pd.Index) -> pd.Series:
    counted: pd.Series = frame.groupby("cell").size().reindex(cells).fillna(0).astype("int64")
    return counted


def _latencies(view: View) -> pd.DataFrame:
    """Percentiles of the controls, by place: from the sending of a request to the last byte of its answer."""
    cells = view.recycling.cells
    controls = cells.loc[cells["treatment"] == "control", _PLACE]
    trace = view.results.trace
    answered = trace[trace["cell"].isin(controls.index) & trace["kind"].isna()]
    answered = within(answered, view.results.cells, "ended")
    took = (answered["ended"] - answered["sent"]) * 1e3
    by = [controls[name].reindex(answered["cell"]).to_numpy() for name in _PLACE]
    found = took.groupby(by)
    frame = pd.DataFrame({"p50_ms": found.quantile(0.5), "p99_ms": found.quantile(0.99)})
    return frame.rename_axis(_PLACE)


def _row(sides: Mapping[str, Mapping[Hashable, Any]], views: Mapping[str, View], kind: str) -> ProxiedRow:
    direct, behind = sides[DIRECT], sides[kind]
    place: Place = behind["configuration"], behind["workers"], behind["scenario"]
    per_1000 = 1000 / behind["replacements"]
    return ProxiedRow(
        place[0],
        (
            number(place[1]),
            words(place[2]),
            words(behind["method"]),
            words(behind["connections"]),
            *(_lost(views[way], place) for way in (DIRECT, kind)),
            _figure(behind["answers_5xx"] * per_1000),
            _figure(behind["ran_twice"] * per_1000),
            *(Cell(duration(side["stall_s"]), side["stall_s"]) for side in (direct, behind)),
            *(_milliseconds(side["p50_ms"]) for side in (direct, behind)),
        ),
    )


def _lost(view: View, place: Place) -> Cell:
    """What was lost at a place per 1000 replacements, with its interval."""
    cells = view.recycling.cells
    at = (cells[_PLACE] == list(place)).all(axis=1) & (cells["treatment"] == "recycled")
    ends = view.recycling.replacements
    mean, text = lost_rate(cells[at], ends[ends["cell"].isin(cells.index[at])])
    return Cell(text, mean)


def _figure(value: float) -> Cell:
    return Cell(figures(value), float(value))


def _milliseconds(value: float) -> Cell:
    return Cell(MISSING) if np.isnan(value) else Cell(f"{figures(value)} ms", float(value))


def per_1000(counted: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """`lost` (a 5xx or no answer) and `ran_twice` of `COUNTS`, to 1000 replacements of each group.

    Groups without a replacement are left out.
    """
    each = counted.assign(lost=counted["lost"] + counted["answers_5xx"])
    sums = each.groupby(list(by), sort=False)[["lost", "ran_twice", "replacements"]].sum()
    sums = sums[sums["replacements"] > 0]
    return 1000 * sums.div(sums["replacements"], axis=0)


def _finding(counted: pd.DataFrame, kind: str) -> str:
    """Which configurations lose nothing behind the proxy, what others lose, and whose handlers ran twice."""
    found = per_1000(counted, ["proxy", "configuration"])
    if kind not in found.index.unique("proxy"):
        return f"No worker was replaced behind {kind}."
    behind = found[found.index.get_level_values("proxy") == kind].droplevel("proxy")
    behind = behind.sort_values("lost")
    told = []
    for name, lost in behind["lost"].items():
        direct = found["lost"].get((DIRECT, name), np.nan)
        told.append(
            f"{figures(lost)} with {name}" + ("" if np.isnan(direct) else f" (direct {figures(direct)})")
        )
    twice = [f"{figures(ran)} with {name}" for name, ran in behind["ran_twice"].items() if ran]
    again = f" Handlers ran twice, per 1000 recycles: {listed(twice)}." if twice else " No handler ran twice."
    return f"Lost per 1000 recycles behind {kind}: {listed(told)}.{again}"
