"""The summary of a run: what was asked and found, how sure that is, on which machine, what spoils it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import shorten

import pandas as pd

from analysis.cells.sittings import network
from analysis.findings import Finding
from analysis.findings.finding import at_loads
from analysis.rankings.ranking import Ranking
from analysis.reading.results import NothingFinished
from analysis.recycling import QUESTIONS
from analysis.report.facts import cpus, launcher, reasons
from analysis.study import Study
from analysis.words import counted, listed
from bench.model.records.hosts import Host
from bench.model.records.run import Run
from bench.stats.comparison import half_width

NOTHING = "Nothing, as far as the checks can tell."
# So many names are listed, and so many warnings; more are counted.
FEW = 5
FEW_REASONS = 3
# Characters of a warning; the link leads to all of it.
LENGTH = 160
# Findings that say what is not there; the others say what is wrong with what is.
ABSENT = ("incomplete", "unavailable")
# What cells of recycling ask, by what was done to their workers.
TREATMENTS = {
    "recycled": "workers replaced",
    "control": "the same without, as the control",
    "kill": "a worker killed",
    "terminate": "the server told to stop",
    "deploy": "a new release of the app",
    "swap": "two copies swapped",
}


@dataclass(frozen=True)
class Line:
    """A sentence, and where on the page its details are."""

    text: str
    anchor: str | None = None


@dataclass(frozen=True)
class Point:
    """One row of the summary."""

    label: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Noted:
    """A finding, or a note on one, with its place on the page."""

    anchor: str
    finding: Finding


def noted(findings: Sequence[Finding]) -> list[Noted]:
    """Findings with the places that the page gives them."""
    return [Noted(f"finding-{number}", finding) for number, finding in enumerate(findings, 1)]


def digest(study: Study, findings: Sequence[Noted], violations: str) -> list[Point]:
    """The summary of a run; `violations` is where the page lists what does not keep the thresholds."""
    results = study.results
    broken = len({violation.path for violation in study.violations})
    spoils = [*_broken(broken, violations), *spoiled(findings)]
    return points(
        {
            "Asked": asked(results.run, results.cells),
            "Found": [*_together(study), *_found(study)],
            "How sure": list(_sure(study)),
            "Measured on": machine(results.run),
            "What spoils it": spoils,
            "Missing": missing(findings),
        }
    )


def points(rows: dict[str, list[Line]]) -> list[Point]:
    """The rows that have something to say."""
    return [Point(label, tuple(lines)) for label, lines in rows.items() if lines]


def asked(run: Run, cells: pd.DataFrame) -> list[Line]:
    """The plan in its own words, then who was measured how; `cells` are all of the run, failed ones too."""
    who = _names(cells["configuration"], "configuration")
    where = _names(cells["scenario"], "scenario")
    workers = [str(each) for each in sorted(cells["workers"].unique())]
    counts = "1 worker" if workers == ["1"] else f"{listed(workers)} workers"
    planned = cells[cells["search_p99_ms"].isna()]
    whose = f"with {counts}" if run.external is None else f"at {run.external}"
    parts = [f"{who} under {where}, {whose}"]
    if len(planned):
        parts.append(at_loads(planned))
    limits = sorted(cells["search_p99_ms"].dropna().unique())
    if limits:
        parts.append(f"the highest rate with p99 within {listed([f'{each:g}' for each in limits])} ms")
    parts += [text for treatment, text in TREATMENTS.items() if (cells["treatment"] == treatment).any()]
    sentence = "; ".join(parts) + "."
    name, summary = run.plan.get("name", "unnamed"), run.plan.get("summary")
    return [Line(f"Plan {name}: {summary.rstrip('.')}." if summary else f"Plan {name}."), Line(sentence)]


def nothing(failed: NothingFinished, findings: Sequence[Noted], cells: str) -> list[Point]:
    """The summary of a run in which every cell failed; `cells` is where the page lists them."""
    return points(
        {
            "Asked": asked(failed.run, failed.cells),
            "Why not": [Line(text, cells) for text in _reasons(failed.cells)],
            "Measured on": machine(failed.run),
            "Missing": missing(findings),
        }
    )


def _reasons(cells: pd.DataFrame) -> Iterator[str]:
    """The most frequent reasons, without the server's last words, each with how many cells it stopped."""
    counts = Counter(reason.partition("\n")[0] for reason in reasons(cells))
    for reason, count in counts.most_common(FEW_REASONS):
        yield f"{counted(count, 'cell')}: {reason.rstrip('.')}."
    if len(counts) > FEW_REASONS:
        yield f"{counted(len(counts) - FEW_REASONS, 'other reason')}, see below."


def machine(run: Run) -> list[Line]:
    """The host, and how server and generator shared it."""
    host = run.host
    shared = "" if run.cpu_split.trusted else "; they had to share CPUs"
    return [
        Line(f"{host.hostname}: {host.cpu}, {host.cpus} CPUs, {host.system}; {cpus(run.cpu_split)}{shared}."),
        *([] if run.server_host is None else [Line(_servers_on(run.server_host))]),
        Line(f"Launcher: {launcher(run)}."),
        *([Line(told)] if (told := network(run)) else []),
    ]


def _servers_on(host: Host) -> str:
    return f"Servers on {host.hostname}: {host.cpu}, {host.cpus} CPUs, {host.system}."


def spoiled(findings: Sequence[Noted]) -> list[Line]:
    """The first warnings, and how many more and how many notes there are."""
    warnings = [one for one in findings if one.finding.severity == "warning"]
    notes = [one for one in findings if one.finding.severity == "note" and one.finding.kind not in ABSENT]
    lines = [Line(_short(one.finding), one.anchor) for one in warnings[:FEW]]
    if not lines:
        lines.append(Line(NOTHING))
    if len(warnings) > FEW:
        lines.append(Line(f"{counted(len(warnings) - FEW, 'more warning')}.", warnings[FEW].anchor))
    if notes:
        lines.append(Line(f"{counted(len(notes), 'note')} on how to read a number.", notes[0].anchor))
    return lines


def missing(findings: Sequence[Noted]) -> list[Line]:
    """What was planned and is not there."""
    return [Line(_short(one.finding), one.anchor) for one in findings if one.finding.kind in ABSENT]


def _broken(cells: int, anchor: str) -> Iterator[Line]:
    if cells:
        does = "does" if cells == 1 else "do"
        yield Line(f"{counted(cells, 'cell')} {does} not keep the thresholds of the plan.", anchor)


def _found(study: Study) -> Iterator[Line]:
    """What the page's heading does not say: all rankings together, or all answers."""
    ranked = [table for table in study.verdict.tables if table.leaders]
    if len(ranked) > 1:
        first = Counter(name for table in ranked for name in table.leaders)
        yield Line(f"First, or tied for first, in {len(ranked)} rankings: {_tally(first)}.", "ranking")
    yield from (Line(table.finding, "ranking") for table in study.verdict.capacity[:FEW])
    if study.deploys is not None:
        yield Line(study.deploys.finding)
    if study.proxy_cost is not None and study.asked is None:
        yield Line(study.proxy_cost.finding)
    if study.recycling is not None and study.recycling.rows:
        unwanted = {
            row.configuration: sum(answer.verdict == "bad" for answer in row.answers)
            for row in study.recycling.configurations
        }
        yield Line(f"Answers that one does not want, of {len(QUESTIONS)}: {_tally(unwanted)}.")


def _together(study: Study) -> Iterator[Line]:
    """What is worth it together, of each server."""
    for each in () if study.together is None else study.together.settings.judged:
        if not each.facts.default:
            yield Line(f"{each.parent} with all that is worth it, together: {each.fate} ({each.figure}).")


def _sure(study: Study) -> Iterator[Line]:
    results, tables = study.results, study.verdict.tables
    repeats = int(results.cells["repeat"].max())
    count = int((study.every_cell["status"] == "finished").sum())
    finished = f"{count:,} of {results.run.cells_planned:,} planned cells finished"
    unit = "sitting" if results.cells["rotated"].all() else "repeat"
    yield Line(f"{finished}, {counted(repeats, unit)} of each.")
    widths = [width for table in tables for width in _widths(table)]
    if widths:
        yield Line(
            f"Precision of the ratios to the best: ±{median(widths):.1%} (median), ±{max(widths):.1%} "
            "(worst), by 95 % intervals."
        )
    yield from (
        Line(f"{control.text} in {table.title}.", "ranking") for table in tables for control in table.controls
    )
    ranked = [table for table in tables if table.leaders]
    if len(ranked) > 1:
        alone = sum(len(table.leaders) == 1 for table in ranked)
        yield Line(f"In {alone} of {len(ranked)} rankings one configuration is certainly first.")
    if study.alike.rows and not any(table.controls for table in tables):
        yield Line(f"{study.alike.title}.")
    if study.recycling is not None:
        yield from _replaced(study.recycling.cells)


def _replaced(cells: pd.DataFrame) -> Iterator[Line]:
    """What the figures of recycling rest on: replacements, and what is lost without any."""
    recycled = cells[cells["treatment"] == "recycled"]
    if len(recycled):
        replaced = int(recycled["replaced"].sum())
        yield Line(f"{counted(replaced, 'replacement')} of workers in {counted(len(recycled), 'cell')}.")
    controls = cells[cells["treatment"] == "control"]
    if len(controls):
        lost, requests = int(controls["lost"].sum()), int(controls["requests"].sum())
        yield Line(f"Without recycling {lost:,} of {requests:,} requests were lost.")


def _widths(table: Ranking) -> Iterator[float]:
    """Half of the interval of each ratio to the best, as a share of it."""
    for row in table.rows:
        if row.ratio is not None and row.ratio.low > 0:
            yield half_width(row.ratio.low, row.ratio.high)


def _short(finding: Finding) -> str:
    where = f"{finding.scenario}: " if finding.scenario else ""
    return shorten(f"{where}{finding.message.rstrip('.')}.", LENGTH, placeholder=" …")


def _names(column: pd.Series, what: str) -> str:
    names = [str(name) for name in column.unique()]
    return listed(names) if len(names) <= FEW else counted(len(names), what)


def _tally(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {count}" for name, count in ordered)
