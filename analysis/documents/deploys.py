"""What a deploy costs, as a document shows it: a row for each server and way, a column for each scenario."""

from collections.abc import Iterator

from analysis.recycling.deploys import Deploys
from analysis.recycling.requests import DIRECT
from bench.model.documents import markdown_table

# The heads of the columns of `Deploys` that a cell is made of.
_LOST, _RAN, _TWICE = "lost per deploy", "of them the handler ran", "ran twice"
_SERVED, _AFTER, _STALL = "new release served", "by all workers after", "longest stall"
_NONE = "0"


def by_scenario(deploys: Deploys) -> Iterator[str]:
    """The lines of the table, below what its cells say."""
    rows = [dict(zip(deploys.columns, row.texts(), strict=True)) for row in deploys.rows]
    proxied = any(row["proxy"] != DIRECT for row in rows)
    keys = ("configuration", "workers", *(("proxy",) if proxied else ()), "told by")
    scenarios = list(dict.fromkeys(row["scenario"] for row in rows))
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for row in rows:
        found.setdefault(tuple(row[key] for key in keys), {})[row["scenario"]] = _cell(row)
    yield "For each scenario: requests lost, when all workers serve the new release, the longest stall."
    yield ""
    headings = [*keys, *scenarios]
    table = [[*key, *(cells.get(each, "") for each in scenarios)] for key, cells in found.items()]
    yield from markdown_table(headings, table, headings)


def _cell(row: dict[str, str]) -> str:
    lost = row[_LOST] + (f" ({row[_RAN]} ran)" if row[_RAN] != _NONE else "")
    twice = f", {row[_TWICE]} ran twice" if row[_TWICE] != _NONE else ""
    served = row[_AFTER] if row[_SERVED] == "yes" else row[_SERVED]
    return f"{lost}{twice}; {served}; {row[_STALL]}"
