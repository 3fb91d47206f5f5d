"""The page of a soak: what grows and what lasts, the picture of it, and what it rests on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from analysis.charts import registry
from analysis.findings import Finding
from analysis.report.digest import Line, machine, noted, points
from analysis.report.document import Section, document
from analysis.report.page import Grouped, kicker, picture
from analysis.report.tabular import shown
from analysis.soak.table import Lasting
from analysis.words import assignments, counted, figures
from bench.model.records.lane import Lane as LaneRecord

TABLE = "soak"
FOOTER = "Beside this page: its chart as PNG and SVG, its numbers as CSV."


def write(lasting: Lasting, findings: Sequence[Finding], folder: Path) -> None:
    """Write the page into an empty folder, with its chart and soak.csv."""
    # Here: matplotlib takes a second to load, and the pages of other runs need none of it.
    from analysis.charts import soak as chart
    from analysis.charts.drawing import style

    lasting.frame.to_csv(folder / f"{TABLE}.csv", index=False)
    figure = chart.figure(lasting.soak, lasting.verdicts, lasting.headline)
    size = style.size(style.save(figure, folder, chart.NAME))
    drawn = registry.Drawn(chart.NAME, lasting.headline, *size, "What lasts", 0, "what lasts")
    registry.record(folder, drawn)
    (folder / "report.html").write_text(_page(lasting, findings, folder, drawn), encoding="utf-8")


def _page(lasting: Lasting, findings: Sequence[Finding], folder: Path, drawn: registry.Drawn) -> str:
    run = lasting.soak.run
    return document(
        title=f"{run.run}: what lasts?",
        kicker=kicker(run),
        heading=lasting.headline,
        more=[lasting.finding],
        lead=picture(folder, drawn),
        sections=[
            Section("Summary", "summary", points({"Asked": _asked(lasting), "Measured on": machine(run)})),
            Section(lasting.title, "tables", [shown(lasting)]),
            Section("What was found", "findings", Grouped(noted(findings))),
            Section("How it was measured", "facts", _facts(lasting)),
            Section("What could not be measured", "unavailable", run.unavailable),
        ],
        footer=f"Made from the files in {run.run}. {FOOTER}",
    )


def _asked(lasting: Lasting) -> list[Line]:
    soak, first = lasting.soak, lasting.verdicts[0].lane.record
    load, run = first.load, soak.run
    state = "" if run.status == "finished" else f" The soak is {run.status}."
    return [
        Line(f"Plan {run.plan.get('name', 'unnamed')}: {str(run.plan.get('summary', '')).rstrip('.')}."),
        Line(
            f"{counted(len(soak.lanes), 'server')} side by side under {first.scenario}, "
            f"{figures(load.rate_per_s)} requests a second each ({load.arrivals}), for "
            f"{figures(soak.hours)} hours.{state}"
        ),
    ]


def _facts(lasting: Lasting) -> dict[str, str]:
    """How each server was started, and when."""
    told = {
        "Intervals": f"{lasting.verdicts[0].lane.record.interval_s} s, coarser after an hour and after a day"
    }
    for each in lasting.verdicts:
        told[each.lane.name] = _legs(each.lane.record)
    return told


def _legs(record: LaneRecord) -> str:
    """The command of a server, and the begin of each of its legs."""
    servers = [leg.server for leg in record.legs if leg.server is not None]
    begun = ", ".join(datetime.fromtimestamp(leg.started, UTC).strftime("%d %B %H:%M") for leg in record.legs)
    if not servers or servers[0].command is None:
        return f"did not start: {record.legs[-1].reason}" if record.legs else "did not start"
    line = " ".join([*assignments(servers[0].environment or {}), *servers[0].command])
    return f"{line}; from {begun} UTC"
