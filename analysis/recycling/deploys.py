"""What clients lose when a server takes up a new release of its app."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.reading.results import Results
from analysis.recycling.limits import LONG_S, SHORT_S
from analysis.recycling.requests import DIRECT, HTTP_5XX, ran_twice, rate
from analysis.table import Cell, TableRow, Verdict, number, words
from analysis.words import MISSING, Value, duration, figures, listed
from bench.model.plans.recycling import DEPLOYS

# The verdicts on a cell, the one that is wanted last.
VERDICTS = ("ends", "ignores", "old code", "in part", "unknown", "deploys")
# How a server is told, in words.
SWAP = "swap"
WAYS = {
    "HUP": "SIGHUP", "inspector": "its inspector", "restart": "stopped, started again", SWAP: "a second copy",
}  # fmt: skip
_SERVES = {
    "deploys": "yes", "in part": "in part", "old code": "no: the old one", "ignores": "no: no new worker",
    "ends": "no: nothing serves", "unknown": MISSING,
}  # fmt: skip
_LOST = ("lost_not_handled", "lost_started", "lost_finished")
FRAME = [
    "configuration", "scenario", "workers", "proxy", "keep_alive", "deploys_by", "deploys", "verdict",
    "requests", "lost", "answers_5xx", *_LOST, "ran_twice", "lost_per_deploy", "lost_per_deploy_low",
    "lost_per_deploy_high", "renewed_s", "gap_s", "slowest_ms",
]  # fmt: skip


@dataclass(frozen=True)
class Deploy(TableRow):
    """A configuration under one load; over its repeats losses are sums, times and the verdict the worst.

    `proxy` is what its clients went through, or `DIRECT`, `way` how the server was told. `lost` are requests
    per deploy, a 5xx or no answer, with their 95 % interval where there were several; `ran` those of them
    whose handler began; `twice` are those whose handler ran again, whatever the client got. `renewed_s` is
    NaN where old workers served until the end.
    """

    configuration: str
    scenario: str
    workers: int
    proxy: str
    way: str
    verdict: str
    lost: Value
    ran: float
    twice: float
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
            words(self.proxy),
            words(WAYS.get(self.way, self.way)),
            Cell(_SERVES[self.verdict], verdict=sound, evidence=self.evidence),
            Cell(duration(self.renewed_s), None if pd.isna(self.renewed_s) else self.renewed_s),
            Cell(_count(lost), lost, self.lost.interval(), verdict=price),
            Cell(_count(self.ran), self.ran),
            Cell(_count(self.twice), self.twice),
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
        "and started again. Where a second copy is started, the proxy is led to it, and two seconds later "
        "the first one is stopped. Lost is a 5xx or no answer, to clients that go to the server itself "
        "(direct) or through the proxy. Ran twice: the proxy sent the request again after its handler began."
    )
    columns = (
        "configuration", "scenario", "workers", "proxy", "told by", "new release served",
        "by all workers after", "lost per deploy", "of them the handler ran", "ran twice", "longest stall",
    )  # fmt: skip

    @property
    def finding(self) -> str:
        """Of each way: which lose nothing, what the others lose in the worst case, which do not deploy."""
        groups: dict[tuple[str, bool], list[Deploy]] = {}
        for row in self.rows:
            groups.setdefault((row.proxy, row.way == SWAP), []).append(row)
        # What clients behind a proxy see comes first.
        ordered = sorted(groups, key=lambda key: (key[0] == DIRECT, key[1]))
        several = len({proxy for proxy, _ in groups}) > 1
        return " ".join(_finding(groups[key], _name(*key, several=several)) for key in ordered)


def _name(proxy: str, swapped: bool, *, several: bool) -> str:
    """What the deploys of one way are called, where a sentence begins."""
    deploy = "A swap of two copies" if swapped else "A deploy"
    if proxy == DIRECT:
        return "Without the proxy a deploy" if several else deploy
    return f"{deploy} behind {proxy}"


def _finding(rows: Sequence[Deploy], name: str) -> str:
    failing = list(dict.fromkeys(row.configuration for row in rows if row.verdict != "deploys"))
    worst: dict[str, float] = {}
    for row in rows:
        if row.configuration not in failing:
            worst[row.configuration] = max(row.lost.mean, worst.get(row.configuration, 0.0))
    free = [each for each in worst if worst[each] == 0]
    paying = sorted((each for each in worst if each not in free), key=lambda each: worst[each])
    prices = [f"{_count(worst[each])} with {each}" for each in paying]
    does = "does" if len(failing) == 1 else "do"
    parts = [
        f"{name} loses no request with {listed(free)}" if free else "",
        f"{'at most' if free else f'{name} loses up to'} {listed(prices)}" if paying else "",
        f"{listed(failing)} {does} not serve the new release alone" if failing else "",
    ]
    return "; ".join(part for part in parts if part) + "."


def _count(mean: float) -> str:
    """A mean count: "12", "0.667"."""
    return f"{mean:,.0f}" if mean == round(mean) else figures(mean)


def deploys(results: Results, cells: pd.DataFrame, losses: pd.DataFrame) -> Deploys:
    """The deploys among the cells of recycling; these, and `losses`, are those of `Recycling`."""
    mine = cells[cells["treatment"].isin(DEPLOYS)].join(results.cells[["path", "deploys_by", "proxied"]])
    counts = {
        "answers_5xx": losses[losses["in_probe"] & (losses["kind"] == HTTP_5XX)],
        "ran_twice": ran_twice(results),
    }
    for name, counted in counts.items():
        mine[name] = counted.groupby("cell").size().reindex(mine.index).fillna(0).astype("int64")
    mine["proxy"] = mine["proxied"].map({True: str(results.run.behind), False: DIRECT})
    by = ["configuration", "workers", "scenario", "proxy", "deploys_by"]
    found = [_deploy(group) for _, group in mine.groupby(by, sort=False)]
    rows = tuple(row for row, _ in found)
    return _ordered(rows, pd.DataFrame([told for _, told in found], columns=FRAME), results.configurations)


def beside(one: Deploys, other: Deploys, order: Sequence[str]) -> Deploys:
    """The deploys of clients on two ways, side by side; `order` has all configurations."""
    return _ordered((*one.rows, *other.rows), pd.concat([one.frame, other.frame], ignore_index=True), order)


def _ordered(rows: Sequence[Deploy], frame: pd.DataFrame, order: Sequence[str]) -> Deploys:
    """By configuration, workers and scenario, what is direct first and a second copy last."""
    scenarios = list(dict.fromkeys(row.scenario for row in rows))

    def place(number: int) -> tuple[int, int, int, bool, bool]:
        row = rows[number]
        known = order.index(row.configuration), row.workers, scenarios.index(row.scenario)
        return (*known, row.proxy != DIRECT, row.way == SWAP)

    places = sorted(range(len(rows)), key=place)
    return Deploys(tuple(rows[each] for each in places), frame.iloc[places].reset_index(drop=True))


def _deploy(cells: pd.DataFrame) -> tuple[Deploy, dict[str, object]]:
    """The repeats of a deploy as a row, and as numbers."""
    configuration, scenario = (str(cells[name].iloc[0]) for name in ("configuration", "scenario"))
    workers = int(cells["workers"].iloc[0])
    verdict = min(cells["verdict"].tolist(), key=VERDICTS.index)
    mean, low, high = rate(cells["lost"])
    sums = cells[["requests", "lost", "answers_5xx", *_LOST, "ran_twice"]].sum()
    longest = cells[["gap_s", "slowest_ms"]].max()
    renewed_s = float(cells["renewed_s"].max()) if verdict == "deploys" else float("nan")
    way, proxy = str(cells["deploys_by"].iloc[0]), str(cells["proxy"].iloc[0])
    row = Deploy(
        configuration=configuration,
        scenario=scenario,
        workers=workers,
        proxy=proxy,
        way=way,
        verdict=verdict,
        lost=Value(mean, low, high) if len(cells) > 1 else Value(mean),
        ran=float(sums["lost_started"] + sums["lost_finished"]) / len(cells),
        twice=float(sums["ran_twice"]) / len(cells),
        renewed_s=renewed_s,
        gap_s=float(longest["gap_s"]),
        evidence=tuple(cells["path"]),
    )
    return row, {
        "configuration": configuration,
        "scenario": scenario,
        "workers": workers,
        "proxy": proxy,
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
