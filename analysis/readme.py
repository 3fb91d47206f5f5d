"""`python -m analysis.readme RUN_DIR`: put a run's tables and figures into the project's documents.

A run of recycling goes into docs/recycling.md, between the markers of its plan, one of the database into the
methodology, any other into the README, with the verdict and the claims that it answers together with the run
of recycling beside it. What stands there between the two markers is replaced, so that no figure is written by
hand.
"""

import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from analysis import readme_answer
from analysis.errors import AnalysisError
from analysis.overview import overview
from analysis.ranking import Table
from analysis.rates import CapacityTable
from analysis.recycling_shown import each, page
from analysis.recycling_shown.table import deciding
from analysis.reproduction import command
from analysis.schema import Run
from analysis.study import Study, study
from analysis.verdicts.selection import counterpart

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- measured: make readme-figures -->"
BEGIN_RECYCLING = "<!-- measured: recycling -->"
# Plans that ask why recycling costs what it costs: cell by cell, beside the table that decides.
EXPERIMENTS = ("recycle-busy", "recycle-causes")
# Plans of performance whose tables are elsewhere, by the page that has the marker.
PAGES = {"database": "docs/methodology.md"}
END = "<!-- /measured -->"
FIGURES = {"throughput": "requests per second"}
# In its place where there are many rankings.
GLANCE = {"rankings": "all rankings beside each other"}
# What recycling costs is shown in the README, too.
PRICE = "what recycling costs"


def rewrite(document: Path, analysed: Study, figures: Path, beside: Study | None = None) -> None:
    """Replace the measured part of `document` and copy the figures it shows into the folder `figures`.

    Of `beside`, a run of recycling, it shows what recycling costs.

    Raises:
        AnalysisError: a run has no report, or the document lacks the markers.
    """
    shown = _copied(_figures(analysed), analysed, figures)
    if beside is not None:
        priced = {name: what for name, what in _figures(beside).items() if what == PRICE}
        shown = shown | _copied(priced, beside, figures)
    folder = figures.relative_to(document.parent).as_posix()
    addresses = {f"{folder}/{name}.png": what for name, what in shown.items()}
    put(document, begin_of(analysed), _lines(analysed, addresses))


def put(document: Path, opening: str, lines: Iterator[str]) -> None:
    """Replace what stands in `document` between the line `opening` and the next end.

    Raises:
        AnalysisError: the document lacks one of them.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"{opening}\n")
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise AnalysisError(f"{document} lacks the lines {opening} and {END}")
    measured = "\n".join(lines)
    document.write_text(f"{before}{begin}{measured}\n{END}{after}", encoding="utf-8")


def _copied(shown: dict[str, str], analysed: Study, figures: Path) -> dict[str, str]:
    """`shown`, once its figures were copied from the run's report."""
    report = _report(analysed)
    figures.mkdir(parents=True, exist_ok=True)
    for name in shown:
        drawn = report / f"{name}.png"
        if not drawn.exists():
            raise AnalysisError(f"{drawn} is missing: {_remedy(analysed)}")
        shutil.copyfile(drawn, figures / drawn.name)
    return shown


def _report(analysed: Study) -> Path:
    """The folder of a run's report."""
    folder = analysed.results.directory / "report"
    if not folder.is_dir():
        raise AnalysisError(f"{folder} is missing: {_remedy(analysed)}")
    return folder


def _remedy(analysed: Study) -> str:
    return f"run `make report RUN={analysed.results.directory.name}` first"


def begin_of(analysed: Study) -> str:
    """The line after which a run's figures belong; an experiment on one configuration has its own."""
    if _plan(analysed) in PAGES:
        return f"<!-- measured: {_plan(analysed)} -->"
    if analysed.recycling is None:
        return BEGIN
    if _plan(analysed) not in EXPERIMENTS:
        return BEGIN_RECYCLING
    chosen = analysed.results.run.plan.get("configurations", [])
    return f"<!-- measured: {' '.join([_plan(analysed), *(chosen if len(chosen) == 1 else [])])} -->"


def document_of(analysed: Study) -> str:
    """The page that shows a run, relative to the project."""
    return PAGES.get(_plan(analysed), "README.md" if analysed.recycling is None else "docs/recycling.md")


def _plan(analysed: Study) -> str:
    return str(analysed.results.run.plan["name"])


def _figures(analysed: Study) -> dict[str, str]:
    """The figures that a document shows of a run, by their names, with what they show."""
    if _plan(analysed) in PAGES:
        return {}
    if analysed.recycling is None:
        return FIGURES if overview(analysed.verdict.tables) is None else GLANCE
    return {} if _plan(analysed) in EXPERIMENTS else _recycling_figures(analysed, _report(analysed))


def _recycling_figures(analysed: Study, report: Path) -> dict[str, str]:
    """Of each section the first figure that was drawn: the first scenario, the fewest workers."""
    sections = page.sections(analysed)
    wanted = {page.PRICE: PRICE, page.MEMORY: "memory with and without recycling"}
    drawn = {
        what: [name for name in sections[title] if (report / f"{name}.png").exists()]
        for title, what in wanted.items()
    }
    return {names[0]: what for what, names in drawn.items() if names}


def _lines(analysed: Study, figures: dict[str, str]) -> Iterator[str]:
    """The measured part; `figures` are those to show by their address, with what they show."""
    yield f"**{analysed.verdict.finding}**"
    yield ""
    table = deciding(analysed)
    if table is not None and _plan(analysed) in EXPERIMENTS:
        for title, rows in each.tables(analysed):
            yield from _markdown(f"**{title}.**", each.COLUMNS, rows)
    elif table is not None:
        heading = f"**{table.title}.** {table.basis}"
        yield from _markdown(heading, table.columns, [row.texts() for row in table.rows])
    for address, what in figures.items():
        yield f"![{what}]({address})"
        yield ""
    yield from _rankings(analysed)
    yield " ".join(provenance(analysed.results.run, recycling=table is not None))
    for finding in analysed.findings:
        if finding.scenario is None and finding.severity == "warning":
            yield ""
            yield f"**Warning:** {finding.text}"


def _rankings(analysed: Study) -> Iterator[str]:
    """The tables of closed loops and of searches; where there are many, folded under the chart of all."""
    verdict = analysed.verdict
    folded = overview(verdict.tables) is not None
    if folded:
        found = ", and the highest rates within a limit" if verdict.capacity else ""
        yield f"<details><summary>All {len(verdict.tables)} rankings{found}</summary>"
        yield ""
    tables: list[Table | CapacityTable] = [*verdict.tables, *verdict.capacity]
    for table in tables:
        yield from _table(table)
    if folded:
        yield "</details>"
        yield ""


def _markdown(heading: str, columns: Sequence[str], rows: list[list[str]]) -> Iterator[str]:
    yield heading
    yield ""
    yield "| " + " | ".join(columns) + " |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield "| " + " | ".join(text.replace("|", "\\|") for text in row) + " |"
    yield ""


def provenance(run: Run, *, recycling: bool) -> Iterator[str]:
    """Sentences that say when, by which command and on which machine a run was measured."""
    over = "replacements" if recycling else f"{run.plan['repeats']} repeats"
    date = datetime.fromtimestamp(run.started, UTC)
    yield f"Measured on {date:%Y-%m-%d} by `{command(run)}`"
    if run.wall_s and run.load_s:
        yield f"in {run.wall_s / 60:.1f} minutes, {run.load_s / run.wall_s:.0%} of them under load,"
    yield f"on {run.host.cpu}, {run.host.cpus} CPUs, {run.host.system}:"
    split = run.cpu_split
    yield f"server on CPU {_listed(split.server) or 'unknown'}, generator on CPU {_listed(split.generator)},"
    yield f"launcher {run.launcher}. Intervals are 95 % over {over}."


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _table(table: Table | CapacityTable) -> Iterator[str]:
    """A table in Markdown, without the column of notes, which the report explains."""
    columns = [column for column in table.columns if column != "notes"]
    yield f"**{table.title}.** {table.basis}"
    yield ""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "|".join("---" if column == "configuration" else "--:" for column in columns) + "|"
    for row in table.rows:
        cells = dict(zip(table.columns, row.texts(), strict=True))
        yield "| " + " | ".join(cells[column] for column in columns) + " |"
    yield ""


def _rewrite(analysed: Study) -> None:
    """Rewrite the document of a run; that of the README has the answers of several."""
    document, figures = ROOT / document_of(analysed), ROOT / "docs" / "figures"
    if begin_of(analysed) != BEGIN:
        rewrite(document, analysed, figures)
        return
    directory = analysed.results.directory
    folder = counterpart(directory, analysed.results.run)
    beside = None if folder is None else study(folder)
    rewrite(document, analysed, figures, beside)
    studies = [analysed] if beside is None else [analysed, beside]
    for opening, lines in readme_answer.parts(studies, directory.parent).items():
        put(document, opening, lines)


def main() -> int:
    """Return the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m analysis.readme RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    try:
        analysed = study(Path(sys.argv[1]).resolve())
        _rewrite(analysed)
    except AnalysisError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
