"""How every chart looks: one colour and marker per configuration, panels, a title that says something.

Figures are made without pyplot, so nothing here changes matplotlib's global state.
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.ticker as ticker
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image, ImageColor
from PIL.PngImagePlugin import PngInfo

from analysis.reading.results import Results
from bench.model.records.run import Run

# Okabe & Ito, "Color Universal Design" (2008); their yellow is too faint on white, so it comes darkened,
# and a grey makes nine. The markers tell apart what printing without colour does not.
COLOURS = (
    "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#A89A00", "#009E73", "#CC79A7", "#000000", "#7F7F7F",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
Line = Literal["-", "--", ":"]
LINES: tuple[Line, ...] = ("-", "--", ":")

INK, FAINT, GRID = "#222222", "#666666", "#DDDDDD"
# What is left of the shades between them when a picture is kept; a report of 24 rankings stays below 5 MB.
COLOURS_OF_A_PICTURE = 80
# Those that are left as they are.
_KEPT = (*COLOURS, "#FFFFFF", INK)
WIDTH_IN = 10.0
_RC: Any = {
    "figure.dpi": 165,  # more than a screen shows beside the contents, so that a chart may be enlarged
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.parse_math": False,  # names and reasons come from outside, and a dollar is a dollar
    "svg.hashsalt": "whichworker",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Look:
    """Colour, marker and line style of a configuration."""

    colour: str
    marker: str
    line: Line

    def dots(self, *, hollow: bool = False) -> dict[str, Any]:
        """Keyword arguments for the markers of matplotlib's line artists."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": 7,
            "markerfacecolor": "white" if hollow else self.colour,
            "markeredgecolor": self.colour,
            "markeredgewidth": 1.5,
        }


def looks(configurations: Sequence[str]) -> dict[str, Look]:
    """The look of each configuration of the catalogue, from its place in it."""
    count = len(COLOURS)
    return {
        name: Look(COLOURS[i % count], MARKERS[i % count], LINES[i // count % len(LINES)])
        for i, name in enumerate(configurations)
    }


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside of this; the caller's own settings come back afterwards."""
    with mpl.rc_context(_RC):
        yield


def footer(results: Results) -> str:
    """Where the numbers come from: launcher, machine and day."""
    return source(results.run)


def source(run: Run) -> str:
    """The same of a run that has no cells."""
    day = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    host = f"{run.host.hostname} ({run.host.cpu}, {run.host.cpus} CPUs)"
    incomplete = "" if run.status == "finished" else f" · run {run.status}"
    return f"{run.run} · launcher: {run.launcher} · {host} · {day}{incomplete}"


def panels(
    count: int, *, rows: int = 1, height: float = 3.4, columns: int = 3
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with `count` panels of `rows` axes, one below the other; at most `columns` panels abreast."""
    across = min(columns, count)
    bands = -(-count // across)
    figure = Figure(figsize=(WIDTH_IN, height * rows * bands))
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows * bands, across, squeeze=False)
    every = [
        [grid[band * rows + row][i] for row in range(rows)] for band in range(bands) for i in range(across)
    ]
    for unused in every[count:]:
        for axis in unused:
            axis.remove()
    return figure, every[:count]


def stacked(heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each of `heights` (inches), one below the other, over the whole width."""
    figure = Figure(figsize=(WIDTH_IN, sum(heights)))
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=list(heights))
    return figure, [row[0] for row in grid]


def finish(
    figure: Figure, title: str, reading: str, foot: str, looks: dict[str, Look] | None = None
) -> Figure:
    """Lay out: the finding above, how to read it below that, a legend of `looks`, the source at the foot."""
    title = " ".join(title.split())
    figure.set_label(title)
    width, body = figure.get_size_inches()
    per_line = int(width * 8.7)
    title_lines = textwrap.wrap(title, per_line)
    reading_lines = textwrap.wrap(reading, int(width * 13))
    names = list(looks or {})
    across = max(1, int(width // (0.6 + 0.08 * max(map(len, names), default=1))))
    legend_rows = -(-len(names) // across)
    above = 0.15 + 0.25 * len(title_lines) + 0.2 * len(reading_lines) + 0.24 * legend_rows + 0.1
    below = 0.32
    height = body + above + below
    figure.set_size_inches(width, height)
    left = 0.12 / width
    at = 1 - 0.12 / height
    figure.text(left, at, "\n".join(title_lines), va="top", fontsize=13, fontweight="bold", linespacing=1.25)
    at -= (0.25 * len(title_lines) + 0.03) / height
    figure.text(left, at, "\n".join(reading_lines), va="top", fontsize=9.5, color=FAINT, linespacing=1.3)
    at -= 0.2 * len(reading_lines) / height
    if looks:
        handles = [Line2D([], [], linestyle=look.line, **look.dots()) for look in looks.values()]
        figure.legend(
            handles, names, loc="upper left", bbox_to_anchor=(0, at), ncols=across, frameon=False,
            fontsize=9.5, columnspacing=1.4, handlelength=2.2, borderaxespad=0.2,
        )  # fmt: skip
    figure.text(left, 0.1 / height, foot, va="bottom", fontsize=8, color=FAINT)
    figure.set_layout_engine(
        "constrained", rect=(0.005, below / height, 0.985, 1 - (above + below) / height), w_pad=0.12
    )
    return figure


def remark(axis: Axes, text: str, place: float | None = None) -> None:
    """Say in a few words why there is nothing: in the middle of an axis, or in its row at `place`.

    Call it when all else is drawn.
    """
    if place is None:
        axis.set(xticks=[], yticks=[])
        axis.text(0.5, 0.5, text, ha="center", va="center", color=FAINT, transform=axis.transAxes)
    else:
        across = axis.get_yaxis_transform()
        axis.text(0.015, place, text, va="center", fontsize=9, color=FAINT, transform=across)


@ticker.FuncFormatter
def thousands(value: float, _: int | None) -> str:
    """Axis labels such as 28,000."""
    return f"{value:,.0f}"


def logarithmic_counts(axis: Axes) -> None:
    """Make x logarithmic, with whole numbers that leave each other room; call it when all is drawn."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high / low < 300 else (1, 3)))
    axis.xaxis.set_minor_locator(ticker.NullLocator())
    axis.xaxis.set_major_formatter(thousands)


def milliseconds(axis: Axes) -> None:
    """Make y logarithmic, with readable numbers even within one decade; call it when all is drawn."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    wide = high / low > 8
    axis.yaxis.set_major_locator(
        ticker.LogLocator(subs=(1, 2, 5)) if wide else ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
    )
    axis.yaxis.set_minor_locator(ticker.NullLocator())
    axis.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))


def from_zero(axis: Axes, which: Literal["x", "y"]) -> None:
    """Start an axis at zero and leave room for the markers at its end; call it when all is drawn."""
    end = (axis.get_xlim if which == "x" else axis.get_ylim)()[1]
    (axis.set_xlim if which == "x" else axis.set_ylim)(0, end * 1.04 if end > 0 else 1)


def png(figure: Figure) -> bytes:
    """The figure as a PNG picture, with a palette of its own, which makes it a third as large."""
    return _encoded(_pixels(figure), str(figure.get_label()))


def _pixels(figure: Figure) -> Image.Image:
    # Not `savefig`, which draws a figure twice to find the place of everything.
    canvas = FigureCanvasAgg(figure)
    with styled():
        canvas.draw()  # type: ignore[no-untyped-call]
    pixels = canvas.buffer_rgba()  # type: ignore[no-untyped-call]
    return Image.frombuffer("RGBA", canvas.get_width_height(), pixels).convert("RGB")


def _encoded(picture: Image.Image, title: str) -> bytes:
    told = PngInfo()
    told.add_text("Title", title)
    buffer = io.BytesIO()
    _with_few_colours(picture).save(buffer, format="png", pnginfo=told)
    return buffer.getvalue()


def _with_few_colours(picture: Image.Image) -> Image.Image:
    """`picture` with a palette: its own commonest shades, and those that must stay what they are."""
    own = COLOURS_OF_A_PICTURE - len(_KEPT)
    shades = (picture.quantize(own).getpalette() or [])[: 3 * own]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*shades, *(part for colour in _KEPT for part in ImageColor.getrgb(colour))])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG picture in pixels."""
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


def save(figure: Figure, folder: Path, name: str) -> bytes:
    """Write the figure as PNG and SVG; return the PNG."""
    # Beside each other: to find the colours of a picture takes long, and not Python's lock.
    with ThreadPoolExecutor(1) as beside:
        encoding = beside.submit(_encoded, _pixels(figure), str(figure.get_label()))
        with styled():
            # Everything has its place now; finding it again would take as long.
            figure.set_layout_engine(None)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    picture = encoding.result()
    (folder / f"{name}.png").write_bytes(picture)
    return picture
