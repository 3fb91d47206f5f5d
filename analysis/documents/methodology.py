"""The thresholds in docs/methodology.md, which `python -m analysis.documents.methodology` writes.

Each table stands between the markers of its name, and is made of what is registered.
"""

from pathlib import Path

from analysis import findings
from analysis.findings.finding import SECTIONS
from analysis.recycling.limits import RULES
from bench.model.documents import markdown_table, replace
from bench.model.files import ROOT

PAGE = ROOT / "docs" / "methodology.md"


def rewrite(page: Path) -> None:
    """Put every table into the page.

    Raises:
        UserError: the page lacks a marker.
    """
    tables = {"verdicts on recycling": _table("what", RULES)}
    for section in SECTIONS:
        kinds = [kind for kind in findings.KINDS.values() if kind.section == section]
        rows = [(kind.title, kind.threshold, kind.why) for kind in kinds]
        tables[f"findings: {section}"] = _table("finding", rows)
    replace(page, tables, kind="thresholds")


def _table(what: str, rows: list[tuple[str, str, str]]) -> str:
    headings = [what, "threshold", "why"]
    return "\n".join(markdown_table(headings, rows, left=headings))


if __name__ == "__main__":
    rewrite(PAGE)
