"""What is best over all scenarios that count, by their weights, and how certainly.

Within a repeat, which is one randomised block, a configuration's score is the weighted geometric mean of what
each scenario shows of it: what it delivers or, where that comes first, its memory or p99. Scores are compared
as all figures of the suite are: pairwise within repeats, by their ratio, which is the weighted geometric mean
of the scenarios' ratios (`comparison.rank`). Where the generator both polled and slept there are scores of
each, and what is certain must be so in both.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from analysis.recommend.evidence import Performance
from analysis.words import counted, listed
from bench.model.requirements import RANKED, First, Requirements
from bench.stats.comparison import Field, Ratio

# So many scenarios are named in a sentence.
_FEW = 4


@dataclass(frozen=True)
class Standing:
    """The scores of every configuration that has them in all scenarios that count.

    `scores` is indexed by repeat, a column each; `first` says what they are scores of. `manners` are those in
    each manner of the generator, else the same. `missing` are scenarios that count and were not measured;
    with any of them nothing has a score. `left_out` says why a configuration has none.
    """

    performance: tuple[Performance, ...]
    weights: Mapping[str, float]
    scores: pd.DataFrame
    missing: tuple[str, ...]
    left_out: Mapping[str, str]
    manners: tuple[pd.DataFrame, ...] = ()
    first: First = "throughput"

    @cached_property
    def _field(self) -> Field:
        return Field(self.manners or self.scores)

    def places(self, names: Collection[str], margin: float) -> dict[str, int]:
        """The rank of each of `names` among them: 1 + how many are certainly better by more than `margin`."""
        ranks = self._field.rank(names, higher_is_better=self.more_is_better, margin=1 + margin)
        return {str(name): int(place) for name, place in ranks.items() if not pd.isna(place)}

    def versus(self, one: str, other: str) -> Ratio | None:
        """How many times the score of `other` that of `one` is; None where either is unknown."""
        if one not in self.scores or other not in self.scores:
            return None
        ratio = self._field.compare(one, other)
        return None if math.isnan(ratio.ratio) else ratio

    def merit(self, name: str) -> float:
        """A configuration's mean score to sort by, its inverse where less is better; 0 where it has none."""
        mean = float(self.scores[name].mean()) if name in self.scores else 0.0
        return mean if self.more_is_better or mean == 0 else 1 / mean

    @property
    def more_is_better(self) -> bool:
        """Whether a higher score is the better one."""
        return self.first == "throughput"

    @property
    def noun(self) -> str:
        """What configurations are ranked by, in a word."""
        return RANKED[self.first]

    @property
    def what(self) -> str:
        """What is compared, in words."""
        if self.first != "throughput":
            return self.noun
        kinds = {each.metric for each in self.performance}
        return f"requests per {kinds.pop()}" if len(kinds) == 1 else "requests"

    @property
    def where(self) -> str:
        """The scenarios and their weights, in words; many that weigh alike are only counted."""
        even = len(set(self.weights.values())) < 2
        if even and len(self.weights) > _FEW:
            return f"all {len(self.weights)} scenarios"
        return listed([name if even else f"{name} ({weight:g})" for name, weight in self.weights.items()])

    @property
    def method(self) -> str:
        """How places come about."""
        if not self.performance:
            return f"Nothing is ranked: no scenario's {self.noun} was measured."
        loads = "; ".join(
            f"{_load(each)}, {counted(each.workers, 'worker')}, weight {self.weights[each.scenario]:g}"
            for each in self.performance
        )
        return (
            f"{self.noun.capitalize()} is the weighted geometric mean over scenarios ({loads}), compared "
            "pairwise within the repeats. Configurations tie where none is certainly better by more than the "
            "margin."
        )


def standing(performance: Sequence[Performance], asked: Requirements, server_cpus: int | None) -> Standing:
    """Score all configurations over the scenarios that `asked` gives weights, over all evenly without.

    `performance` has what each scenario shows of what comes first. A scenario that was measured with several
    numbers of workers counts with `asked.workers` or, where that was not measured or not given, with the most
    that have a CPU each, else the fewest.
    """
    by_name: dict[str, list[Performance]] = {}
    for each in performance:
        by_name.setdefault(each.scenario, []).append(each)
    weights = asked.weights or dict.fromkeys(by_name, 1.0)
    missing = tuple(name for name in weights if name not in by_name)
    chosen = tuple(_with_workers(by_name[name], asked, server_cpus) for name in weights if name in by_name)
    left_out = {name: why for each in reversed(chosen) for name, why in each.left_out.items()}
    scores, *manners = (
        pd.DataFrame({} if missing else _scores(tables, weights), dtype=float) for tables in _each(chosen)
    )
    return Standing(chosen, weights, scores, missing, left_out, tuple(manners), asked.first)


def _load(table: Performance) -> str:
    """What a scenario shows, and under which load."""
    if table.rate_per_s is not None:
        return f"{table.scenario}: {table.metric} from the schedule at {table.rate_per_s:,.0f} requests/s"
    unit = table.metric if table.metric == "MiB" else f"requests per {table.metric}"
    return f"{table.scenario}: {unit} at {counted(table.users, 'user')}"


def _each(chosen: tuple[Performance, ...]) -> Iterator[tuple[Performance, ...]]:
    """The tables as they are, then with the values of each manner of the generator, where any has several.

    One that was measured in a single manner has the same values in both.
    """
    yield chosen
    for number in range(max((len(each.manners) for each in chosen), default=0)):
        yield tuple(replace(each, values=each.manners[number]) if each.manners else each for each in chosen)


def _with_workers(tables: list[Performance], asked: Requirements, server_cpus: int | None) -> Performance:
    def fit(table: Performance) -> tuple[bool, bool, int]:
        has_cpus = table.workers <= (server_cpus or 1)
        return table.workers == asked.workers, has_cpus, table.workers if has_cpus else -table.workers

    return max(tables, key=fit)


def _scores(chosen: Sequence[Performance], weights: Mapping[str, float]) -> dict[str, dict[int, float]]:
    """For each configuration that all of `chosen` have, the score of each repeat that all of them have."""
    if not chosen:
        return {}
    total = sum(weights[each.scenario] for each in chosen)
    shares = [weights[each.scenario] / total for each in chosen]
    scores: dict[str, dict[int, float]] = {}
    for name in chosen[0].values:
        if not all(name in each.values for each in chosen):
            continue
        repeats = set.intersection(*(set(each.values[name]) for each in chosen))
        scores[name] = {
            repeat: _mean([each.values[name][repeat] for each in chosen], shares)
            for repeat in sorted(repeats)
        }
    return scores


def _mean(values: Sequence[float], shares: Sequence[float]) -> float:
    """The weighted geometric mean; 0 if one of `values` is."""
    if min(values) <= 0:
        return 0.0
    return math.exp(sum(share * math.log(value) for value, share in zip(values, shares, strict=True)))
