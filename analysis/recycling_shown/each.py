"""Every recycled cell in a row: for runs that ask why recycling costs what it costs."""

from collections.abc import Iterator

import pandas as pd

from analysis.recycling_shown.naming import heading, in_order
from analysis.study import Study
from analysis.words import MISSING, Value, duration, span

COLUMNS = (
    "configuration",
    "replaced",
    "requests per life",
    "requests",
    "lost",
    "of them with a handler that ran",
    "lost per 1000 recycles",
    "longest stall (control)",
    "requests to the busiest worker",
)


def tables(study: Study) -> Iterator[tuple[str, list[list[str]]]]:
    """For each scenario and number of workers a heading, and a row of `COLUMNS` for each recycled cell.

    The stall beside it is that of the control of the same configuration, scenario, load and repeat.
    """
    recycling = study.recycling
    if recycling is None:
        return
    treated = recycling.cells[recycling.cells["treatment"].isin(["recycled", "control"])]
    ordered = in_order(treated, list(study.results.run.plan["scenarios"]))
    order = {name: place for place, name in enumerate(study.results.configurations)}
    for _, cells in ordered.groupby(
        ["scenario", "workers", "rate_per_s", "users"], sort=False, observed=True
    ):
        recycled = cells[cells["treatment"] == "recycled"]
        if recycled.empty:
            continue
        place = recycled["configuration"].astype(str).map(order)
        recycled = recycled.assign(_place=place).sort_values(["_place", "repeat"])
        rows = [_row(cell, _usual(cell, cells)) for _, cell in recycled.iterrows()]
        first = recycled.iloc[0]
        load = f"{first['rate_per_s']:,.0f}/s over {first['users']:,.0f} connections"
        yield f"{heading(first)}, {load}", rows


def _usual(cell: pd.Series, cells: pd.DataFrame) -> float:
    """The longest time without an answer in the control of a cell, in seconds; NaN without one."""
    controls = cells[cells["treatment"] == "control"]
    same = (controls["configuration"] == cell["configuration"]) & (controls["repeat"] == cell["repeat"])
    return float(controls.loc[same, "gap_s"].max())


def _row(cell: pd.Series, usual_s: float) -> list[str]:
    ran = int(cell["lost_started"] + cell["lost_finished"])
    life = f"{cell['served_median']:,.0f} ({span(cell['served_low'], cell['served_high'])})"
    per_1000 = Value(*cell[["per_1000", "per_1000_low", "per_1000_high"]]).text()
    share = cell["share_busiest"]
    return [
        str(cell["configuration"]),
        f"{cell['replaced']:,}",
        MISSING if pd.isna(cell["served_median"]) else life,
        f"{cell['requests']:,}",
        f"{cell['lost']:,}",
        f"{ran:,}",
        per_1000 if cell["replaced"] and cell["verdict"] == "recycles" else MISSING,
        f"{duration(cell['gap_s'])} ({duration(usual_s)})",
        MISSING if pd.isna(share) else f"{share:.0%}",
    ]
