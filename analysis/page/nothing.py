"""What the page says of a run in which every cell failed: what was asked, and why there is no answer."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from analysis.checks import Finding, completeness
from analysis.page.digest import Line, Noted, asked, machine, missing, points
from analysis.page.document import Section
from analysis.page.failures import failures, reasons
from analysis.results import NothingFinished
from analysis.words import counted

# So many reasons are told apart in the summary.
FEW = 3


def findings(failed: NothingFinished) -> list[Finding]:
    """What failed, by configuration and scenario, and what is missing."""
    return [*completeness.failed(failed.cells), *completeness.missing(failed.run, failed.notes)]


def sections(directory: Path, failed: NothingFinished, found: Sequence[Noted]) -> Iterator[Section]:
    """The summary, the findings and every cell with its reason; `directory` is the run's."""
    cells = Section("Cells that failed", "failures", failures(directory, failed.cells))
    rows = {
        "Asked": asked(failed.run, failed.cells),
        "Why not": [Line(text, cells.anchor) for text in _reasons(failed.cells)],
        "Measured on": machine(failed.run),
        "Missing": missing(found),
    }
    yield Section("Summary", "summary", points(rows))
    yield cells
    yield Section("What to do", "findings", found)


def _reasons(cells: pd.DataFrame) -> Iterator[str]:
    """The most frequent reasons, without the server's last words, each with the cells that it stopped."""
    counts = Counter(reason.partition("\n")[0] for reason in reasons(cells))
    for reason, count in counts.most_common(FEW):
        yield f"{counted(count, 'cell')}: {reason.rstrip('.')}."
    if len(counts) > FEW:
        yield f"{counted(len(counts) - FEW, 'other reason')}, see below."
