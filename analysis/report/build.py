"""The report of a run: notebooks executed, charts and frames kept, one self-contained page."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from analysis.cells.thresholds import Violation
from analysis.findings import Finding, completeness
from analysis.findings.soak import check as check_soak
from analysis.rankings.overview import overview
from analysis.reading.results import NothingFinished
from analysis.recommend import Verdict, of_run
from analysis.report.before import Before, before
from analysis.report.execute import Kernel, notebooks, step_of
from analysis.report.page import page, page_of_nothing
from analysis.report.soak import write as write_soak
from analysis.settings.table import tables
from analysis.soak.judging import judge
from analysis.soak.reading import Soak
from analysis.soak.reading import load as load_soak
from analysis.soak.table import Lasting
from analysis.study import Study, study
from analysis.table import Listing
from bench.model import folders
from bench.model.errors import UserError

_READING, _WRITING = "reading the run", "writing the page"


@dataclass(frozen=True)
class Rendered:
    """What a command line prints.

    The page, the sentence it opens with, the tables in the order of the page (an overview for rankings that
    are many), the findings, the cells that do not keep the plan's thresholds, and which configuration to use,
    where the run is evidence for that. `changes` is what became of an app since the version before.

    `nothing`: no cell could be measured, and the page says why, cell by cell.
    """

    html: Path
    finding: str
    ranking: tuple[Listing, ...]
    findings: list[Finding]
    violations: list[Violation]
    verdict: Verdict | None = None
    changes: Before | None = None
    nothing: bool = False

    @property
    def regressed(self) -> bool:
        """Whether an app became certainly worse than the version that it was compared with."""
        return self.changes is not None and bool(self.changes.regressions)


def render(run_dir: Path, progress: Callable[[str, float], None] | None = None) -> Rendered:
    """Analyse a run and write `run_dir/report/`; a report that is there already is replaced as a whole.

    `progress` is told, in a few words, what is being done, and which share of the usual time is over.

    Raises:
        UserError: the run cannot be read, a notebook failed, or the report cannot be written.
    """
    say = _shared(progress) if progress else lambda _: None
    say(_READING)
    if (soak := load_soak(run_dir)) is not None:
        return _render_soak(soak, say)
    with Kernel() as kernel:
        try:
            analysed = study(run_dir)
        except NothingFinished as failed:
            return _render_nothing(run_dir, failed)
        _compute(analysed)
        kernel.take(analysed)
        # To read the other run takes as long as the notebooks, which have a process of their own.
        with ThreadPoolExecutor(1) as beside:
            judging = beside.submit(of_run, analysed, say)

            def fill(folder: Path) -> None:
                kernel.execute(run_dir.resolve(), folder, say)
                judged = judging.result()
                say(_WRITING)
                (folder / "report.html").write_text(page(analysed, folder, judged), encoding="utf-8")
                if judged is not None:
                    (folder / "verdict.json").write_text(judged.json_text(), encoding="utf-8")

            html = _write(run_dir, fill)
    return Rendered(
        html,
        analysed.headline,
        _tables(analysed),
        analysed.findings,
        analysed.violations,
        judging.result(),
        before(analysed),
    )


def _compute(analysed: Study) -> object:
    """Compute what both the page and the notebooks show, before these get it."""
    return (
        *(analysed.headline, analysed.findings, analysed.alike, analysed.sittings),
        *(analysed.proxied, analysed.deploys, analysed.settings_by_load),
    )


def _shared(progress: Callable[[str, float], None]) -> Callable[[str], None]:
    """What tells `progress` how far the work is by the name of the part that begins.

    To read a run, and to compute what the notebooks show, takes as long as all of them together.
    """
    steps = [step_of(path) for path in notebooks()]
    parts = {_READING: float(len(steps)), **dict.fromkeys(steps, 1.0), _WRITING: 0.1}
    starts = dict(zip(parts, accumulate([0.0, *parts.values()]), strict=False))
    share = 0.0

    def say(text: str) -> None:
        nonlocal share
        share = starts.get(text, share * sum(parts.values())) / sum(parts.values())
        progress(text, share)

    return say


def _render_nothing(run_dir: Path, failed: NothingFinished) -> Rendered:
    """The report of a run in which every cell failed."""
    checks = (completeness.damages, completeness.failures, completeness.lacking)
    findings = [finding for check in checks for finding in check(failed)]

    def fill(folder: Path) -> None:
        (folder / "report.html").write_text(page_of_nothing(run_dir, failed, findings), encoding="utf-8")

    return Rendered(_write(run_dir, fill), failed.finding, (), findings, [], nothing=True)


def _render_soak(soak: Soak, say: Callable[[str], None]) -> Rendered:
    """The report of a soak, which may still go on."""
    lasting = Lasting(soak, judge(soak))
    findings = check_soak(soak, lasting.verdicts)
    say(_WRITING)
    html = _write(soak.directory, lambda folder: write_soak(lasting, findings, folder))
    return Rendered(html, lasting.finding, (lasting,), findings, [])


def _write(run_dir: Path, fill: Callable[[Path], None]) -> Path:
    """Replace `run_dir/report/` by what `fill` puts into an empty folder; returns the page."""
    target = run_dir / "report"
    try:
        # Its own folder until it is whole, so that a failure leaves the previous report alone.
        with folders.temporary(".report-", run_dir) as temporary:
            folder = temporary / "report"
            folder.mkdir()
            fill(folder)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
    except OSError as error:
        raise UserError(f"cannot write the report in {run_dir}: {error.strerror or error}") from error
    return target / "report.html"


def _tables(analysed: Study) -> tuple[Listing, ...]:
    """Recycling, deploys, the ranking or an overview, the proxy, searches, rates, aliases, where there are.

    Then settings. Of a run that asks about something else than servers only what answers that is printed.
    """
    if analysed.asked is not None:
        return (analysed.asked,)
    settings = tables(analysed.settings)
    if analysed.settings.alone:
        return settings
    verdict, alike = analysed.verdict, analysed.alike
    either: tuple[Listing | None, ...] = (analysed.recycling, analysed.proxied, analysed.deploys)
    glance = overview(verdict.tables)
    rankings: tuple[Listing, ...] = verdict.tables if glance is None else (glance,)
    return (
        *(each for each in either if each is not None and each.rows),
        *rankings,
        *([] if analysed.proxy_cost is None else [analysed.proxy_cost]),
        *([] if analysed.idle_race is None else [analysed.idle_race]),
        *verdict.capacity,
        *verdict.rates,
        *([alike] if alike.rows else []),
        *settings,
        *_changes(analysed),
    )


def _changes(analysed: Study) -> tuple[Listing, ...]:
    """The table of an app of one's own before and after; none where the run measured one version."""
    changes = before(analysed)
    return () if changes is None else (changes,)
