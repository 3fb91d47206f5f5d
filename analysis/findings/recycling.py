"""What to mistrust in a run of recycling, beside what is found in every run."""

from collections.abc import Iterator
from typing import Any

from analysis.findings.finding import Finding, Kind, Measurements, by_configuration, finds, in_first
from analysis.recycling.price import APART, prices

# The trace may have so many requests more or fewer than were counted, for what ends with a second.
BOOKS = 0.01

TRACE = Kind(
    "trace", "answer", "Recycling", "the trace lacks requests",
    f"trace and counts of the window differ by more than `BOOKS` = {BOOKS:g}",
    "every figure of recycling comes from the trace; a request may end on either side of a second",
)  # fmt: skip
LOSSY_CONTROL = Kind(
    "lossy-control", "number", "Recycling", "the control loses requests",
    "any",
    "not every loss is then the price of a replacement",
)  # fmt: skip
FEW_REPLACEMENTS = Kind(
    "few-replacements", "note", "Recycling", "few replacements",
    "fewer than the plan asks for, and at least one",
    "the interval of what is lost at each is wide",
)  # fmt: skip
CROWDED = Kind(
    "crowded-replacements", "note", "Recycling", "replacements are not apart",
    f"one holds up (slower than the control's p99) more than `APART` = {APART:g} of the requests to it",
    "the queue of one is not worked off before the next, so that each costs clients more than one alone",
)  # fmt: skip


@finds(TRACE)
def trace(measured: Measurements) -> Iterator[Finding]:
    """Cells whose trace and whose counts differ by more than what may end on either side of an edge."""
    results, recycling = measured.results, measured.recycling
    if recycling is None:
        return
    cells = results.finished.loc[recycling.cells.index]
    seconds = results.seconds[results.seconds["in_window"]].groupby("cell")[["requests", "failures"]].sum()
    counted = seconds.sum(axis=1).reindex(cells.index).fillna(0)
    traced = recycling.cells["requests"]
    off = (traced - counted).abs() / counted.where(counted > 0, 1)
    wrong = recycling.cells.assign(off=off)[off > BOOKS]
    for scenario, group in wrong.groupby("scenario"):
        yield TRACE.found(
            "the trace does not have the requests that were counted: "
            + by_configuration(group, lambda rows: f"{rows['off'].max():.1%} differ"),
            spoils="every figure of recycling there, which comes from the trace",
            advice="measure the cell again; if it stays, it is a mistake of this suite: report it",
            scenario=scenario,
            cells=group,
        )


@finds(LOSSY_CONTROL)
def lossy_control(measured: Measurements) -> Iterator[Finding]:
    """Controls that lose requests as well: then not every loss is the price of a replacement."""
    results, recycling = measured.results, measured.recycling
    if recycling is None:
        return
    cells = recycling.cells
    lossy = cells[(cells["treatment"] == "control") & (cells["lost"] > 0)]
    for scenario, group in lossy.groupby("scenario"):
        folder = in_first(results.directory, results.cells.loc[group.index])
        yield LOSSY_CONTROL.found(
            "requests were lost although no worker was to be replaced: "
            + by_configuration(group, lambda rows: f"{rows['lost'].sum():,} of {rows['requests'].sum():,}"),
            spoils="what is lost per recycle there: not all of it is the price of recycling",
            advice=f"lower the rate, or read failures.csv and server.log in {folder}",
            scenario=scenario,
            cells=group,
        )


@finds(FEW_REPLACEMENTS)
def few_replacements(measured: Measurements) -> Iterator[Finding]:
    """Cells that saw fewer replacements than the plan wanted, and yet some: the others say so themselves."""
    if measured.recycling is None:
        return
    plan = measured.results.run.plan
    cells = measured.recycling.cells[measured.recycling.cells["verdict"] == "recycles"]
    wanted = cells["scenario"].map(lambda scenario: _wanted(plan, scenario))
    short = cells[cells["replaced"] < wanted]
    for scenario, group in short.groupby("scenario"):
        yield FEW_REPLACEMENTS.found(
            f"fewer replacements than the {wanted[group.index].iloc[0]:.0f} that were wanted: "
            + by_configuration(group, lambda rows: f"{rows['replaced'].min()}"),
            spoils="what is lost at each, whose interval is wide",
            advice="use a smaller max_requests, a higher rate or a longer measured_s",
            scenario=scenario,
            cells=group,
        )


@finds(CROWDED)
def crowded(measured: Measurements) -> Iterator[Finding]:
    """Loads under which a worker is replaced before the queue of the last replacement is worked off."""
    recycling = measured.recycling
    close = [each for each in prices(measured.results, measured.summary, recycling) if not each.apart]
    for scenario in dict.fromkeys(each.scenario for each in close):
        mine = [each for each in close if each.scenario == scenario]
        told = [
            f"{each.configuration} {each.tail.held_up / each.per_life:.0%} of {each.per_life:,.0f}"
            for each in mine
        ]
        yield CROWDED.found(
            "workers are replaced before what queued at the last replacement is worked off; held up were, of "
            f"the requests to a replacement: {', '.join(told)}",
            spoils="what a replacement loses and holds up there: with a larger N or a lower rate it is less",
            advice="measure a larger N as well: make recycle PLAN=price",
            scenario=scenario,
        )


def _wanted(plan: dict[str, Any], scenario: str) -> float:
    """Replacements that the plan wants of each cell of a scenario; 0 where it does not say."""
    own = plan.get("scenarios", {}).get(scenario, {}).get("recycling") or {}
    count = own.get("replacements")
    return float((plan.get("recycling") or {}).get("replacements") or 0 if count is None else count)
