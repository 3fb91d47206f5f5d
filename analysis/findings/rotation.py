"""Does a rotation hold: does its control agree, did its slices keep apart, and does the generator decide?"""

from collections.abc import Iterator

import pandas as pd

from analysis.cells.rotation import MANNERS, Control, controls, missed, off_timetable, spoiled, valued
from analysis.cells.summary import LOAD
from analysis.findings.bottleneck import ranked_by
from analysis.findings.finding import Finding, Group, Kind, Measurements, at_loads, by_configuration, finds
from analysis.words import Value, counted, duration, figures
from bench.stats.comparison import MATERIAL, Ratio, compare

# Share of a CPU that a server may use while nobody loads it.
IDLE_SHARE = 0.01
# Share of the slices of a configuration that may be left out before the rest is another measurement, ...
LEFT_OUT = 0.05
# ... and of its requests that may have opened a connection first.
OPENED = 0.01
# Where connections were opened for so many of the requests, the scenario opens them on purpose.
ON_PURPOSE = 0.5

CONTROL = Kind(
    "control", "answer", "Does the rotation hold?", "control differs",
    "the 95 % interval of a configuration's ratio to itself, under an alias, excludes 1",
    "only the start differs, so something unseen moves the figures by as much. One in 20 excludes 1 "
    "by chance",
    topics=("circumstances",),
)  # fmt: skip
MANNER = Kind(
    "manner", "answer", "Does the rotation hold?", "depends on the generator",
    "a ratio to the best while the generator polls, over that while it sleeps, has its whole 95 % "
    f"interval beyond `MATERIAL` = {MATERIAL:g}",
    "what ranks must hold in both manners",
    topics=("throughput",), note="depends on how the generator waits",
)  # fmt: skip
UNSTEERED = Kind(
    "unsteered", "note", "Does the rotation hold?", "loopback not steered",
    "the loopback device's packets are processed by the CPU that sends them",
    "a server then pays for waking the generator; in a rotation of one manner that spoils the answer",
    topics=("circumstances",),
)  # fmt: skip
IMPRECISE = Kind(
    "imprecise", "note", "Does the rotation hold?", "not as precise as asked",
    "an interval that decides is wider than the plan's `precision`",
    "its time was up, or it had as many sittings as it may have",
    topics=("circumstances",),
)  # fmt: skip
IN_BLOCKS = Kind(
    "in-blocks", "note", "Does the rotation hold?", "measured in blocks",
    "closed loops of a plan with a rotation, with the reason",
    "blocks are minutes apart, which widens every interval",
    topics=("circumstances",),
)  # fmt: skip
# Why a rotation may end before it is precise.
_ENDS = {"limit": "its time was up", "most": "it may have no more"}
OVERRUN = Kind(
    "overrun", "number", "Does the rotation hold?", "slices overran",
    "requests of any configuration in flight when a slice begins; a note up to `LEFT_OUT` = "
    f"{LEFT_OUT:g} of its slices",
    "it shares its server's CPU with the slice before, and is left out",
    topics=("circumstances",),
)  # fmt: skip
OFF_TIMETABLE = Kind(
    "off-timetable", "number", "Does the rotation hold?", "off the timetable",
    "an edge of a window by more than half the window and 0.1 s, or its length by more than half; a "
    "note up to `LEFT_OUT`",
    "the machine stood still, or its clock jumped: the slice is left out",
    topics=("circumstances",),
)  # fmt: skip
SKIPPED = Kind(
    "skipped-slices", "number", "Does the rotation hold?", "slices skipped",
    "any that never began, or not in every process of the generator; a note up to `LEFT_OUT` of a cell's "
    "slices",
    "the generator came too late for them: they are left out",
    topics=("circumstances",),
)  # fmt: skip
RECONNECTED = Kind(
    "opened-in-slices", "number", "Does the rotation hold?", "connections opened",
    f"in slices; a note up to `OPENED` = {OPENED:g} of the requests, and nothing where a scenario opens one "
    f"for `ON_PURPOSE` = {ON_PURPOSE:g} of them or more",
    "connections stay open unless a server closes them",
    topics=("latency", "cost"), note="opened connections in slices",
)  # fmt: skip
IDLE_CPU = Kind(
    "idle-cpu", "number", "Does the rotation hold?", "idle CPU",
    f"`IDLE_SHARE` = {IDLE_SHARE:g} of a CPU, on average of its cells",
    "what a server uses unloaded is missing to the others, not to itself",
    topics=("cost",), note="uses CPU while idle",
)  # fmt: skip


@finds(CONTROL)
def control(measured: Measurements) -> Iterator[Finding]:
    """Aliases that differ from what they stand for."""
    aliases = measured.results.run.plan.get("aliases", {})
    for load, cells in _loads(measured):
        metric = ranked_by(cells[~cells["configuration"].isin(aliases)])
        for one in controls(cells, metric, aliases):
            if one.different:
                yield _control(one, cells, load, metric)


def _control(one: Control, cells: pd.DataFrame, scenario: str, metric: str) -> Finding:
    what = "requests/s" if metric == "throughput" else "requests per CPU-second"
    return CONTROL.found(
        f"the control differs from itself at {at_loads(cells)}: {one.alias} served "
        f"{Value.of(one.versus).times()} the {what} of "
        f"{one.original}, which is the same server",
        spoils="every ratio there that is no further from 1 than this one",
        advice="run again at a quieter time; if it stays, it is a mistake of this suite: report it",
        scenario=scenario,
        cells=cells[cells["configuration"].isin([one.alias, one.original])],
    )


@finds(MANNER)
def manner(measured: Measurements) -> Iterator[Finding]:
    """Ratios to the best that depend on whether the generator polls or sleeps."""
    aliases = measured.results.run.plan.get("aliases", {})
    for scenario, cells in _loads(measured):
        own = cells[~cells["configuration"].isin(aliases)]
        metric = ranked_by(own)
        values = valued(own, metric)
        if len(values) < 2:
            continue
        if metric == "cpu_us":
            values = [1 / each for each in values]
        polls, sleeps = values
        best = str(((polls * sleeps).mean()).idxmax())
        moved = {str(name): _moved(polls, sleeps, str(name), best) for name in polls if name != best}
        moved = {name: ratio for name, ratio in moved.items() if ratio.beyond(MATERIAL)}
        if moved:
            told = "; ".join(
                f"{name} " + " and ".join(
                    f"{figures(compare(each[name], each[best]).ratio)}x while it {how}"
                    for each, how in zip(values, MANNERS, strict=True)
                )
                for name in moved
            )  # fmt: skip
            yield MANNER.found(
                f"what a configuration serves beside {best} depends on how the generator waits at "
                f"{at_loads(own)}: {told}",
                spoils="these ratios, of which the intervals reach over both; nothing is ranked by one of "
                "the two manners alone",
                advice=_allow(measured),
                scenario=scenario,
                cells=own[own["configuration"].isin(moved)],
            )


def _moved(polls: pd.DataFrame, sleeps: pd.DataFrame, name: str, best: str) -> Ratio:
    """A configuration's ratio to the best under polling over that under sleeping, within sittings."""
    return compare(polls[name] / polls[best], sleeps[name] / sleeps[best])


@finds(UNSTEERED)
def unsteered(measured: Measurements) -> Iterator[Finding]:
    """Whether servers paid for waking the generator."""
    network = measured.results.run.network
    if network is None or network.steered_to is not None or measured.results.run.over_wire:
        return
    cells = _rotated(measured)
    alone = len(cells) > 0 and cells["throughput_polls"].isna().all()
    both = len(cells) > 0 and not alone
    yield UNSTEERED.found(
        "the run's loopback device was not steered to the generator's CPUs: a server pays for waking the "
        "generator" + (", and only one manner of waiting was measured" if alone else ""),
        spoils="little: the rotation was measured in both manners of the generator, and what depends on them "
        "ranks nothing; intervals are the wider for it"
        if both
        else "throughput and CPU per request, which hold the generator's receiving",
        advice=_allow(measured),
        group="answer" if alone else None,
    )


@finds(IMPRECISE, IN_BLOCKS)
def ended(measured: Measurements) -> Iterator[Finding]:
    """Whether there were as many sittings as the plan's precision takes, and sittings at all."""
    run = measured.results.run
    if run.rotation is None:
        return
    asked = run.plan.get("rotation", {}).get("precision")
    widest, stopped = run.rotation.widest, run.rotation.stopped
    if stopped in _ENDS and asked is not None and widest is not None and widest > asked:
        count = counted(run.rotation.sittings, "sitting")
        yield IMPRECISE.found(
            f"the rotation ended after {count}, before its precision: the widest interval that decides is "
            f"±{widest:.1%}, asked for was ±{asked:.1%}; {_ENDS[stopped]}",
            spoils="little: intervals say how far each ratio is known, and what they do not tell apart ties",
            advice="give it more time (TIME_LIMIT=), or run it at a quieter hour",
        )
    if stopped == "blocks" and run.rotation.reason:
        yield IN_BLOCKS.found(
            f"closed loops were measured in blocks, one server after the other: {run.rotation.reason}",
            spoils="the width of intervals: what the machine did meanwhile is in the ratios",
            advice="mend that, and run again",
        )


@finds(OVERRUN, OFF_TIMETABLE)
def left_out(measured: Measurements) -> Iterator[Finding]:
    """Slices that do not count."""
    slices = measured.results.slices
    if slices.empty:
        return
    off, began_late = off_timetable(slices), spoiled(slices)
    for scenario, group in slices[began_late].groupby("scenario", observed=True):
        every = slices[slices["scenario"] == scenario]
        yield OVERRUN.found(
            f"{_of_all(group, every)} began while requests of the slice before were in flight, and are left "
            f"out: {_after(group, every)}",
            spoils="latencies, which hold these slices' requests; little else, as long as they are few",
            advice="run again on a quieter machine, with fewer users, or without what overran "
            "(CONFIGURATIONS=), if it happens often",
            scenario=scenario,
            cells=group,
            group=_gravity(group, every),
        )
    for scenario, group in slices[off].groupby("scenario", observed=True):
        every = slices[slices["scenario"] == scenario]
        furthest = (group["start"] - group["planned_start"]).abs().max()
        yield OFF_TIMETABLE.found(
            f"{_of_all(group, every)} were not where the timetable has them, by up to {duration(furthest)}, "
            "and are left out",
            spoils="latencies, which hold these slices' requests; little else, as long as they are few",
            advice="see whether the machine was suspended, or its clock set, and run again",
            scenario=scenario,
            cells=group,
            group=_gravity(group, every),
        )


@finds(SKIPPED)
def skipped(measured: Measurements) -> Iterator[Finding]:
    """Slices of the timetable that never began, or not for all users."""
    cells = _rotated(measured).join(measured.results.finished["rounds"])
    if cells.empty:
        return
    slices = measured.results.slices
    begun = slices[~missed(slices)].groupby("cell").size().reindex(cells.index).fillna(0)
    cells = cells.assign(skipped=cells["rounds"] - begun)
    for scenario, group in cells[cells["skipped"] > 0].groupby("scenario"):
        every = cells.loc[cells["scenario"] == scenario, "rounds"].sum()
        share = (group["skipped"] / group["rounds"]).max()
        yield SKIPPED.found(
            f"{group['skipped'].sum():,.0f} of {counted(int(every), 'slice')} never began, or not in every "
            "process of the generator, as their time was over: "
            + by_configuration(group, lambda rows: f"{rows['skipped'].sum():,.0f}"),
            spoils="little, as long as few slices are missing",
            advice="see whether the machine was suspended or had too much to do, and run again",
            scenario=scenario,
            cells=group,
            group=None if share > LEFT_OUT else "note",
        )


def _of_all(group: pd.DataFrame, every: pd.DataFrame) -> str:
    return f"{len(group):,} of {counted(len(every), 'slice')}"


def _after(group: pd.DataFrame, every: pd.DataFrame) -> str:
    """Which configurations had the slices before, and how often."""
    ordered = every.sort_values(["workers", "users", "repeat", "round", "place"])
    before = (
        ordered["configuration"].astype(str).shift().where(ordered["repeat"] == ordered["repeat"].shift())
    )
    counts = before.loc[group.index].fillna("the settling").value_counts()
    first, others = counts.head(4), counts[4:]
    told = [f"{count:,} after {name}" for name, count in first.items()]
    return ", ".join([*told, *([f"{others.sum():,} after others"] if len(others) else [])])


def _gravity(group: pd.DataFrame, every: pd.DataFrame) -> Group | None:
    share = group.groupby("configuration", observed=True).size() / every.groupby(
        "configuration", observed=True
    ).size()  # fmt: skip
    return None if share.max() > LEFT_OUT else "note"


@finds(RECONNECTED)
def reconnected(measured: Measurements) -> Iterator[Finding]:
    """Connections that were opened inside slices, although kept ones were there."""
    slices = measured.results.slices
    if slices.empty:
        return
    by = ["scenario", "configuration", "workers", "users"]
    of = slices.groupby(by, observed=True)[["opened", "requests"]].sum().reset_index()
    share = of["opened"] / of["requests"].where(of["requests"] > 0)
    kept = of[(of["opened"] > 0) & (share < ON_PURPOSE)].assign(share=share)
    for scenario, group in kept.groupby("scenario", observed=True):
        yield RECONNECTED.found(
            f"connections were opened inside slices at {at_loads(group)}: "
            + by_configuration(
                group.astype({"configuration": str}), lambda rows: f"{rows['opened'].sum():,}"
            ),
            spoils="throughput, CPU per request and latency there, which hold what opening them took",
            advice="see why the server closed them: its keep-alive must outlive a round, and it must not be "
            "replaced",
            scenario=scenario,
            cells=group,
            group=None if group["share"].max() > OPENED else "note",
        )


@finds(IDLE_CPU)
def idle(measured: Measurements) -> Iterator[Finding]:
    """Servers that work while nobody loads them."""
    cells = _rotated(measured)
    if cells.empty:
        return
    share = cells.groupby(["configuration", "workers"])["idle_share"].mean()
    busy = share[share > IDLE_SHARE].reset_index()
    if len(busy):
        yield IDLE_CPU.found(
            "servers worked while nobody loaded them: "
            + by_configuration(busy, lambda rows: f"{rows['idle_share'].max():.1%} of a CPU"),
            spoils="throughput of each other configuration, which lacks that share; hardly CPU per request",
            advice="measure the others in a rotation without it (CONFIGURATIONS=)",
            cells=busy,
        )


def _rotated(measured: Measurements) -> pd.DataFrame:
    return measured.closed[measured.closed["rotated"]]


def _loads(measured: Measurements) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rotated cells of each load, with its scenario."""
    for (scenario, *_), cells in _rotated(measured).groupby(LOAD):
        yield str(scenario), cells


def _allow(measured: Measurements) -> str:
    network = measured.results.run.network
    note = None if network is None else network.note
    return note or "see `make doctor` for what would allow steering, and run again"
