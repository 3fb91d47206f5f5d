"""What to mistrust in a run of recycling, beside what `analysis.checks` finds in every run."""

from collections.abc import Iterator
from typing import Any

from analysis.checks.findings import Finding, each, loads, names
from analysis.recycling.limits import BOOKS
from analysis.recycling.model import Recycling
from analysis.results import Results


def findings(results: Results, recycling: Recycling) -> list[Finding]:
    """All of them."""
    return [*_books(results, recycling), *_lossy(recycling), *_few(results, recycling)]


def _few(results: Results, recycling: Recycling) -> Iterator[Finding]:
    """Cells that saw fewer replacements than the plan wanted, and yet some: the others say so themselves."""
    cells = recycling.cells[recycling.cells["verdict"] == "recycles"]
    wanted = cells["scenario"].map(lambda scenario: _wanted(results.run.plan, scenario))
    short = cells[cells["replaced"] < wanted]
    for scenario, group in short.groupby("scenario"):
        yield Finding(
            "few-replacements", "note",
            f"fewer replacements than the {wanted[group.index].iloc[0]:.0f} that were wanted: "
            + each(group, lambda rows: f"{rows['replaced'].min()}"),
            "what is lost at each, whose interval is wide",
            "a smaller max_requests, a higher rate or a longer measured_s",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _wanted(plan: dict[str, Any], scenario: str) -> float:
    """Replacements that the plan asks of each cell of a scenario; 0 where it does not say."""
    own = plan.get("scenarios", {}).get(scenario, {}).get("recycling") or {}
    asked = own.get("replacements")
    return float((plan.get("recycling") or {}).get("replacements") or 0 if asked is None else asked)


def _books(results: Results, recycling: Recycling) -> Iterator[Finding]:
    """Cells whose trace and whose counts differ by more than what may end on either side of an edge."""
    cells = results.finished.loc[recycling.cells.index]
    seconds = results.seconds[results.seconds["in_window"]].groupby("cell")[["requests", "failures"]].sum()
    counted = seconds.sum(axis=1).reindex(cells.index).fillna(0)
    traced = recycling.cells["requests"]
    off = (traced - counted).abs() / counted.where(counted > 0, 1)
    wrong = recycling.cells.assign(off=off)[off > BOOKS]
    for scenario, group in wrong.groupby("scenario"):
        yield Finding(
            "trace", "warning",
            "the trace does not have the requests that were counted: "
            + each(group, lambda rows: f"{rows['off'].max():.1%} differ"),
            "every figure of recycling there, which comes from the trace",
            "measure the cell again; if it stays, it is a mistake of this suite: report it",
            str(scenario), names(group), loads(group),
        )  # fmt: skip


def _lossy(recycling: Recycling) -> Iterator[Finding]:
    """Controls that lose requests as well: then not every loss is the price of a replacement."""
    cells = recycling.cells
    lossy = cells[(cells["treatment"] == "control") & (cells["lost"] > 0)]
    for scenario, group in lossy.groupby("scenario"):
        yield Finding(
            "lossy-control", "warning",
            "requests were lost although no worker was to be replaced: "
            + each(group, lambda rows: f"{rows['lost'].sum():,} of {rows['requests'].sum():,}"),
            "what is lost per recycle there: not all of it is the price of recycling",
            "a lower rate, or read failures.csv and server.log of these cells",
            str(scenario), names(group), loads(group),
        )  # fmt: skip
