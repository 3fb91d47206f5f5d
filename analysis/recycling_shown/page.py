"""What the report's page shows of recycling: the deciding table, its evidence, and the figures' sections."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from analysis.page.document import Section
from analysis.page.tabular import Cell, Link, Shown, heads, places
from analysis.recycling.model import Answer
from analysis.recycling_shown.naming import base
from analysis.recycling_shown.table import DecidingTable, deciding
from analysis.study import Study

# Sections of which the project's documents show the first figure.
MEMORY, PRICE = "Memory with and without recycling", "What recycling costs"
# How texts are put in order when the table is sorted: what one wants of a server comes first.
VERDICTS = ("good", "fair", "bad", "unknown")


def sections(study: Study) -> dict[str, list[str]]:
    """The figures in the order of the page: its section, then the names that the notebook gives them."""
    if study.recycling is None:
        return {}
    cells = study.recycling.cells
    planned = list(dict.fromkeys([*study.results.run.plan.get("scenarios", []), *cells["scenario"]]))
    workers = sorted({int(workers) for workers in cells["workers"]})
    return {
        "The lives of the workers": [f"lanes_{name}" for name in study.results.configurations],
        MEMORY: [f"memory_recycled_w{count}" for count in workers],
        PRICE: [f"price_{name}" for name in dict.fromkeys(map(base, planned))],
        "How many requests a worker serves": ["requests_per_life"],
        "A worker killed, a server stopped": ["probes"],
    }


def table(study: Study, figures: Path) -> Iterator[Section]:
    """The deciding table of a run of recycling; names lead to the lives of their workers, where drawn."""
    decides = deciding(study)
    if decides is not None:
        yield Section(decides.title, "deciding", shown(decides, figures))


def evidence(study: Study) -> Iterator[Section]:
    """The cells that the table's answers were read from, by their numbers in it."""
    decides = deciding(study)
    if decides is not None:
        yield Section("Cells that the answers were read from", "evidence", list(_numbers(decides)))


def shown(decides: DecidingTable, figures: Path) -> Shown:
    """The table as the page shows it; `figures` is the folder of those that were drawn."""
    numbers = _numbers(decides)
    names = [row.configuration for row in decides.rows]
    columns = [
        _column([row.answers[index] for row in decides.rows], numbers)
        for index in range(len(decides.columns) - 1)
    ]
    first = [
        Cell(name, place, address=f"#lanes_{name}" if (figures / f"lanes_{name}.png").exists() else None)
        for name, place in zip(names, places(names), strict=True)
    ]
    rows = tuple(zip(first, *columns, strict=True))
    return Shown(
        title=decides.title,
        finding=decides.finding,
        basis=decides.basis,
        columns=heads(decides.columns, rows),
        rows=rows,
        head=0,
        leads=(False,) * len(rows),
        judged=True,
    )


def _column(answers: list[Answer], numbers: dict[str, int]) -> list[Cell]:
    """The answers to one question."""
    order = places([answer.text for answer in answers], [VERDICTS.index(each.verdict) for each in answers])
    return [
        Cell(
            answer.text, place, answer.verdict, links=tuple(_link(path, numbers) for path in answer.evidence)
        )
        for answer, place in zip(answers, order, strict=True)
    ]


def _link(path: str, numbers: dict[str, int]) -> Link:
    """To the folder of a cell, as seen from the page."""
    return Link(f"../{quote(path)}/", str(numbers[path]), path)


def _numbers(decides: DecidingTable) -> dict[str, int]:
    """A number for every cell that an answer was read from, in the order of the table."""
    paths = dict.fromkeys(path for row in decides.rows for each in row.answers for path in each.evidence)
    return {path: number for number, path in enumerate(paths, 1)}
