"""How precise a rotation is so far, and whether another sitting is worth its time."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from bench.model.cells import Cell
from bench.model.plans.rotation import RotationTable
from bench.model.thresholds import ERROR_RATE, ranking_metric


class Place(NamedTuple):
    """What is ranked by itself: a scenario with so many users and workers."""

    scenario: str
    users: int
    workers: int

    def __str__(self) -> str:
        return f"{self.scenario}, {self.users} user{'s' if self.users > 1 else ''}"


class Figure(NamedTuple):
    """What a configuration did in one sitting; ``busy`` is the share of its CPUs that it used."""

    place: Place
    configuration: str
    sitting: int
    throughput: float
    cpu_us: float | None
    busy: float | None
    error_rate: float


@dataclass(frozen=True)
class Widest:
    """The widest interval that decides: how far its farther bound is from the ratio, as a share of it.

    The ratio is that of ``configuration`` to the ``reference``.
    """

    share: float
    configuration: str
    reference: str
    place: Place

    def __str__(self) -> str:
        return f"±{self.share:.1%} ({self.configuration} to {self.reference} in {self.place})"


def figure(cell: Cell, record: dict[str, Any]) -> Figure | None:
    """What a cell's ``cell.json`` has of it; ``None`` where it failed or nothing was served."""
    measured = record["measured"]
    if record["status"] != "finished" or not measured["requests"] or not measured["loaded_s"]:
        return None
    requests, seconds, cpu_s = measured["requests"], measured["loaded_s"], measured["cpu_s"]
    cpus = record["server"]["cpus"]
    assert cell.workers is not None
    return Figure(
        Place(cell.scenario, cell.load.users, cell.workers),
        cell.configuration,
        cell.repeat,
        requests / seconds,
        cpu_s / requests * 1e6 if cpu_s else None,
        cpu_s / (seconds * len(cpus)) if cpu_s is not None and cpus else None,
        measured["failures"] / (requests + measured["failures"]),
    )


def widest(figures: Iterable[Figure], parents: Mapping[str, str] | None = None) -> Widest | None:
    """The widest interval of the ratios of configurations to the best; ``None`` without any.

    With ``parents``, of variants, it is that of the ratios of these to what they are variants of. At each
    place they are compared by what ranks them there: throughput where every server was saturated, else CPU
    time per request.
    """
    at: dict[Place, list[Figure]] = {}
    for each in figures:
        at.setdefault(each.place, []).append(each)
    found = [each for place, of_place in at.items() for each in _at(place, of_place, parents)]
    return max(found, key=lambda each: each.share, default=None)


def _at(place: Place, figures: Sequence[Figure], parents: Mapping[str, str] | None) -> Iterator[Widest]:
    # They take a second to import, which commands that only list something need not.
    import pandas as pd

    from bench.stats.comparison import Field, mean

    rows = pd.DataFrame(figures, columns=Figure._fields)
    errors = rows.groupby("configuration")["error_rate"].mean()
    sound = rows[rows["configuration"].isin(errors.index[errors <= ERROR_RATE])]
    by = ranking_metric(sound.groupby("configuration")["busy"].mean())
    values = sound.pivot(index="sitting", columns="configuration", values=by).astype(float)
    means = values.apply(mean).dropna()
    if len(means) < 2:
        return
    field = Field(values[means.index])
    if parents is None:
        best = str(means.idxmax() if by == "throughput" else means.idxmin())
        parents = {str(name): best for name in means.index.drop(best)}
    for name, reference in parents.items():
        if not {name, reference} <= set(means.index):
            continue
        versus = field.compare(name, reference)
        if versus.rounds > 1:
            share = max(versus.high / versus.ratio, versus.ratio / versus.low) - 1
            yield Widest(float(share), name, reference, place)


Reason = Literal["precise", "limit", "most", "asked"]


@dataclass(frozen=True)
class Standing:
    """How far the sittings of one worker count are; ``expected_s`` is how long another one will take."""

    workers: int
    made: int
    widest: Widest | None
    expected_s: float


def next_or_why_none(table: RotationTable, standings: Sequence[Standing], spent_s: float) -> int | Reason:
    """The worker count that has the next sitting, or why there is none; they take turns.

    ``spent_s`` is how long the rotation took so far.
    """
    if begun := [each for each in standings if each.made < table.sittings]:
        return _fewest(begun)
    if table.precision is None:
        return "asked"
    wide = [each for each in standings if each.widest is not None and each.widest.share > table.precision]
    if not wide:
        return "precise"
    left = [each for each in wide if each.made < table.most_sittings]
    if not left:
        return "most"
    limit_s = table.limit_s
    fitting = [each for each in left if limit_s is None or spent_s + each.expected_s <= limit_s]
    return _fewest(fitting) if fitting else "limit"


def _fewest(standings: Collection[Standing]) -> int:
    return min(standings, key=lambda each: each.made).workers


def expected(table: RotationTable, standings: Sequence[Standing], spent_s: float) -> dict[int, int]:
    """How many more sittings each worker count is likely to have; intervals shrink with the root of them."""
    certain = {each.workers: max(0, table.sittings - each.made) for each in standings}
    seconds = {each.workers: each.expected_s for each in standings}
    left_s = math.inf if table.limit_s is None else table.limit_s - spent_s
    left_s -= sum(seconds[workers] * count for workers, count in certain.items())
    wanted = {each.workers: _more(table, each) - certain[each.workers] for each in standings}
    likely = dict(certain)
    while any(count > 0 for count in wanted.values()):
        for workers in wanted:
            fits = left_s >= seconds[workers]
            wanted[workers] = wanted[workers] - 1 if fits else 0
            if fits and wanted[workers] >= 0:
                left_s -= seconds[workers]
                likely[workers] += 1
    return likely


def _more(table: RotationTable, standing: Standing) -> int:
    if table.precision is None or standing.widest is None:
        return 0
    needed = math.ceil(standing.made * (standing.widest.share / table.precision) ** 2)
    return min(needed, table.most_sittings) - standing.made
