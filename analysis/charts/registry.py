"""The charts that there are. A chart is one function in one file of this folder, which registers it there.

Notebooks draw what is registered for a section. What they drew is listed in the report's folder; page and
documents take names, titles and order from that list.
"""

import json
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import StringConstraints, TypeAdapter, ValidationError

from bench.model.errors import UserError
from bench.model.files import read_text, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.study import Study

Section = Literal[
    "What each setting is worth",
    "The lives of the workers",
    "Memory with and without recycling",
    "What recycling costs",
    "How many requests a worker serves",
    "A worker killed, a server stopped",
    "A deploy under load",
    "All rankings beside each other",
    "How much each configuration serves",
    "How long an answer takes",
    "What an open loop shows",
    "What a request costs",
    "What lasts",
]
# Those that the page shows before its rankings, and those that follow them.
BEFORE: tuple[Section, ...] = (
    "What each setting is worth",
    "The lives of the workers", "Memory with and without recycling", "What recycling costs",
    "How many requests a worker serves", "A worker killed, a server stopped", "A deploy under load",
    "All rankings beside each other",
)  # fmt: skip
AFTER: tuple[Section, ...] = (
    "How much each configuration serves", "How long an answer takes", "What an open loop shows",
    "What a request costs",
)  # fmt: skip
LIST = "charts.json"

# One figure, or several by their names; None or nothing where the run has nothing to show.
Draw = Callable[["Study"], "Figure | None"] | Callable[["Study"], "dict[str, Figure]"]


@dataclass(frozen=True)
class Chart:
    """A chart: its section on the page, and what the notebook says before it.

    The page opens with the drawn chart of the lowest ``lead``; those without one never open it. ``caption``
    is what documents call the first of its figures; they show none without it.
    """

    draw: Draw
    section: Section
    heading: str
    about: str
    lead: int | None
    caption: str

    def figures(self, study: "Study") -> dict[str, "Figure"]:
        """The figures of a run by their names, which are those of their files."""
        drawn = self.draw(study)
        if drawn is None:
            return {}
        return drawn if isinstance(drawn, dict) else {self.draw.__name__: drawn}


_CHARTS: list[Chart] = []
Drawing = TypeVar("Drawing", bound=Draw)


def chart(
    section: Section, *, heading: str = "", about: str = "", lead: int | None = None, caption: str = ""
) -> Callable[[Drawing], Drawing]:
    """Register a function of a study as a chart; see `Chart`."""

    def register(draw: Drawing) -> Drawing:
        _CHARTS.append(Chart(draw, section, heading or section, about, lead, caption))
        return draw

    return register


def load() -> None:
    """Import the modules that register charts."""
    for module in sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])):
        import_module(f"analysis.charts.{module}")


def charts(section: Section) -> Iterator[Chart]:
    """The charts of a section, in the order of the page."""
    load()
    yield from (each for each in _CHARTS if each.section == section)


# It leads to no other folder than that of the report.
FileName = Annotated[str, StringConstraints(pattern=r"^[\w-][\w.-]*$")]


@dataclass(frozen=True)
class Drawn:
    """A figure that was drawn: the name of its files, its title (what it shows), and its size in pixels."""

    name: FileName
    title: str
    width: int
    height: int
    section: Section
    lead: int | None
    caption: str


_DRAWN = TypeAdapter(list[Drawn])


def record(folder: Path, drawn: Drawn) -> None:
    """Add a figure to the list of those in a report's folder."""
    listed = [asdict(each) for each in (*read(folder), drawn)]
    (folder / LIST).write_text(json.dumps(listed, indent=1), encoding="utf-8")


def read(folder: Path) -> list[Drawn]:
    """The figures in a report's folder, in the order in which they were drawn; none without a list.

    Raises:
        UserError: the list is damaged.
    """
    path = folder / LIST
    if not path.exists():
        return []
    try:
        return _DRAWN.validate_json(read_text(path, folder))
    except ValidationError as error:
        said = shortened(error.errors()[0]["msg"])
        raise UserError(f"{path} is not as this suite writes it ({said}); make the report again") from error


def leading(drawn: list[Drawn]) -> Drawn | None:
    """The figure that a page opens with: the answer as a picture; None where none of them can be that."""
    able = [(each.lead, place) for place, each in enumerate(drawn) if each.lead is not None]
    return drawn[min(able)[1]] if able else None


def captions(drawn: list[Drawn]) -> dict[str, str]:
    """The figures that documents show, by their names, with their captions.

    Of the charts that can open a page only the one that does, of each other one the first figure.
    """
    lead = leading(drawn)
    first: dict[str, Drawn] = {}
    for each in drawn:
        if each.caption and (each.lead is None or each is lead):
            first.setdefault(each.caption, each)
    shown = sorted(first.values(), key=lambda each: each is not lead)
    return {each.name: each.caption for each in shown}
