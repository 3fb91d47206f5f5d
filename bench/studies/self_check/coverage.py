"""How often the 95 % interval of a ratio has the truth in it: on simulated runs, whose truth is known.

A simulated machine is faster and slower by turns: it drifts over the whole run, and what it is at one moment
it still is a little later (autocorrelation). Servers differ a little from start to start. A run goes over it
as a real one does, in rounds or in blocks of a random order, and is compared as a real one is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy  # which loads `scipy.signal` when that is used

from bench.model.documents import ShownTable
from bench.stats.comparison import Field, Ratio, compare_counts, compare_unpaired

RUNS = 2000
"""Simulated runs of each design: the coverage is then known to about one percent."""
HELD = (0.93, 0.97)
"""What an interval of 95 % is held to."""

Floats = npt.NDArray[np.float64]
# Together, so that a million steps of a machine at most are in memory at once.
_BATCH = 100
# Configurations are this much apart, on the logarithm: what is covered is never 1 by chance alone.
_STEP = 0.05


@dataclass(frozen=True)
class Design:
    """What is simulated. All sizes are standard deviations of logarithms, 0.01 being 1 %.

    Each of the `rounds` of a repeat loads every configuration once, in a random order: one round is a block
    plan, many are a rotation. `drift` is how much faster the machine is at the end of a run than at its
    beginning, `wander` how much it varies besides, `memory` the correlation of two windows in a row. `start`
    is what a server differs by from start to start, the first configuration by `uneven` times that; `window`
    is what nobody else shares of each window.
    """

    words: str
    configurations: int
    repeats: int
    rounds: int = 1
    drift: float = 0.2
    wander: float = 0.05
    memory: float = 0.9
    start: float = 0.01
    uneven: float = 1.0
    window: float = 0.02

    def figures(self, chance: np.random.Generator, runs: int) -> Floats:
        """Logarithms of what configurations reach: an axis each for runs, repeats and configurations."""
        shape = (runs, self.repeats, self.rounds, self.configurations)
        machine = self._machine(chance, runs).reshape(shape)
        # Which window of its round each configuration has.
        places = chance.random(shape).argsort(axis=-1)
        windows = np.take_along_axis(machine, places, -1) + chance.normal(0, self.window, shape)
        starts = chance.normal(0, self.start, (runs, self.repeats, self.configurations))
        starts[..., 0] *= self.uneven
        served: Floats = (
            np.log(np.exp(windows).mean(axis=2)) + starts + _STEP * np.arange(self.configurations)
        )
        return served

    def _machine(self, chance: np.random.Generator, runs: int) -> Floats:
        """How fast the machine is in each window of each run, one after the other."""
        length = self.repeats * self.rounds * self.configurations
        steps = chance.normal(0, self.wander * np.sqrt(1 - self.memory**2), (runs, length))
        steps[:, 0] = chance.normal(0, self.wander, runs)
        course: Floats = scipy.signal.lfilter([1.0], [1.0, -self.memory], steps, axis=1)
        return course + self.drift * np.linspace(0, 1, length)


DESIGNS = (
    Design("rotation of eight, five sittings", 8, 5, rounds=30),
    Design("rotation of eight, ten sittings", 8, 10, rounds=30),
    Design("rotation of three, five sittings", 3, 5, rounds=30),
    Design("rotation of two, five sittings", 2, 5, rounds=30),
    Design("rotation of 48, five sittings", 48, 5, rounds=10),
    Design("rotation of eight on a steady machine", 8, 5, rounds=30, drift=0, wander=0),
    Design("rotation of eight on one that wanders far", 8, 5, rounds=30, drift=1, wander=0.3, memory=0.99),
    Design("blocks of eight, three repeats", 8, 3),
    Design("blocks of eight, five repeats", 8, 5),
    Design("blocks of two, five repeats", 2, 5),
)


def _uneven(design: Design, times: float) -> Design:
    """The same, with a first configuration that scatters more from start to start than the others."""
    return replace(design, words=f"{design.words}, one at {times:g}x", start=0.03, uneven=times)


UNEVEN = tuple(_uneven(DESIGNS[number], 2.0) for number in (0, 1, 2, 4))
# Where its own scatter is not known well enough, or that of all is mostly its.
WORSE = (_uneven(DESIGNS[0], 4.0), _uneven(DESIGNS[7], 2.0))


@dataclass(frozen=True)
class Covered:
    """Of how many intervals how many had the truth in them."""

    words: str
    intervals: int
    covered: int
    width: float
    """The median of their half widths, as a share."""

    @property
    def share(self) -> float:
        return self.covered / self.intervals

    @property
    def held(self) -> bool:
        """Whether it is what an interval of 95 % is held to."""
        return HELD[0] <= self.share <= HELD[1]


def coverage(design: Design, runs: int, seed: int) -> Covered:
    """Compare every second configuration with the next one, in so many runs."""
    return _covered(design.words, _pairs(design, runs, seed, range(0, design.configurations - 1, 2)))


def coverage_of_uneven(design: Design, runs: int, seed: int) -> tuple[Covered, Covered]:
    """The same of the pair with the configuration that scatters more, and of the pairs without it."""
    first = _pairs(design, 4 * runs, seed, range(1))
    others = _pairs(design, runs, seed, range(1, design.configurations - 1, 2))
    return _covered(f"{design.words}: its ratios", first), _covered(f"{design.words}: other ratios", others)


def _pairs(design: Design, runs: int, seed: int, firsts: Sequence[int]) -> Iterator[tuple[Ratio, float]]:
    """The ratios of configurations and the next ones, and what they are in truth."""
    chance = np.random.default_rng(seed)
    for begin in range(0, runs, _BATCH):
        for values in np.exp(design.figures(chance, min(_BATCH, runs - begin))):
            field = Field(pd.DataFrame(values, columns=list(map(str, range(design.configurations)))))
            for number in firsts:
                yield field.compare(str(number + 1), str(number)), float(np.exp(_STEP))


def coverage_of_runs(repeats: int, runs: int, seed: int, *, apart: float = 0.0) -> Covered:
    """Compare two runs of the same, `apart` in the hours between which the machine has become another."""
    chance = np.random.default_rng(seed)

    def ratios() -> Iterator[tuple[Ratio, float]]:
        for _ in range(runs):
            one, other = np.exp(chance.normal(chance.normal(0, apart, (2, 1)), 0.02, (2, repeats)))
            yield compare_unpaired(one, other), 1.0

    words = f"two runs of {repeats} repeats" + (f", the machine {apart:.0%} another" if apart else "")
    return _covered(words, ratios())


def coverage_of_counts(one: float, other: float, runs: int, seed: int, *, clusters: float = 1.0) -> Covered:
    """Compare counts at twenty occasions of either side, by their means; `clusters`: variance over mean."""
    chance = np.random.default_rng(seed)

    def drawn(mean: float) -> npt.NDArray[np.int64]:
        if clusters == 1:
            return chance.poisson(mean, 20)
        return chance.negative_binomial(mean / (clusters - 1), 1 / clusters, 20)

    found = ((compare_counts(drawn(one), drawn(other)), one / other) for _ in range(runs))
    words = f"losses, {one:g} and {other:g} at each of 20 replacements"
    clustered = f", in clusters (variance {clusters:g} times the mean)" if clusters > 1 else ""
    return _covered(
        words + clustered, (each for each in found if each[0].rounds and each[0].low == each[0].low)
    )


def _covered(words: str, found: Iterator[tuple[Ratio, float]]) -> Covered:
    ratios = list(found)
    known = [ratio for ratio, _ in ratios if ratio.ratio > 0 and np.isfinite(ratio.high)]
    widths = [ratio.high / ratio.ratio - 1 for ratio in known]
    covered = sum(ratio.low <= truth <= ratio.high for ratio, truth in ratios)
    return Covered(words, len(ratios), covered, float(np.median(widths)))


def measured(runs: int, seed: int) -> tuple[list[Covered], list[Covered]]:
    """The coverage of what is held to `HELD`, and of what is not, because it cannot be or need not be."""
    held = [coverage(design, runs, seed) for design in DESIGNS]
    held += [each for design in UNEVEN for each in coverage_of_uneven(design, runs, seed)]
    held += [coverage_of_runs(repeats, 4 * runs, seed) for repeats in (3, 5)]
    beside = [each for design in WORSE for each in coverage_of_uneven(design, runs, seed)]
    beside += [
        coverage_of_counts(2, 3, runs, seed),
        coverage_of_counts(0.2, 0.3, runs, seed),
        coverage_of_counts(2, 3, runs, seed, clusters=3),
        coverage_of_runs(5, runs, seed, apart=0.02),
    ]
    return held, beside


def tables(held: Sequence[Covered], beside: Sequence[Covered]) -> list[ShownTable]:
    """What was found, the one below the other."""
    headings = ["simulated", "intervals", "with the truth in them", "usual half width"]

    def rows(found: Sequence[Covered]) -> list[list[str]]:
        return [
            [each.words, f"{each.intervals:,}", f"{each.share:.1%}", f"±{each.width:.1%}"] for each in found
        ]

    low, high = HELD
    return [
        ShownTable("Ratios", headings, rows(held), [f"Each must be between {low:.0%} and {high:.0%}."]),
        ShownTable("Where the method's assumptions do not hold, and counts", headings, rows(beside)),
    ]
