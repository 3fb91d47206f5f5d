"""When a rotation loads which target: drawn ahead from a seed, the same in every process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, NamedTuple

LEAST_SLICE_S: Final = 0.05
MOST_SLICE_S: Final = 1.0
LATENCIES_PER_SLICE: Final = 5
"""A window lasts as long as so many requests to the usual target, the median of all.

Its edges favour none, however slow: what was begun in the warm-up and ends in the window is counted, as
what is begun in the window and ends behind it is not. Longer windows would be fewer, and it is many turns
that make a rotation narrow; shorter ones would leave less than 70 % of its time for load, by the two numbers
below.
"""
LEAST_REST_S: Final = 0.01
WARM_LATENCIES: Final = 1.5
MOST_WARM_S: Final = 1.0
GAP_LATENCIES: Final = 2.5
"""What is in flight when a window ends takes one latency where the server is busy, and has a tail."""
MOST_GAP_S: Final = 2.0
LEAST_ROUNDS: Final = 2


class Planned(NamedTuple):
    """A slice as it is to be. Times are those of the engine's clock, in ns.

    The load begins at `open_ns`, the window at `start_ns`; it ends at `end_ns`, when no more may be sent.
    The next slice may begin at `over_ns`.
    """

    round: int
    place: int
    target: str
    manner: str
    open_ns: int
    start_ns: int
    end_ns: int
    over_ns: int

    def placed(self, start_ns: int, end_ns: int, to_unix_ns: int) -> dict[str, Any]:
        """What a `Slice` has of its place and times; its window was from `start_ns` to `end_ns` in fact.

        `to_unix_ns` is what Unix time is ahead of the engine's clock.
        """
        times = {
            "planned_start": self.start_ns,
            "planned_end": self.end_ns,
            "start": start_ns,
            "end": end_ns,
        }
        return {
            "round": self.round,
            "place": self.place,
            "target": self.target,
            "manner": self.manner,
            **{name: (moment + to_unix_ns) / 1e9 for name, moment in times.items()},
        }


@dataclass(frozen=True)
class Timetable:
    """Which target has its slice when. Each round takes the next of `manners`, over and over.

    `warm_s` and `gap_s` are by target: one that answers at once need not rest as long as a slow one.
    """

    seed: int
    targets: tuple[str, ...]
    rounds: int
    slice_s: float
    warm_s: Mapping[str, float]
    gap_s: Mapping[str, float]
    manners: tuple[str, ...]

    @classmethod
    def drawn(
        cls,
        seed: int,
        targets: Sequence[str],
        manners: Sequence[str],
        *,
        load_s: float,
        slice_s: float | None,
        usual_s: Mapping[str, float],
    ) -> Timetable:
        """With windows of `load_s` for each target in all; `usual_s` is what a request to each takes."""
        if slice_s is None:
            usual = median(usual_s.values()) if usual_s else 0.0
            slice_s = min(MOST_SLICE_S, max(LEAST_SLICE_S, LATENCIES_PER_SLICE * usual))
        return cls(
            seed=seed,
            targets=tuple(targets),
            rounds=max(LEAST_ROUNDS, round(load_s / slice_s)),
            slice_s=slice_s,
            warm_s=_rests(targets, usual_s, WARM_LATENCIES, MOST_WARM_S),
            gap_s=_rests(targets, usual_s, GAP_LATENCIES, MOST_GAP_S),
            manners=tuple(manners),
        )

    @property
    def length_s(self) -> float:
        """From the first slice's beginning to the last one's end."""
        of_round = (self.warm_s[name] + self.slice_s + self.gap_s[name] for name in self.targets)
        return self.rounds * sum(of_round)

    def slices(self, begin_ns: int) -> Iterator[Planned]:
        """All slices in their order, the first of which opens at `begin_ns`."""
        order = random.Random(self.seed)
        slice_ns, at = round(1e9 * self.slice_s), begin_ns
        for number in range(self.rounds):
            manner = self.manners[number % len(self.manners)]
            for place, target in enumerate(order.sample(self.targets, len(self.targets))):
                start = at + round(1e9 * self.warm_s[target])
                end = start + slice_ns
                over = end + round(1e9 * self.gap_s[target])
                yield Planned(number, place, target, manner, at, start, end, over)
                at = over


def _rests(
    targets: Sequence[str], usual_s: Mapping[str, float], latencies: float, most_s: float
) -> dict[str, float]:
    """As long as so many requests to each target take."""
    return {name: min(most_s, max(LEAST_REST_S, latencies * usual_s.get(name, 0.0))) for name in targets}


def settling_order(seed: int, targets: Sequence[str]) -> list[str]:
    """In which order targets are loaded before the first round: drawn apart from the rounds."""
    return random.Random(f"settle {seed}").sample(targets, len(targets))
