"""The deciding table: every configuration's answers, each with the cells it was read from."""

from operator import itemgetter
from typing import Literal

import numpy as np
import pandas as pd

from analysis.reading.results import Results
from analysis.recycling.cells import Bound, leaks
from analysis.recycling.limits import LONG_S, SHORT_S
from analysis.recycling.model import Answer, RecyclingRow
from analysis.recycling.requests import rate
from analysis.words import MIB, MISSING, counted, duration, figures, listed, span
from bench.model.plans.recycling import DEPLOYS

UNKNOWN = Answer(MISSING, "unknown")
# What replaces workers, when it works, by the configuration's `recycle`.
WORKS = {"rss": "only by RSS"}


def table(
    results: Results, lives: pd.DataFrame, replacements: pd.DataFrame, cells: pd.DataFrame
) -> tuple[RecyclingRow, ...]:
    """A row for every configuration of the catalogue that has a cell of recycling, finished or failed.

    Deploys have a table of their own.
    """
    every = results.cells[~results.cells["treatment"].isin(["none", *DEPLOYS])]
    judged = every[["path", "max_requests", "server_ended"]].join(cells, how="inner")
    rows = []
    for configuration in results.run.configurations:
        mine = judged[judged["configuration"] == configuration.name]
        failed = every[(every["configuration"] == configuration.name) & (every["status"] == "failed")]
        if mine.empty and failed.empty:
            continue
        recycled, controls = mine[mine["treatment"] == "recycled"], mine[mine["treatment"] == "control"]
        ends = replacements[replacements["cell"].isin(recycled.index)]
        answers = (
            _restarts(configuration.recycle, recycled, failed[failed["treatment"] == "recycled"]),
            _per_life(recycled, lives),
            _lost(recycled[recycled["keep_alive"]], ends),
            _lost(recycled[~recycled["keep_alive"]], ends),
            _stall(recycled, controls),
            _bound(recycled, controls),
            _killed(mine[mine["treatment"] == "kill"], failed[failed["treatment"] == "kill"]),
            _terminated(mine[mine["treatment"] == "terminate"], failed[failed["treatment"] == "terminate"]),
        )
        rows.append(RecyclingRow(configuration.name, answers))
    return tuple(rows)


def _restarts(recycle: str | None, recycled: pd.DataFrame, failed: pd.DataFrame) -> Answer:
    """Whether workers are replaced after N requests, and by what."""
    paths = _paths(recycled, failed)
    broken = recycled[recycled["verdict"] == "broken"]
    if len(broken) or len(failed):
        reason = broken["reason"].iloc[0] if len(broken) else _why(failed)
        return Answer(f"broken: {reason}", "bad", _paths(broken, failed))
    if recycled.empty:
        return Answer("no", "bad") if recycle == "none" else UNKNOWN
    works = recycled[recycled["verdict"] == "recycles"]
    if works.empty:
        return Answer(f"no: {recycled['reason'].iloc[0]}", "bad", paths)
    text = _respawned(works) if recycle == "respawn" else WORKS.get(str(recycle), "yes")
    others = recycled.drop(works.index)
    if len(others):
        text += f", but not in {_where(others)}"
    return Answer(text, "good" if text == "yes" else "fair", paths)


def _respawned(works: pd.DataFrame) -> str:
    """What restarts a server that only ends: several workers have a manager of their own."""
    if (works["workers"] > 1).all():
        return "yes, with several workers"
    alone = " with 1 worker" if (works["workers"] > 1).any() else ""
    return f"needs a process manager{alone}"


def _per_life(recycled: pd.DataFrame, lives: pd.DataFrame) -> Answer:
    """The median of the requests that whole lives served, and their range, for each N."""
    sound = recycled[recycled["served_median"].notna()]
    parts, medians = [], []
    for max_requests, group in sound.groupby("max_requests", dropna=False):
        served = lives[lives["whole"] & lives["cell"].isin(group.index)]["served"]
        median = float(served.median())
        medians.append(median)
        text = f"{median:,.0f} ({span(served.min(), served.max())})"
        parts.append(text if sound["max_requests"].nunique() < 2 else f"{text} for N = {max_requests:.0f}")
    if not parts:
        return UNKNOWN
    beyond = (sound["served_median"] / sound["max_requests"]).max()
    return Answer("; ".join(parts), "fair" if beyond > 2 else "good", _paths(sound), medians[0])


def _lost(recycled: pd.DataFrame, replacements: pd.DataFrame) -> Answer:
    """Requests lost per 1000 replacements, for each number of workers, all scenarios and repeats together.

    Cells that are broken have no recycling to lose by.
    """
    sound = recycled[(recycled["verdict"] == "recycles") & (recycled["replaced"] > 0)]
    if sound.empty:
        return UNKNOWN
    parts, worst = [], 0.0
    for _, group in sound.groupby("workers"):
        mean, text = lost_rate(group, replacements)
        parts.append(f"{counted(int(group['workers'].iloc[0]), 'worker')}: {text}")
        worst = max(worst, mean)
    costly = sound[sound["lost"] > 0]
    verdict: Literal["good", "fair", "bad"] = "good" if worst == 0 else "fair" if worst < 1000 else "bad"
    return Answer("; ".join(parts), verdict, _paths(sound if costly.empty else costly), worst)


def lost_rate(cells: pd.DataFrame, replacements: pd.DataFrame) -> tuple[float, str]:
    """Lost per 1000 replacements of some cells, and that in words."""
    done = replacements[replacements["cell"].isin(cells.index) & replacements["new_pid"].notna()]
    elsewhere = int(cells["lost"].sum() - done["lost"].sum())
    mean, low, high = (1000 * each for each in rate(done["lost"], elsewhere))
    if mean == 0:
        return mean, f"0 of {counted(len(done), 'recycle')} (up to {figures(high)})"
    ran = 1000 * cells[["lost_started", "lost_finished"]].to_numpy().sum() / len(done)
    handled = f", of them {figures(ran)} whose handler ran" if ran else ""
    return mean, f"{figures(mean)} ({figures(low)} to {figures(high)}){handled}"


def _stall(recycled: pd.DataFrame, controls: pd.DataFrame) -> Answer:
    """The longest time in which nothing was answered, beside that without recycling."""
    sound = recycled[(recycled["verdict"] == "recycles") & recycled["gap_s"].notna()]
    if sound.empty:
        return UNKNOWN
    worst = sound.loc[[sound["gap_s"].idxmax()]]
    gap, usual = float(worst["gap_s"].iloc[0]), float(controls["gap_s"].max())
    text = f"{duration(gap)} ({_where(worst)}"
    text += ")" if np.isnan(usual) else f"; without recycling {duration(usual)})"
    verdict: Literal["good", "fair", "bad"] = "good" if gap <= SHORT_S else "bad" if gap >= LONG_S else "fair"
    return Answer(text, verdict, _paths(worst), gap)


def _bound(recycled: pd.DataFrame, controls: pd.DataFrame) -> Answer:
    """Whether a leak stays within bounds, by every pair of cells whose control leaks."""
    leaking = controls[controls["growth"].map(leaks)]
    if leaking.empty:
        return UNKNOWN
    if recycled.empty:
        peak = leaking["rss_peak_bytes"].max()
        return Answer(f"no: grew to {figures(peak / MIB)} MiB", "bad", _paths(leaking))
    by = ["scenario", "workers", "rate_per_s", "users", "repeat"]
    columns = [*by, "rss_peak_bytes", "growth", "path"]
    pairs = leaking[columns].merge(recycled[columns], on=by, suffixes=("_control", ""))
    if pairs.empty:
        return UNKNOWN
    judged = ["rss_peak_bytes", "rss_peak_bytes_control", "growth", "growth_control"]
    bounds = [Bound(*row) for row in pairs[judged].itertuples(index=False)]
    loose = [bound for bound in bounds if not bound.held]
    worst = max(loose or bounds, key=lambda bound: bound.recycled_bytes)
    text = "no" if loose else "yes"
    text += f": {figures(worst.recycled_bytes / MIB)} MiB, without {figures(worst.control_bytes / MIB)}"
    evidence = tuple(str(path) for path in (*pairs["path"], *pairs["path_control"]))
    return Answer(text, "bad" if loose else "good", evidence)


def _killed(probes: pd.DataFrame, failed: pd.DataFrame) -> Answer:
    """What `kill -9` of a worker did, by the worst of the repeats."""
    if probes.empty:
        return _failed(failed)
    worst = _worst(probes, ["ends", "degraded", "recovers", "unknown"])
    row = worst.iloc[0]
    lost = f", {row['lost']:,} lost"
    if row["verdict"] == "unknown":
        return Answer(MISSING, "unknown", _paths(worst))
    if row["verdict"] == "recovers":
        return Answer(f"another worker after {duration(row['recovery_s'])}{lost}", "good", _paths(worst))
    if row["verdict"] == "degraded":
        return Answer(f"nothing restarts it, the others serve on{lost}", "bad", _paths(worst))
    text = "nothing restarts it, and nothing serves" if np.isnan(row["server_ended"]) else "the server ends"
    return Answer(text + lost, "bad", _paths(worst))


def _terminated(probes: pd.DataFrame, failed: pd.DataFrame) -> Answer:
    """What SIGTERM did to the requests in flight, by the worst of the repeats."""
    if probes.empty:
        return _failed(failed)
    worst = _worst(probes, ["cuts", "finishes", "unknown"])
    row = worst.iloc[0]
    if row["verdict"] == "unknown":
        return Answer(MISSING, "unknown", _paths(worst))
    if row["verdict"] == "finishes":
        return Answer(f"finishes all {row['in_flight']:.0f}", "good", _paths(worst))
    missing = row["in_flight"] - row["answered"]
    after = "" if np.isnan(row["cut_after_s"]) else f" after {duration(row['cut_after_s'])}"
    return Answer(f"cuts {missing:.0f} of {row['in_flight']:.0f}{after}", "bad", _paths(worst))


def _worst(probes: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    return probes.iloc[[int(probes["verdict"].map(order.index).to_numpy().argmin())]]


def _failed(failed: pd.DataFrame) -> Answer:
    """A probe that failed says why; one that was not planned says nothing."""
    if failed.empty:
        return UNKNOWN
    return Answer(f"not measured: {_why(failed)}", "unknown", _paths(failed))


def _why(failed: pd.DataFrame) -> str:
    """Why the first of some cells failed, without the server's last lines, which follow the first line."""
    return str(failed["reason"].iloc[0]).partition("\n")[0]


def finding(cells: pd.DataFrame, rows: tuple[RecyclingRow, ...]) -> str:
    """One sentence: which configurations replace workers without loss, at which price, or not at all."""
    free, paying, broken, not_at_all = [], {}, [], []
    for row in rows:
        mine = cells[(cells["configuration"] == row.configuration) & (cells["treatment"] == "recycled")]
        works = mine[mine["verdict"] == "recycles"]
        if row.answers[0].text.startswith("broken"):
            broken.append(row.configuration)
        elif works.empty:
            not_at_all.append(row.configuration)
        elif works["lost"].sum() == 0:
            free.append(row.configuration)
        else:
            paying[row.configuration] = float(1000 * works["lost"].sum() / works["replaced"].sum())
    prices = [f"{figures(paid)} with {name}" for name, paid in sorted(paying.items(), key=itemgetter(1))]
    parts = [
        f"{_do(free, 'replaces', 'replace')} workers without losing a request" if free else "",
        f"lost per 1000 recycles: {listed(prices)}" if paying else "",
        f"{_do(not_at_all, 'does', 'do')} not replace workers" if not_at_all else "",
        f"{_do(broken, 'is', 'are')} broken" if broken else "",
    ]
    text = "; ".join(part for part in parts if part)
    return (text[0].upper() + text[1:] if text.startswith("lost") else text) + "."


def _do(names: list[str], one: str, several: str) -> str:
    return f"{listed(names)} {one if len(names) == 1 else several}"


def _where(cells: pd.DataFrame) -> str:
    """The scenarios and workers of some cells in words."""
    places = [
        f"{scenario}, {counted(int(workers), 'worker')}"
        for scenario, workers in cells[["scenario", "workers"]].drop_duplicates().itertuples(index=False)
    ]
    return " and ".join(places)


def _paths(*frames: pd.DataFrame) -> tuple[str, ...]:
    return tuple(str(path) for frame in frames for path in frame["path"])
