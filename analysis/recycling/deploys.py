"""What clients lose when a server takes up a new release of its app."""

from dataclasses import dataclass

import pandas as pd

from analysis.recycling.limits import LONG_S, SHORT_S
from analysis.recycling.requests import rate
from analysis.results import Results
from analysis.table import Cell, TableRow, Verdict, number, words
from analysis.words import MISSING, Value, duration, figures, listed

# The verdicts on a cell, the one that is wanted last.
VERDICTS = ("ends", "ignores", "old code", "in part", "unknown", "deploys")
# How a server is told, in words.
WAYS = {"HUP": "SIGHUP", "inspector": "its inspector", "restart": "stopped, started again"}
_SERVES = {
    "deploys": "yes", "in part": "in part", "old code": "no: the old one", "ignores": "no: no new worker",
    "ends": "no: nothing serves", "unknown": MISSING,
}  # fmt: skip
_LOST = ("lost_not_handled", "lost_started", "lost_finished")
FRAME = [
    "configuration", "scenario", "workers", "keep_alive", "deploys_by", "deploys", "verdict", "requests",
    "lost", *_LOST, "lost_per_deploy", "lost_per_deploy_low", "lost_per_deploy_high", "renewed_s", "gap_s",
    "slowest_ms",
]  # fmt: skip


@dataclass(frozen=True)
class Deploy(TableRow):
    """A configuration under one load; over its repeats losses are sums, times and the verdict the worst.

    `lost` are requests per deploy, with their 95 % interval where there were several; `ran` those of them
    whose handler began. `renewed_s` is NaN where old workers served until the end.
    """

    configuration: str
    scenario: str
    workers: int
    way: str
    verdict: str
    lost: Value
    ran: float
    renewed_s: float
    gap_s: float
    evidence: tuple[str, ...]

    def cells(self) -> tuple[Cell, ...]:
        lost = self.lost.mean
        sound: Verdict = "good" if self.verdict == "deploys" else "bad"
        price: Verdict = "good" if lost == 0 else "bad" if self.ran else "fair"
        stall: Verdict = "good" if self.gap_s <= SHORT_S else "bad" if self.gap_s >= LONG_S else "fair"
        return (
            words(self.configuration),
            words(self.scenario),
            number(self.workers),
            words(WAYS.get(self.way, self.way)),
            Cell(_SERVES[self.verdict], verdict=sound, evidence=self.evidence),
            Cell(duration(self.renewed_s), None if pd.isna(self.renewed_s) else self.renewed_s),
            Cell(_count(lost), lost, self.lost.interval(), verdict=price),
            Cell(_count(self.ran), self.ran),
            Cell(duration(self.gap_s), self.gap_s, verdict=stall),
        )


@dataclass(frozen=True)
class Deploys:
    """The deploys of a run, in the order of the catalogue; without rows where it has none.

    `frame` is them as numbers, in the columns of `FRAME`.
    """

    rows: tuple[Deploy, ...]
    frame: pd.DataFrame

    title = "What a deploy costs"
    basis = (
        "The app has a new release, and the server is told to take it up; one that cannot be told is stopped "
        "and started again. Lost are requests of clients that ask the server directly."
    )
    columns = (
        "configuration", "scenario", "workers", "told by", "new release served", "by all workers after",
        "lost per deploy", "of them the handler ran", "longest stall",
    )  # fmt: skip

    @property
    def finding(self) -> str:
        """In a sentence: which lose nothing, what the others lose in the worst case, which do not deploy."""
        failing = list(dict.fromkeys(row.configuration for row in self.rows if row.verdict != "deploys"))
        worst: dict[str, float] = {}
        for row in self.rows:
            if row.configuration not in failing:
                worst[row.configuration] = max(row.lost.mean, worst.get(row.configuration, 0.0))
        free = [name for name, lost in worst.items() if lost == 0]
        paying = sorted((name for name in worst if name not in free), key=lambda name: worst[name])
        prices = [f"{_count(worst[name])} with {name}" for name in paying]
        does = "does" if len(failing) == 1 else "do"
        parts = [
            f"A deploy loses no request with {listed(free)}" if free else "",
            f"{'at most' if free else 'A deploy loses up to'} {listed(prices)}" if paying else "",
            f"{listed(failing)} {does} not serve the new release alone" if failing else "",
        ]
        return "; ".join(part for part in parts if part) + "."


def _count(mean: float) -> str:
    """A mean count: "12", "0.667"."""
    return f"{mean:,.0f}" if mean == round(mean) else figures(mean)


def deploys(results: Results, cells: pd.DataFrame) -> Deploys:
    """The deploys among the cells of recycling (`Recycling.cells`)."""
    mine = cells[cells["treatment"] == "deploy"].join(results.cells[["path", "deploys_by"]])
    order = {name: place for place, name in enumerate(results.configurations)}
    by = ["configuration", "workers", "scenario"]
    found = [_deploy(group) for _, group in mine.groupby(by, sort=False)]
    found.sort(key=lambda each: (order[each[0].configuration], each[0].workers))
    rows, figures_of = [row for row, _ in found], [told for _, told in found]
    return Deploys(tuple(rows), pd.DataFrame(figures_of, columns=FRAME))


def _deploy(cells: pd.DataFrame) -> tuple[Deploy, dict[str, object]]:
    """The repeats of a deploy as a row, and as numbers."""
    configuration, scenario = (str(cells[name].iloc[0]) for name in ("configuration", "scenario"))
    workers = int(cells["workers"].iloc[0])
    verdict = min(cells["verdict"].tolist(), key=VERDICTS.index)
    mean, low, high = rate(cells["lost"])
    sums, longest = cells[["requests", "lost", *_LOST]].sum(), cells[["gap_s", "slowest_ms"]].max()
    renewed_s = float(cells["renewed_s"].max()) if verdict == "deploys" else float("nan")
    way = str(cells["deploys_by"].iloc[0])
    row = Deploy(
        configuration=configuration,
        scenario=scenario,
        workers=workers,
        way=way,
        verdict=verdict,
        lost=Value(mean, low, high) if len(cells) > 1 else Value(mean),
        ran=float(sums["lost_started"] + sums["lost_finished"]) / len(cells),
        renewed_s=renewed_s,
        gap_s=float(longest["gap_s"]),
        evidence=tuple(cells["path"]),
    )
    return row, {
        "configuration": configuration,
        "scenario": scenario,
        "workers": workers,
        "keep_alive": bool(cells["keep_alive"].iloc[0]),
        "deploys_by": way,
        "deploys": len(cells),
        "verdict": verdict,
        "lost_per_deploy": mean,
        "lost_per_deploy_low": low,
        "lost_per_deploy_high": high,
        "renewed_s": renewed_s,
        **{str(name): value for name, value in (*sums.items(), *longest.items())},
    }
