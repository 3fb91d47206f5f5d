"""From the summary of a run to its settings: each variant's ratios to its parent, pair by pair."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from analysis.findings.bottleneck import generator_bound, ranked_by
from analysis.recycling import Recycling
from analysis.results import Results
from analysis.rotation import columns_of
from analysis.settings.model import MEASURES, Judged, Measure, Setting, Settings
from analysis.summary import OPEN_LOAD
from bench.model.schema import Variant
from bench.model.thresholds import ERROR_RATE
from bench.stats.comparison import UNKNOWN, Ratio, compare_by, compare_counts

# A load that fewer than this share of the repeats tell of than of another says too little to be waited for.
ENOUGH = 0.5
_NOTHING = Ratio(UNKNOWN, UNKNOWN, UNKNOWN, 0)


def settings(results: Results, summary: pd.DataFrame, recycling: Recycling | None = None) -> Settings:
    """The settings of a run; without rows where no variant was tried beside its parent.

    Closed loops tell throughput, CPU time and memory, open loops without replaced workers the tail, and
    `recycling` what replacing them loses.
    """
    aliases = set(results.run.plan.get("aliases", {}))
    entries = {each.name: each.variant for each in results.run.configurations if each.name not in aliases}
    tried = {str(name) for name in results.cells["configuration"]} - aliases
    variants = {
        name: facts for name, facts in entries.items() if facts and name in tried and facts.of in tried
    }
    parents = {facts.of for facts in variants.values()}
    places = {name: place for place, name in enumerate(entries)}
    judged = [_judged(results, summary, recycling, name, facts) for name, facts in variants.items()]
    judged.sort(key=lambda each: (places[each.parent], *each.order))
    return Settings(tuple(judged), alone=bool(variants) and tried == parents | set(variants))


def _judged(
    results: Results, summary: pd.DataFrame, recycling: Recycling | None, name: str, facts: Variant
) -> Judged:
    """A variant beside its parent."""
    pair = summary[summary["configuration"].isin([name, facts.of])]
    if set(pair["configuration"].astype(str)) != {name, facts.of}:
        return Judged(name, facts, (), unmeasured=_reason(results, name, facts.of))
    loads = list(_loads(pair, name, facts.of))
    ratios = _ratios(loads, name, facts.of)
    if recycling is not None:
        ratios["lost"] = _lost(recycling, name, facts.of)
    known = {
        measure: ratio
        for measure, ratio in ratios.items()
        if not math.isnan(ratio.ratio) or (measure == "lost" and ratio.rounds)
    }
    expects = set(facts.expects)
    if "throughput" in expects and "throughput" not in known:
        expects.add("cpu")  # as in rankings, where a server was not saturated
    return Judged(
        name,
        facts,
        tuple(
            Setting(name, facts.of, facts.varies, measure, known[measure], about.expects in expects)
            for measure, about in MEASURES.items()
            if measure in known
        ),
        broken=next((why for load in loads if (why := _broken(load, name, facts.of))), None),
    )


def _reason(results: Results, *names: str) -> str:
    """Why one of a pair has no figures."""
    cells = results.cells
    for name in names:
        mine = cells[cells["configuration"] == name]
        if (mine["status"] == "failed").all():
            reason = str(mine["reason"].iloc[0]).partition("\n")[0]
            return f"{name} could not be measured: {reason}"
    return "it could not be measured"


def _loads(pair: pd.DataFrame, name: str, parent: str) -> Iterator[pd.DataFrame]:
    """The cells of each load that both have, those without a success left out.

    Steps of searches are none, nor are cells in which workers were replaced or a signal was sent.
    """
    plain = pair[pair["search_p99_ms"].isna() & pair["treatment"].isin(["none", "control"])]
    for _, cells in plain.groupby(["load_kind", *OPEN_LOAD], dropna=False, observed=True):
        if set(cells["configuration"].astype(str)) == {name, parent}:
            yield cells


def _errors(cells: pd.DataFrame, name: str) -> float:
    """The share of the requests of one of a pair that failed."""
    mine = cells[cells["configuration"] == name]
    failures = int(mine["failures"].sum())
    return failures / max(1, failures + int(mine["requests"].sum()))


def _broken(load: pd.DataFrame, name: str, parent: str) -> str | None:
    """That a variant fails requests where its parent does not; None where it does not."""
    mine, theirs = (_errors(load, each) for each in (name, parent))
    if mine <= ERROR_RATE or theirs > ERROR_RATE:
        return None
    return f"{mine:.2%} of its requests failed in {load['scenario'].iloc[0]}, of {parent}'s {theirs:.2%}"


def _ratios(loads: Sequence[pd.DataFrame], name: str, parent: str) -> dict[Measure, Ratio]:
    """What closed and open loops tell; loads in which requests failed tell nothing."""
    sound = [
        load[load["requests"] > 0]
        for load in loads
        if max(_errors(load, each) for each in (name, parent)) <= ERROR_RATE
    ]
    closed = [load for load in sound if (load["load_kind"] == "closed").all()]
    opened = [load for load in sound if (load["load_kind"] == "open").all()]
    full = [load for load in closed if ranked_by(load) == "throughput" and not generator_bound(load).any()]
    weighed = list(_weighed(closed or opened))
    return {
        "throughput": _ratio(full, "throughput", name, parent),
        "cpu_us": _ratio(closed, "cpu_us", name, parent),
        "p99": _ratio(opened, "schedule_p99_us", name, parent),
        "pss_bytes": _ratio(weighed, "pss_bytes", name, parent),
    }


def _weighed(loads: Sequence[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The memory of both in each repeat, the most that any load found: for each number of workers a frame."""
    if loads:
        cells = pd.concat(loads)
        most = cells.groupby(["workers", "configuration", "repeat"], observed=True)["pss_bytes"].max()
        yield from (group.reset_index() for _, group in most.groupby("workers"))


def _ratio(loads: Sequence[pd.DataFrame], metric: str, name: str, parent: str) -> Ratio:
    """`name` over `parent` by a column, paired within the repeats.

    Of several loads the geometric mean in each repeat that knows them all, in each manner of the generator
    where it had two.
    """
    columns = columns_of(pd.concat(loads), metric) if loads else [metric]
    known = [_known(load, columns, name, parent) for load in loads]
    most = max((len(each) for each in known), default=0)
    if not most:
        return _NOTHING
    chosen = [each for each in known if len(each) >= ENOUGH * most]
    return compare_by([(_mean(chosen, column, name), _mean(chosen, column, parent)) for column in columns])


def _known(load: pd.DataFrame, columns: Sequence[str], name: str, parent: str) -> pd.DataFrame:
    """The logarithms of a load's figures, a row for each repeat that knows them all of both."""
    wide = load.pivot(index="repeat", columns="configuration", values=list(columns))
    both = wide[[(column, each) for column in columns for each in (name, parent)]]
    logarithms: pd.DataFrame = np.log(both.where(both > 0).dropna())
    return logarithms


def _mean(loads: Sequence[pd.DataFrame], column: str, name: str) -> pd.Series:
    every = pd.concat([load[(column, name)] for load in loads], axis=1, join="inner")
    mean: pd.Series = np.exp(every.mean(axis=1))
    return mean


def _lost(recycling: Recycling, name: str, parent: str) -> Ratio:
    """Requests lost to a replaced worker, over those of the parent."""
    sides = [_losses(recycling, each) for each in (name, parent)]
    (mine, mine_elsewhere), (theirs, theirs_elsewhere) = sides
    return compare_counts(mine, theirs, elsewhere=(mine_elsewhere, theirs_elsewhere))


def _losses(recycling: Recycling, name: str) -> tuple[pd.Series, int]:
    """What each replacement of a configuration lost, and what was lost in none of them."""
    cells = recycling.cells
    sound = cells[
        (cells["configuration"] == name)
        & (cells["treatment"] == "recycled")
        & (cells["verdict"] == "recycles")
    ]
    replaced = recycling.replacements
    done = replaced[replaced["cell"].isin(sound.index) & replaced["new_pid"].notna()]
    return done["lost"], int(sound["lost"].sum() - done["lost"].sum())
