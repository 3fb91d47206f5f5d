"""`python -m analysis.readme RUN_DIR`: put a run's tables and figures into the project's README.

What stands between the two markers is replaced, so that no figure there is written by hand.
"""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from analysis.errors import AnalysisError
from analysis.ranking import Table
from analysis.schema import Run
from analysis.study import Study, study

ROOT = Path(__file__).parent.parent
BEGIN = "<!-- measured: make readme-figures -->"
END = "<!-- /measured -->"
FIGURES = {"throughput": "requests per second", "cpu_per_request": "CPU time per request"}


def rewrite(readme: Path, run_dir: Path, figures: Path) -> None:
    """Replace the measured part of `readme` and copy the figures it shows into the folder `figures`.

    Raises:
        AnalysisError: the run cannot be read or has no report, or the README lacks the markers.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise AnalysisError(f"{readme} lacks the lines {BEGIN} and {END}")
    analysed = study(run_dir)
    figures.mkdir(parents=True, exist_ok=True)
    for name in FIGURES:
        drawn = run_dir / "report" / f"{name}.png"
        if not drawn.exists():
            raise AnalysisError(f"{drawn} is missing: run `make report RUN={run_dir.name}` first")
        shutil.copyfile(drawn, figures / drawn.name)
    folder = figures.relative_to(readme.parent).as_posix()
    measured = "\n".join(_lines(analysed, folder))
    readme.write_text(f"{before}{BEGIN}\n{measured}\n{END}{after}", encoding="utf-8")


def _lines(analysed: Study, folder: str) -> Iterator[str]:
    yield f"**{analysed.verdict.finding}**"
    yield ""
    for name, what in FIGURES.items():
        yield f"![{what}]({folder}/{name}.png)"
        yield ""
    for table in analysed.verdict.tables:
        yield from _table(table)
    yield " ".join(_provenance(analysed.results.run))
    for finding in analysed.findings:
        if finding.scenario is None and finding.severity == "warning":
            yield ""
            yield f"**Warning:** {finding.text}"


def _provenance(run: Run) -> Iterator[str]:
    date = datetime.fromtimestamp(run.started, UTC)
    yield f"Measured on {date:%Y-%m-%d} by `make bench PLAN={run.plan['name']}`"
    if run.wall_s and run.load_s:
        yield f"in {run.wall_s / 60:.1f} minutes, {run.load_s / run.wall_s:.0%} of them under load,"
    yield f"on {run.host.cpu}, {run.host.cpus} CPUs, {run.host.system}:"
    yield f"server on CPU {_cpus(run.cpu_split.server)}, generator on CPU {_cpus(run.cpu_split.generator)},"
    yield f"launcher {run.launcher}. Intervals are 95 % over {run.plan['repeats']} repeats."


def _cpus(cpus: list[int]) -> str:
    return ", ".join(map(str, cpus))


def _table(table: Table) -> Iterator[str]:
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


def main() -> int:
    """Return the exit status."""
    if len(sys.argv) != 2:
        print("usage: python -m analysis.readme RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    try:
        rewrite(ROOT / "README.md", Path(sys.argv[1]).resolve(), ROOT / "docs" / "figures")
    except AnalysisError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
