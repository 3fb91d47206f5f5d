"""How a notebook shows and keeps what it made: figures as PNG and SVG, frames as CSV."""

import os
from pathlib import Path

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from analysis import style
from analysis.checks import Finding

REPORT_VARIABLE = "WHICHWORKER_REPORT"


def _folder() -> Path | None:
    """Where `analysis.report` collects; None when somebody reads along in JupyterLab."""
    named = os.environ.get(REPORT_VARIABLE)
    return Path(named) if named else None


def show(figure: Figure | None, name: str) -> Image | Markdown:
    """Show a figure; drawn once, the picture in the notebook is the one in the report."""
    if figure is None:
        return text("Not drawn: this run has nothing to show here.")
    folder = _folder()
    picture = style.png(figure) if folder is None else style.save(figure, folder, name)
    return Image(data=picture)  # type: ignore[no-untyped-call]


def show_all(figures: dict[str, Figure]) -> Image | Markdown | None:
    """Show figures by their names, one below the other."""
    if not figures:
        return show(None, "")
    for name, figure in figures.items():
        display(show(figure, name))  # type: ignore[no-untyped-call]
    return None


def table(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Show a frame, and keep it as CSV; missing values are empty fields."""
    folder = _folder()
    if folder is not None:
        frame.to_csv(folder / f"{name}.csv", index=False)
    return frame


def findings(found: list[Finding]) -> Markdown:
    """Show findings as a list: what is wrong, what it spoils, what to do."""
    if not found:
        return text("Nothing spoils these numbers, as far as the checks can tell.")
    lines = [f"- **{finding.severity}**: {finding.text}" for finding in found]
    return text("\n".join(lines))


def text(markdown: str) -> Markdown:
    """Show Markdown."""
    return Markdown(markdown)  # type: ignore[no-untyped-call]
