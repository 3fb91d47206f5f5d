"""How a notebook shows and keeps what it made: charts as PNG and SVG, frames as CSV."""

import os
from pathlib import Path

import pandas as pd
from IPython.display import Image, Markdown, display
from matplotlib.figure import Figure

from analysis.charts import registry
from analysis.charts.drawing import style
from analysis.findings import Finding
from analysis.study import REPORT_VARIABLE, Study


def _folder() -> Path | None:
    """Where `analysis.report.build` collects; None when somebody reads along in JupyterLab."""
    named = os.environ.get(REPORT_VARIABLE)
    return Path(named) if named else None


def charts(study: Study, *sections: registry.Section) -> None:
    """Show every chart that is registered for some sections, each below its heading; keep what was drawn."""
    for chart in (chart for section in sections for chart in registry.charts(section)):
        display(text(f"## {chart.heading}\n\n{chart.about}"))  # type: ignore[no-untyped-call]
        drawn = chart.figures(study)
        if not drawn:
            display(text("Not drawn: this run has nothing to show here."))  # type: ignore[no-untyped-call]
        for name, figure in drawn.items():
            picture = _kept(chart, name, figure)
            display(Image(data=picture))  # type: ignore[no-untyped-call]


def _kept(chart: registry.Chart, name: str, figure: Figure) -> bytes:
    """A figure as PNG; drawn once, the picture in the notebook is the one in the report."""
    folder = _folder()
    return style.png(figure) if folder is None else keep(chart, name, figure, folder)


def keep(chart: registry.Chart, name: str, figure: Figure, folder: Path) -> bytes:
    """Write a figure into a report's folder, and into the list of what was drawn; returns the PNG."""
    picture = style.save(figure, folder, name)
    title, (width, height) = str(figure.get_label()), style.size(picture)
    registry.record(
        folder, registry.Drawn(name, title, width, height, chart.section, chart.lead, chart.caption)
    )
    return picture


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
