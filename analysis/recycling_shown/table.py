"""The table that decides: what each configuration answers to each question, and where that was read."""

from dataclasses import dataclass

import pandas as pd

from analysis.recycling.model import QUESTIONS, Recycling, Row
from analysis.study import Study

NONE_HERE = (
    "This run has no cells of recycling: no worker was to be replaced in it. `make recycle` measures that."
)


@dataclass(frozen=True)
class DecidingTable:
    """The answers of every configuration, in the catalogue's order."""

    finding: str
    rows: tuple[Row, ...]
    title = "Workers that restart after N requests"
    basis = (
        "Lost per 1,000 recycles: requests that clients lose by 1,000 replacements of a worker, with its "
        "95 % interval over the replacements that were seen."
    )
    columns = Recycling.columns


def deciding(study: Study) -> DecidingTable | None:
    """The table of a run; None where it has no cells of recycling."""
    recycling = study.recycling
    return None if recycling is None else DecidingTable(recycling.finding, recycling.configurations)


def opening(study: Study) -> str:
    """What a run says about recycling in one sentence, in Markdown."""
    return NONE_HERE if study.recycling is None else f"**{study.recycling.finding}**"


def frame(study: Study) -> pd.DataFrame:
    """The table as texts: a row per configuration, a column per question."""
    rows = [] if study.recycling is None else [row.texts() for row in study.recycling.configurations]
    return pd.DataFrame(rows, columns=list(Recycling.columns))


def evidence(study: Study) -> pd.DataFrame:
    """Each answer with its verdict, and the folder of each cell that it was read from, a row for each.

    `cell` is relative to the run's folder, and missing where nothing was measured.
    """
    configurations = () if study.recycling is None else study.recycling.configurations
    rows = [
        (row.configuration, question, answer.text, answer.verdict, path)
        for row in configurations
        for question, answer in zip(QUESTIONS, row.answers, strict=True)
        for path in (answer.evidence or (None,))
    ]
    return pd.DataFrame(rows, columns=["configuration", "question", "answer", "verdict", "cell"])


def lives(study: Study) -> pd.DataFrame:
    """Every worker process of the cells of recycling (`Recycling.lives`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.lives


def replacements(study: Study) -> pd.DataFrame:
    """Every replacement of a worker (`Recycling.replacements`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.replacements


def losses(study: Study) -> pd.DataFrame:
    """Every request that was lost (`Recycling.losses`)."""
    return pd.DataFrame() if study.recycling is None else study.recycling.losses


def cells(study: Study) -> pd.DataFrame:
    """Every cell of recycling with its verdict (`Recycling.cells`), and its folder in the run as `path`."""
    if study.recycling is None:
        return pd.DataFrame()
    return study.recycling.cells.join(study.results.cells["path"], on="cell")
