"""What the loads of a run tell of one measure, and how two configurations compare by it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.cells.rotation import columns_of
from bench.stats.comparison import UNKNOWN, Field, Ratio

# A load that fewer than this share of the repeats tell of than of another says too little to be waited for.
ENOUGH = 0.5
_NOTHING = Ratio(UNKNOWN, UNKNOWN, UNKNOWN, 0)


class Figures:
    """A column of cells, load by load: of several loads a repeat's figure is their geometric mean.

    Configurations of a load lend each other some of their scatter (`comparison.Field`). In both manners of
    the generator, where it had two, they are compared in each.
    """

    def __init__(self, loads: Sequence[pd.DataFrame], metric: str, names: Sequence[str] = ()) -> None:
        """`loads` has the cells of each, rows of the summary; `names` what each is called, or nothing."""
        columns = columns_of(pd.concat(loads), metric) if loads else []
        self._names = names
        self._loads = [[_logarithms(load, column) for column in columns] for load in loads]
        self._fields: dict[tuple[int, ...], Field] = {}

    def compare(self, one: str, other: str) -> Ratio:
        """`one` over `other`, paired within the repeats that know both at every load; unknown without any."""
        places = self._places(one, other)
        return self._field(places).compare(one, other) if places else _NOTHING

    def apart(self, one: str, other: str) -> tuple[tuple[str, Ratio], ...]:
        """The same at each load by itself, by its name; none where it is one load, or has no name."""
        places = self._places(one, other)
        if len(places) < 2 or not self._names:
            return ()
        return tuple((self._names[place], self._field((place,)).compare(one, other)) for place in places)

    def _places(self, one: str, other: str) -> tuple[int, ...]:
        """The loads at which enough repeats know both."""
        known = {
            place: len(_both(frames, one, other))
            for place, frames in enumerate(self._loads)
            if all({one, other} <= set(frame.columns) for frame in frames)
        }
        most = max(known.values(), default=0)
        return tuple(place for place, count in known.items() if most and count >= ENOUGH * most)

    def _field(self, places: tuple[int, ...]) -> Field:
        """The configurations by their figures over some loads."""
        if places not in self._fields:
            manners = zip(*(self._loads[place] for place in places), strict=True)
            self._fields[places] = Field([_mean(frames) for frames in manners])
        return self._fields[places]


def _logarithms(load: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row for each repeat, a column for each configuration."""
    wide = load.pivot(index="repeat", columns="configuration", values=column)
    return wide.where(wide > 0).apply(np.log)


def _both(frames: Sequence[pd.DataFrame], one: str, other: str) -> pd.DataFrame:
    """The repeats that know both in every manner."""
    return pd.concat([frame[[one, other]] for frame in frames], axis=1).dropna()


def _mean(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The geometric mean, where every frame has a figure."""
    return (sum(frames[1:], frames[0]) / len(frames)).apply(np.exp)
