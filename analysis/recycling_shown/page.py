"""What the report's page shows of recycling: the deciding table with its links, and the figures' sections."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

from analysis.recycling.model import Answer
from analysis.recycling_shown.naming import base
from analysis.study import Study

# Sections of which the project's documents show the first figure.
MEMORY, PRICE = "Memory with and without recycling", "What recycling costs"


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


def rows(study: Study, figures: Path) -> list[dict[str, Any]]:
    """The rows of the deciding table; `anchor` is the figure of the lives, where it was drawn."""
    if study.recycling is None:
        return []
    drawn = {name: f"lanes_{name}" for name in study.results.configurations}
    return [
        {
            "configuration": row.configuration,
            "anchor": anchor if (figures / f"{anchor}.png").exists() else None,
            "answers": [_answer(answer) for answer in row.answers],
        }
        for row in study.recycling.configurations
        for anchor in [drawn.get(row.configuration, "")]
    ]


def _answer(answer: Answer) -> dict[str, Any]:
    """An answer with the addresses of its cells, as seen from the page."""
    return {
        "text": answer.text,
        "verdict": answer.verdict,
        "links": [{"address": f"../{quote(path)}/", "cell": path} for path in answer.evidence],
    }
