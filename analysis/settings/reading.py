"""From the summary of a run to its settings: each variant's ratios to its parent."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.cells.summary import REPEATED, failed_share
from analysis.findings.bottleneck import generator_bound
from analysis.reading.results import Results
from analysis.recycling import Recycling
from analysis.settings.connections import Connections
from analysis.settings.figures import Figures
from analysis.settings.model import MEASURES, Judged, Measure, Setting, Settings
from analysis.words import counted, with_workers, workers_of
from bench.model.plans.recycling import DEPLOYS
from bench.model.plans.settings import COMBINED
from bench.model.records.run import Variant
from bench.model.thresholds import ERROR_RATE, SATURATED
from bench.stats.comparison import Ratio, compare_counts, compare_unpaired


def settings(results: Results, summary: pd.DataFrame, recycling: Recycling | None = None) -> Settings:
    """The settings of a run; without rows where no variant was tried beside its parent.

    Closed loops tell throughput, CPU time and memory, open loops without replaced workers the tail,
    `recycling` what replacing them loses, and connections.csv the rest.
    """
    aliases = set(results.run.plan.get("aliases", {}))
    entries = {each.name: each.variant for each in results.run.configurations if each.name not in aliases}
    # Deploys have a table of their own.
    measured = results.cells[~results.cells["treatment"].isin(DEPLOYS)]
    tried = {str(name) for name in measured["configuration"]} - aliases
    variants = {
        name: facts for name, facts in entries.items() if facts and name in tried and facts.of in tried
    }
    if not variants:
        return Settings(())
    parents = {facts.of for facts in variants.values()}
    places = {name: place for place, name in enumerate(entries)}
    known = _Known.of(results, summary, recycling)
    judged = [_judged(known, name, facts) for name, facts in variants.items()]
    judged.sort(key=lambda each: (places[each.parent], *each.order))
    defaults = {facts.of: name for name, facts in variants.items() if facts.default}
    whole = [
        _judged(known, name, facts.model_copy(update={"of": defaults[facts.of]}))
        for name, facts in variants.items()
        if facts.varies == COMBINED and facts.of in defaults
    ]
    return Settings(tuple(judged), tried == parents | set(variants), tuple(whole))


@dataclass(frozen=True)
class _Known:
    """What a run tells: `loads` has the cells of each load, `figures` those of each measure but losses.

    `replacing` is the CPU time per request where workers are replaced.
    """

    results: Results
    measured: frozenset[str]
    loads: Sequence[pd.DataFrame]
    figures: Mapping[Measure, Figures]
    recycling: Recycling | None
    replacing: Figures
    connections: Connections

    @classmethod
    def of(cls, results: Results, summary: pd.DataFrame, recycling: Recycling | None) -> "_Known":
        """From the cells of a run, those that are steps of searches or meant for recycling left out."""
        plain = summary[summary["search_p99_ms"].isna() & summary["treatment"].isin(["none", "control"])]
        loads = [cells for _, cells in plain.groupby(REPEATED, dropna=False, observed=True)]
        names = frozenset(summary["configuration"].astype(str))
        connections = Connections.of(results.directory)
        replaced = _replacing(summary, recycling)
        return cls(results, names, loads, _figures(loads), recycling, replaced, connections)


def _judged(known: _Known, name: str, facts: Variant) -> Judged:
    """A variant beside its parent."""
    if not {name, facts.of} <= known.measured:
        return Judged(name, facts, (), unmeasured=_reason(known.results, name, facts.of))
    ratios = {measure: figures.compare(name, facts.of) for measure, figures in known.figures.items()}
    found = {measure: ratio for measure, ratio in ratios.items() if not math.isnan(ratio.ratio)}
    if known.recycling is not None:
        found |= _of_replacements(known.recycling, name, facts)
    if "replacing" in facts.expects:
        ratio = known.replacing.compare(name, facts.of)
        found |= {} if math.isnan(ratio.ratio) else {"cpu_replacing": ratio}
    found |= {measure: ratio for measure, ratio in known.connections.ratios(name, facts.of) if ratio.rounds}
    expects = set(facts.expects)
    if "throughput" in expects and "throughput" not in found:
        expects.add("cpu")  # as in rankings, where a server was not saturated
    return Judged(
        name,
        facts,
        tuple(
            Setting(
                name,
                facts.of,
                facts.varies,
                measure,
                found[measure],
                about.expects in expects,
                known.figures[measure].apart(name, facts.of) if measure in known.figures else (),
            )
            for measure, about in MEASURES.items()
            if measure in found
        ),
        broken=next((why for load in known.loads if (why := _broken(load, name, facts.of))), None),
    )


def _reason(results: Results, *names: str) -> str:
    """Why one of a pair has no figures."""
    cells = results.cells
    for name in names:
        mine = cells[cells["configuration"] == name]
        if (mine["status"] == "failed").all():
            first, *said = str(mine["reason"].iloc[0]).splitlines()
            words = f": {said[-1].strip()}" if said else ""  # what the server said last
            return f"{name} could not be measured: {first}{words}"
    return "it could not be measured"


def _figures(loads: Sequence[pd.DataFrame]) -> dict[Measure, Figures]:
    """What closed and open loops tell, without the configurations that failed requests in a load."""
    sound = [load[load["requests"] > 0] for each in loads if len(load := _sound(each))]
    closed = [load for load in sound if (load["load_kind"] == "closed").all()]
    opened = [load for load in sound if (load["load_kind"] == "open").all()]
    # A control's requests are traced, which costs time: it tells the tail where nothing else does.
    plain = [load for load in opened if (load["treatment"] == "none").all()]
    full = [load for each in closed if len(load := _full(each))]
    return {
        "throughput": Figures(full, "throughput", _names(full)),
        "cpu_us": Figures(closed, "cpu_us", _names(closed)),
        "p99": Figures(plain or opened, "schedule_p99_us", _names(plain or opened)),
        "pss_bytes": Figures(list(_weighed(closed or opened)), "pss_bytes"),
    }


def _names(loads: Sequence[pd.DataFrame]) -> list[str]:
    """What each load is called: by its scenario, where that tells them apart."""
    of = [load.iloc[0] for load in loads]
    short = [str(load["scenario"]) for load in of]
    if len({*short}) == len(short):
        return short
    sizes = [
        f"{load['rate_per_s']:,.0f}/s" if load["load_kind"] == "open" else counted(int(load["users"]), "user")
        for load in of
    ]
    return [
        f"{name} ({size}, {with_workers(workers_of(load['workers']))})"
        for name, size, load in zip(short, sizes, of, strict=True)
    ]


def _sound(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of configurations that fail no more requests under a load than may be."""
    names = cells["configuration"].astype(str)
    return cells[names.map({name: _errors(cells, name) for name in names.unique()}) <= ERROR_RATE]


def _full(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells of configurations that were saturated under a load: what they served is their own."""
    by = cells["configuration"].astype(str)
    bound = generator_bound(cells).groupby(by).transform("any")
    return cells[(cells["busy"].groupby(by).transform("mean") >= SATURATED) & ~bound]


def _weighed(loads: Sequence[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The memory in each repeat, the most that any load found: for each number of workers a frame."""
    if loads:
        cells = pd.concat(loads)
        most = cells.groupby(["workers", "configuration", "repeat"], observed=True)["pss_bytes"].max()
        yield from (group.reset_index() for _, group in most.groupby("workers"))


def _errors(cells: pd.DataFrame, name: str) -> float:
    """The share of a configuration's requests under a load that failed."""
    return failed_share(cells[cells["configuration"] == name])


def _broken(load: pd.DataFrame, name: str, parent: str) -> str | None:
    """That a variant fails requests under a load where its parent does not; None where it does not."""
    if not {name, parent} <= set(load["configuration"].astype(str)):
        return None
    mine, theirs = (_errors(load, each) for each in (name, parent))
    if mine <= ERROR_RATE or theirs > ERROR_RATE:
        return None
    return f"{mine:.2%} of its requests failed in {load['scenario'].iloc[0]}, of {parent}'s {theirs:.2%}"


def _replacing(summary: pd.DataFrame, recycling: Recycling | None) -> Figures:
    """The CPU time per request under each load in which workers are replaced as they should be."""
    if recycling is None:
        return Figures([], "cpu_us")
    cells = recycling.cells
    sound = cells.index[(cells["treatment"] == "recycled") & (cells["verdict"] == "recycles")]
    loads = summary.loc[summary.index.isin(sound)].groupby(REPEATED, dropna=False, observed=True)
    return Figures([load for _, load in loads], "cpu_us")


def _of_replacements(recycling: Recycling, name: str, facts: Variant) -> dict[Measure, Ratio]:
    """What replacing a worker costs, over what it costs the parent: losses, and what else is expected.

    A ratio of counts is NaN where neither has any.
    """
    mine, mine_elsewhere = _replaced(recycling, name)
    theirs, theirs_elsewhere = _replaced(recycling, facts.of)
    if not min(len(mine), len(theirs)):
        return {}
    found: dict[Measure, Ratio] = {
        "lost": compare_counts(mine["lost"], theirs["lost"], elsewhere=(mine_elsewhere, theirs_elsewhere))
    }
    if "start" in facts.expects:
        found["start"] = compare_unpaired(mine["start_s"], theirs["start_s"])
    if "stall" in facts.expects:
        found["stall"] = compare_unpaired(mine["gap_s"], theirs["gap_s"])
    if "overlap" in facts.expects:
        found["overlap"] = compare_counts(mine["overlaps"] > 0, theirs["overlaps"] > 0)
    return found


def _replaced(recycling: Recycling, name: str) -> tuple[pd.DataFrame, int]:
    """The replacements of a configuration, and how many requests were lost in none of them."""
    cells = recycling.cells
    sound = cells[
        (cells["configuration"] == name)
        & (cells["treatment"] == "recycled")
        & (cells["verdict"] == "recycles")
    ]
    replaced = recycling.replacements
    done = replaced[replaced["cell"].isin(sound.index) & replaced["new_pid"].notna()]
    return done, int(sound["lost"].sum() - done["lost"].sum())
