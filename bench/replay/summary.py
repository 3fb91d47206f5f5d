"""What the tables and the account of a replay are made from: medians over the repeats, ratios within each."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

from bench.replay.records import Beside, Client, Execution, Figures, Replay, Split, Steps

Series = Mapping[int, float]
"""A figure by repeat; a repeat in which it is unknown is left out."""

# From here on a CPU counts as kept busy. The clients do not begin and end together, and bench itself runs.
NEARLY = 0.85


@dataclass(frozen=True)
class Way:
    """How the old benchmark was executed."""

    split: Split
    client: Client = "process"
    recorded: bool = False

    @property
    def recording(self) -> "Way":
        """The same, recorded."""
        return replace(self, recorded=True)


SPLITS: dict[Split, str] = {"unpinned": "Not pinned", "pinned": "Pinned"}
"""As they are called in sentences."""

UNPINNED, PINNED = Way("unpinned"), Way("pinned")
OWN_CLIENTS = Way("unpinned", "request")


class Ratio(NamedTuple):
    """The median, the lowest and the highest of the ratios within each repeat."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


class Summary:
    """A replay by configuration; those of which nothing was measured are left out."""

    def __init__(self, replay: Replay) -> None:
        self.replay = replay
        measured = {each.configuration for each in replay.executions}
        measured |= {each.configuration for each in replay.beside}
        self.configurations = [name for name in replay.configurations if name in measured]

    def executions(self, configuration: str, way: Way) -> list[Execution]:
        """The executions of a configuration in their order, those with failed requests included."""
        wanted = (configuration, way.split, way.client, way.recorded)
        found = [
            each
            for each in self.replay.executions
            if (each.configuration, each.split, each.client, each.recorded) == wanted
        ]
        return sorted(found, key=lambda each: each.repeat)

    def series(self, configuration: str, way: Way, figure: Callable[[Figures], float | None]) -> Series:
        """A figure of the old benchmark."""
        known = (each for each in self.executions(configuration, way) if each.figures is not None)
        values = {each.repeat: figure(each.figures) for each in known if each.figures is not None}
        return {repeat: value for repeat, value in values.items() if value is not None}

    def medians(self, way: Way, figure: Callable[[Figures], float | None]) -> dict[str, float]:
        """The median of a figure of every configuration that has it."""
        found = {name: middle(self.series(name, way, figure)) for name in self.configurations}
        return {name: value for name, value in found.items() if value is not None}

    def beside(self, configuration: str, figure: Callable[[Beside], float | None]) -> Series:
        """A figure of the suite's own cells."""
        cells = [each for each in self.replay.beside if each.configuration == configuration]
        values = {each.repeat: figure(each) for each in cells}
        return {repeat: value for repeat, value in values.items() if value is not None}

    def medians_beside(self, figure: Callable[[Beside], float | None]) -> dict[str, float]:
        """The median of a figure of the suite's of every configuration that has it."""
        found = {name: middle(self.beside(name, figure)) for name in self.configurations}
        return {name: value for name, value in found.items() if value is not None}

    def cpus_busy(self, way: Way) -> dict[str, float]:
        """How busy the CPUs of the clients were, as a share, by configuration.

        Not pinned, they are the server's as well, and its CPU time is part of it.
        """
        pinned = way.split == "pinned"
        cpus = len(self.replay.cpu_split["generator"] if pinned else self.replay.cpus)
        return self.medians(way, lambda of: (of.clients_busy + (0.0 if pinned else of.server_busy)) / cpus)


def loop(of: Figures) -> float:
    """The mean (ms) that is taken for the old one."""
    return of.means.loop


def of_steps(figure: Callable[[Steps], float | None]) -> Callable[[Figures], float | None]:
    """A figure of the steps; unknown where they were not recorded."""
    return lambda of: None if of.steps is None else figure(of.steps)


def middle(series: Series) -> float | None:
    """The median over the repeats; ``None`` where there is nothing."""
    return median(series.values()) if series else None


def ratio(one: Series, other: Series) -> Ratio | None:
    """The ratio of two figures within each repeat that has both; ``None`` without one."""
    ratios = [one[repeat] / other[repeat] for repeat in one if repeat in other]
    return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None


def span(values: Collection[float], form: str) -> str:
    """The lowest and the highest of some values as text, once where they look the same."""
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"
