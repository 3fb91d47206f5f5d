"""The report of a run: notebooks executed, figures and frames kept, one self-contained page."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path

from analysis.checks import Finding
from analysis.errors import AnalysisError
from analysis.execute import execute, notebooks, step_of
from analysis.overview import overview
from analysis.page import nothing
from analysis.page.digest import Noted, digest, noted
from analysis.page.document import Entry, Section, document
from analysis.page.facts import configurations, facts
from analysis.page.failures import failures
from analysis.page.listing import Listing as Listing  # bench.cli reads it here
from analysis.page.pictures import drawn
from analysis.page.tabular import shown
from analysis.ranking import Table
from analysis.rates import CapacityTable, RateTable
from analysis.recycling_shown import page as recycled
from analysis.recycling_shown.table import deciding
from analysis.results import NothingFinished
from analysis.schema import Run
from analysis.study import Study, study
from analysis.thresholds import Violation
from analysis.verdicts import Verdict, of_run
from analysis.verdicts_shown import page as answered

# The figures in the order of the page: its section, then the names the notebooks give them.
SECTIONS = {
    "How much each configuration serves": [
        "throughput",
        "throughput_by_concurrency",
        "latency_by_throughput",
    ],
    "How long an answer takes": ["percentiles", "over_time"],
    "What an open loop shows": ["latency_by_rate", "hidden_latency"],
    "What a request costs": ["cpu_per_request", "memory"],
}
# Above the tables that it is made of.
GLANCE = {"All rankings beside each other": ["rankings"]}
THRESHOLDS = "Thresholds that are not kept"
_READING, _WRITING = "reading the run", "writing the page"
FOOTER = (
    "The same figures as PNG and SVG, the numbers as CSV and the executed notebooks lie beside this page."
)


@dataclass(frozen=True)
class Rendered:
    """What a command line prints.

    The page, the sentence it opens with, the tables in the order of the page (an overview for rankings that
    are many), the findings, the cells that do not keep the plan's thresholds, and which configuration to use,
    where the run is evidence for that.

    `nothing`: no cell could be measured, and the page says why, cell by cell.
    """

    html: Path
    finding: str
    ranking: tuple[Listing, ...]
    findings: list[Finding]
    violations: list[Violation]
    verdict: Verdict | None = None
    nothing: bool = False


def render(run_dir: Path, progress: Callable[[str, float], None] | None = None) -> Rendered:
    """Analyse a run and write `run_dir/report/`; a report that is there already is replaced as a whole.

    `progress` is told, in a few words, what is being done, and which share of the usual time is over.

    Raises:
        AnalysisError: the run cannot be read, a notebook failed, or the report cannot be written.
    """
    say = _shared(progress) if progress else lambda _: None
    say(_READING)
    try:
        analysed = study(run_dir)
    except NothingFinished as failed:
        return _render_nothing(run_dir, failed)
    # To read the other run takes as long as the notebooks, which have a process of their own.
    with ThreadPoolExecutor(1) as beside:
        judging = beside.submit(of_run, analysed, say)

        def fill(folder: Path) -> None:
            execute(run_dir.resolve(), folder, say)
            judged = judging.result()
            say(_WRITING)
            (folder / "report.html").write_text(page(analysed, folder, judged), encoding="utf-8")
            if judged is not None:
                (folder / "verdict.json").write_text(judged.json_text(), encoding="utf-8")

        html = _write(run_dir, fill)
    return Rendered(
        html,
        analysed.verdict.finding,
        _tables(analysed),
        analysed.findings,
        analysed.violations,
        judging.result(),
    )


def _shared(progress: Callable[[str, float], None]) -> Callable[[str], None]:
    """What tells `progress` how far the work is by the name of the part that begins.

    The first notebook reads the run again, in its own process, and reading takes as long as two others.
    """
    first, *others = [step_of(path) for path in notebooks()]
    parts = {_READING: 2.0, first: 2.0, **dict.fromkeys(others, 1.0), _WRITING: 0.1}
    starts = dict(zip(parts, accumulate([0.0, *parts.values()]), strict=False))
    share = 0.0

    def say(text: str) -> None:
        nonlocal share
        share = starts.get(text, share * sum(parts.values())) / sum(parts.values())
        progress(text, share)

    return say


def _render_nothing(run_dir: Path, failed: NothingFinished) -> Rendered:
    """The report of a run in which every cell failed."""
    findings = nothing.findings(failed)

    def fill(folder: Path) -> None:
        text = document(
            title=_title(failed.run),
            kicker=_kicker(failed.run),
            heading=failed.finding,
            sections=[
                *nothing.sections(run_dir, failed, noted(findings)),
                Section("How it was measured", "facts", facts(failed.run, failed.cells)),
                Section("What could not be measured", "unavailable", failed.run.unavailable),
            ],
            footer=_footer(failed.run, ""),
        )
        (folder / "report.html").write_text(text, encoding="utf-8")

    return Rendered(_write(run_dir, fill), failed.finding, (), findings, [], nothing=True)


def _write(run_dir: Path, fill: Callable[[Path], None]) -> Path:
    """Replace `run_dir/report/` by what `fill` puts into an empty folder; returns the page."""
    target = run_dir / "report"
    try:
        # Its own folder until it is whole, so that a failure leaves the previous report alone.
        with tempfile.TemporaryDirectory(prefix=".report-", dir=run_dir) as temporary:
            folder = Path(temporary) / "report"
            folder.mkdir()
            fill(folder)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except OSError as error:
        raise AnalysisError(f"cannot write the report in {run_dir}: {error.strerror or error}") from error
    return target / "report.html"


def _tables(analysed: Study) -> tuple[Listing, ...]:
    """Recycling, the ranking or an overview of many, searches, rates, and aliases, where there are any."""
    verdict, alike = analysed.verdict, analysed.alike
    decides = deciding(analysed)
    first = () if decides is None else (decides,)
    glance = overview(verdict.tables)
    rankings: tuple[Listing, ...] = verdict.tables if glance is None else (glance,)
    return (*first, *rankings, *verdict.capacity, *verdict.rates, *([alike] if alike.rows else []))


def page(analysed: Study, figures: Path, judged: Verdict | None = None) -> str:
    """The whole page as HTML, with the pictures of the folder `figures` inside, the verdict at its top."""
    run = analysed.results.run
    return document(
        title=_title(run),
        kicker=_kicker(run),
        heading=analysed.verdict.finding,
        sections=[*answered.section(judged), *_sections(analysed, figures)],
        footer=_footer(run, FOOTER),
    )


def _sections(analysed: Study, figures: Path) -> Iterator[Section]:
    """What the page says of the run itself, in its order; parts that are empty are left out later."""
    results, run = analysed.results, analysed.results.run
    findings = noted(analysed.findings)
    violated = Section(THRESHOLDS, "lines", [violation.text for violation in analysed.violations])
    yield Section("Summary", "summary", digest(analysed, findings, violated.anchor))
    yield from recycled.table(analysed, figures)
    yield violated
    of_the_run = [one for one in findings if one.finding.scenario is None]
    yield Section("What spoils the whole run", "findings", of_the_run)
    yield from _illustrated(figures, recycled.sections(analysed))
    yield from _illustrated(figures, GLANCE)
    yield _ranking(analysed, findings)
    alike = [shown(analysed.alike)] if analysed.alike.rows else []
    yield Section("How often the suite cries wolf", "tables", alike)
    yield from _illustrated(figures, SECTIONS)
    yield Section("How it was measured", "facts", facts(run, results.cells))
    yield Section("What was measured", "configurations", configurations(analysed))
    yield Section("What could not be measured", "unavailable", run.unavailable)
    yield Section("Cells that failed", "failures", failures(results.directory, results.cells))
    yield from recycled.evidence(analysed)


def _ranking(analysed: Study, findings: Sequence[Noted]) -> Section:
    """Each scenario with its tables, closed and open, and the findings about it."""
    verdict = analysed.verdict
    tables: list[Table | CapacityTable | RateTable]
    tables = [*verdict.tables, *verdict.capacity, *verdict.rates]
    named = list(dict.fromkeys([table.scenario for table in tables]))
    # A scenario of which every cell failed has findings and no table.
    named += sorted({one.finding.scenario for one in findings if one.finding.scenario} - set(named))
    scenarios = [
        {
            "name": name,
            "anchor": f"scenario-{number}",
            "tables": [shown(table) for table in tables if table.scenario == name],
            "findings": [one for one in findings if one.finding.scenario == name],
        }
        for number, name in enumerate(named, 1)
    ]
    entries = [Entry(str(scenario["anchor"]), str(scenario["name"])) for scenario in scenarios]
    if tables:
        return Section("Ranking", "ranking", scenarios, entries)
    return Section("What to keep in mind", "scenarios", scenarios, entries)


def _illustrated(folder: Path, sections: dict[str, list[str]]) -> Iterator[Section]:
    for title, pictures in drawn(folder, sections).items():
        yield Section(title, "pictures", pictures)


def _title(run: Run) -> str:
    return f"{run.run}: which worker?"


def _kicker(run: Run) -> str:
    date = datetime.fromtimestamp(run.started, UTC).strftime("%d %B %Y, %H:%M UTC")
    return f"{run.run} · {date} · {run.host.hostname} · launcher: {run.launcher}"


def _footer(run: Run, more: str) -> str:
    return f"Made from the files in {run.run}. {more}".rstrip()
