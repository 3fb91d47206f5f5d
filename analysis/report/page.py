"""What a report's page says, part by part: the answer and a picture of it first, then what it rests on."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from analysis.charts import registry
from analysis.findings import Finding
from analysis.findings.finding import GROUPS, Group
from analysis.rankings.overview import FEW as FEW_RANKINGS
from analysis.rankings.ranking import Ranking
from analysis.rankings.rates import CapacityTable, RateTable
from analysis.reading.results import NothingFinished
from analysis.recommend import Verdict
from analysis.report import facts
from analysis.report.before import before
from analysis.report.digest import FEW, Noted, digest, noted, nothing
from analysis.report.document import Entry, Section, document
from analysis.report.tabular import Shown, shown
from analysis.settings.table import tables
from analysis.study import Study
from analysis.table import Listing
from bench.model.records.run import Run

ANSWER = "Which configuration to use"
THRESHOLDS = "Thresholds that are not kept"
SETTINGS = "Setting by setting"
TOGETHER = "All that is worth it, together"
FOOTER = "Beside this page: its charts as PNG and SVG, its numbers as CSV, and the notebooks as executed."
# What findings that are folded have in common.
_FOLDED: dict[Group, str] = {
    "answer": "More that spoils the answer",
    "number": "What spoils a number",
    "note": "What to read with care",
}


@dataclass(frozen=True)
class Picture:
    """A chart as the page embeds it; `file` is the drawing beside the page, which enlarges without loss."""

    drawn: registry.Drawn
    data: str

    @property
    def file(self) -> str:
        return f"{self.drawn.name}.svg"


@dataclass(frozen=True)
class Advice:
    """A verdict, and the table of its candidates as the page shows it."""

    verdict: Verdict
    table: Shown


@dataclass(frozen=True)
class Together:
    """What the second run found of all that is worth it together; `path` leads to it from the first."""

    path: str
    tables: list[Shown]


@dataclass(frozen=True)
class Deciding:
    """A deciding table, the numbers of the cells it was read from, and whose workers' lives were drawn."""

    table: Shown
    numbers: dict[str, int]
    drawn: list[str]


@dataclass(frozen=True)
class Grouped:
    """Findings: those that are told at once, and the others by what they have in common."""

    first: Sequence[Noted]
    folded: dict[str, list[Noted]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.first or self.folded)


@dataclass(frozen=True)
class Scenario:
    """A scenario with its tables and the findings about it; `folded` where there are many."""

    name: str
    anchor: str
    tables: list[Shown]
    findings: list[Noted]
    folded: bool


def page(analysed: Study, folder: Path, judged: Verdict | None = None) -> str:
    """The whole page as HTML, with the charts that were drawn into `folder`, and the verdict on top."""
    run, drawn = analysed.results.run, registry.read(folder)
    # A picture of the ranking is no answer where something else was asked.
    lead = registry.leading(drawn) if analysed.asked is None else None
    answers = [analysed.headline] if judged is None else [analysed.headline, judged.finding]
    if judged is not None and judged.decision != "none" and analysed.asked is None:
        answers.reverse()
    if analysed.together is not None:
        answers += analysed.together.settings.whole_gains
    changes = before(analysed)
    if changes is not None:
        answers.insert(0, changes.finding)
    pictures = [picture(folder, each) for each in drawn if each is not lead]
    return document(
        title=f"{run.run}: which worker?",
        kicker=kicker(run),
        heading=answers[0],
        more=answers[1:],
        lead=None if lead is None else picture(folder, lead),
        sections=list(_sections(analysed, pictures, drawn, judged)),
        footer=f"Made from the files in {run.run}. {FOOTER}",
    )


def page_of_nothing(directory: Path, failed: NothingFinished, findings: Sequence[Finding]) -> str:
    """The page of a run in which every cell failed: what was asked, and why there is no answer."""
    run, found = failed.run, noted(findings)
    cells = Section("Cells that failed", "failures", facts.failures(directory, failed.cells))
    return document(
        title=f"{run.run}: which worker?",
        kicker=kicker(run),
        heading=failed.finding,
        sections=[
            Section("Summary", "summary", nothing(failed, found, cells.anchor)),
            cells,
            Section("What to do", "findings", Grouped(found)),
            Section("How it was measured", "facts", facts.facts(run, failed.cells)),
            Section("What could not be measured", "unavailable", run.unavailable),
        ],
        footer=f"Made from the files in {run.run}.",
    )


def _sections(
    analysed: Study, pictures: list[Picture], drawn: list[registry.Drawn], judged: Verdict | None
) -> Iterator[Section]:
    """The parts of the page in their order; those that are empty are left out later."""
    results, run = analysed.results, analysed.results.run
    findings = noted(analysed.findings)
    violated = Section(THRESHOLDS, "lines", [violation.text for violation in analysed.violations])
    if analysed.asked is not None:
        yield Section(analysed.asked.title, "tables", [shown(analysed.asked)])
    if judged is not None:
        yield Section(ANSWER, "verdict", Advice(judged, shown(judged)))
    if (changes := before(analysed)) is not None:
        yield Section(changes.title, "tables", [shown(changes)])
    yield Section("Summary", "summary", digest(analysed, findings, violated.anchor))
    settings = [
        Section(TOGETHER, "together", _together(analysed)),
        Section(SETTINGS, "tables", [shown(each) for each in tables(analysed.settings)]),
        *_by_load(analysed),
    ]
    if analysed.settings.alone:
        yield from settings
    lives = [each.name.removeprefix("lanes_") for each in drawn if each.name.startswith("lanes_")]
    either: tuple[Listing | None, ...] = (analysed.recycling, analysed.deploys)
    deciding = [each for each in either if each is not None and each.rows]
    numbers = _numbers(deciding)
    for decides in deciding:
        yield Section(decides.title, "deciding", Deciding(shown(decides), numbers, lives))
    yield from (Section(each.title, "tables", [shown(each)]) for each in _by_proxy(analysed))
    yield violated
    yield Section("What spoils the answer", "findings", _grouped(findings))
    yield from _illustrated(registry.BEFORE, pictures)
    yield _ranking(analysed, [one for one in findings if _with_its_scenario(one)])
    if not analysed.settings.alone:
        yield from settings
    rotated = [shown(analysed.sittings)] if analysed.sittings.rows else []
    yield Section("How the rotation went", "tables", rotated)
    alike = [shown(analysed.alike)] if analysed.alike.rows else []
    yield Section("How often the suite cries wolf", "tables", alike)
    yield from _illustrated(registry.AFTER, pictures)
    yield Section("How it was measured", "facts", facts.facts(run, analysed.every_cell))
    yield Section("What was measured", "configurations", facts.configurations(analysed))
    yield Section("What could not be measured", "unavailable", run.unavailable)
    yield Section("Cells that failed", "failures", facts.failures(results.directory, analysed.every_cell))
    yield Section("Cells that the answers were read from", "evidence", list(numbers))


def _by_proxy(analysed: Study) -> Iterator[Listing]:
    """The tables about a proxy, but that which opens the page."""
    every: tuple[Listing | None, ...] = (analysed.proxied, analysed.proxy_cost, analysed.idle_race)
    yield from (each for each in every if each is not None and each is not analysed.asked)


def _by_load(analysed: Study) -> Iterator[Section]:
    """What settings do to each load, where there are several: the table of fates has all of them together."""
    found = analysed.settings_by_load
    if found is not None and len({(row.scenario, row.workers, row.users) for row in found.rows}) > 1:
        yield Section(found.title, "tables", [shown(found)])


def _together(analysed: Study) -> Together | None:
    """The second run of one that tried settings; None without one."""
    second = analysed.together
    if second is None:
        return None
    path = second.results.directory.relative_to(analysed.results.directory)
    return Together(str(path), [shown(each) for each in tables(second.settings)])


def _with_its_scenario(one: Noted) -> bool:
    """Whether a finding stands beside the tables of its scenario: it spoils no more than a number there."""
    return one.finding.scenario is not None and one.finding.group != "answer"


def _grouped(findings: Sequence[Noted]) -> Grouped:
    """The findings about the run: the first of those that spoil the answer, and folded all others."""
    told = [one for one in findings if not _with_its_scenario(one)]
    first = [one for one in told if one.finding.group == "answer"][:FEW]
    folded = {
        _FOLDED[group]: [one for one in told if one.finding.group == group and one not in first]
        for group in GROUPS
    }
    return Grouped(first, {title: found for title, found in folded.items() if found})


def _ranking(analysed: Study, findings: Sequence[Noted]) -> Section:
    """Each scenario with its tables, closed and open, and the findings about it."""
    verdict = analysed.verdict
    tables: list[Ranking | CapacityTable | RateTable]
    tables = [*verdict.tables, *verdict.capacity, *verdict.rates]
    named = list(dict.fromkeys([table.scenario for table in tables]))
    # A scenario of which every cell failed has findings and no table.
    named += sorted({one.finding.scenario for one in findings if one.finding.scenario} - set(named))
    scenarios = [
        Scenario(
            name,
            f"scenario-{number}",
            [shown(table) for table in tables if table.scenario == name],
            [one for one in findings if one.finding.scenario == name],
            folded=len(verdict.tables) > FEW_RANKINGS,
        )
        for number, name in enumerate(named, 1)
    ]
    entries = [Entry(scenario.anchor, scenario.name) for scenario in scenarios]
    if tables:
        return Section("Ranking", "ranking", scenarios, entries)
    return Section("What to keep in mind", "scenarios", scenarios, entries)


def _illustrated(sections: Sequence[registry.Section], pictures: list[Picture]) -> Iterator[Section]:
    for section in sections:
        yield Section(section, "pictures", [each for each in pictures if each.drawn.section == section])


def picture(folder: Path, drawn: registry.Drawn) -> Picture:
    """A chart that was drawn into a folder, as a page embeds it."""
    data = base64.b64encode((folder / f"{drawn.name}.png").read_bytes()).decode("ascii")
    return Picture(drawn, f"data:image/png;base64,{data}")


def _numbers(tables: Sequence[Listing]) -> dict[str, int]:
    """A number for every cell that an answer was read from, in the order of the tables."""
    rows = [row for table in tables for row in table.rows]
    paths = dict.fromkeys(path for row in rows for cell in row.cells() for path in cell.evidence)
    return {path: number for number, path in enumerate(paths, 1)}


def kicker(run: Run) -> str:
    """The line above the answer: which run it is, when and where it was."""
    date = datetime.fromtimestamp(run.started, UTC).strftime("%d %B %Y, %H:%M UTC")
    return f"{run.run} · {date} · {run.host.hostname} · launcher: {run.launcher}"
