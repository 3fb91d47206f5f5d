"""What happened to the workers of a run of recycling, and at what price."""

from typing import Any

from analysis.cells import clocks
from analysis.reading.frames import DIMENSIONS
from analysis.reading.results import Results
from analysis.recycling import answers
from analysis.recycling.cells import cells_of, with_stalls
from analysis.recycling.deploys import Deploys, beside, deploys
from analysis.recycling.judge import Case, judge
from analysis.recycling.lives import lives, replacements
from analysis.recycling.model import CELLS, QUESTIONS, Answer, Recycling, RecyclingRow
from analysis.recycling.requests import by_cell, followed, losses

__all__ = ["QUESTIONS", "Answer", "Deploys", "Recycling", "RecyclingRow", "analyse", "beside", "deploys"]


def analyse(results: Results) -> Recycling | None:
    """Everything about the recycling of workers in a run; None where it has no such cells."""
    if (results.cells["treatment"] == "none").all():
        return None
    windows = results.finished[results.finished["treatment"] != "none"]
    requests = followed(results.trace, results.handled)
    lived = lives(results, requests)
    replaced = replacements(lived, windows)
    placed = windows[clocks.of_servers(results).reindex(windows.index)]
    lost = losses(requests, replaced, windows, placed.index)
    replaced = with_stalls(replaced, requests, lost, placed)
    cells = cells_of(results, requests, lived, replaced, lost)
    every = [by_cell(frame, windows.index) for frame in (lived, replaced, lost)]
    rows = windows.join(cells.drop(columns=DIMENSIONS[1:]))
    cases: dict[Any, Case] = {
        cell: Case(rows.loc[cell], mine, ends, missed)
        for (cell, mine), (_, ends), (_, missed) in zip(*every, strict=True)
    }
    judged = cells.join(judge(cases))[[*DIMENSIONS[1:], *CELLS]].astype(CELLS)
    table = answers.table(results, lived, replaced, judged)
    finding = answers.finding(judged, table) if table else deploys(results, judged, lost).finding
    return Recycling(lived, replaced, lost, judged, table, finding)
