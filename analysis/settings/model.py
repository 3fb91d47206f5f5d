"""What is known of a setting: each of its measures, what it is worth, and what became of what people say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from analysis.words import counted, figures, listed
from bench.model.records.run import Variant
from bench.model.requirements import First
from bench.stats.comparison import MATERIAL, Ratio

Measure = Literal[
    "throughput", "cpu_us", "p99", "pss_bytes", "lost", "start", "stall", "overlap", "cpu_replacing",
    "lost_pause", "lost_burst", "p99_burst", "p99_overload", "answers_503",
]  # fmt: skip
Fate = Literal["worth it", "makes no difference", "costs", "not shown"]
# In the order in which settings are told.
FATES: tuple[Fate, ...] = ("worth it", "makes no difference", "not shown", "costs")
ClaimFate = Literal["holds", "holds in part", "does not hold", "not shown"]


@dataclass(frozen=True)
class About:
    """A measure in words: `head` of its column, `what` in a sentence, and what a variant `expects` of it.

    `none` is said where it counts something that neither server had, at how many `occasions`. Those
    `of_connections` are known of few variants each.
    """

    head: str
    what: str
    expects: str
    more_is_better: bool = False
    none: str = ""
    occasions: str = "replacements"
    of_connections: bool = False


MEASURES: dict[Measure, About] = {
    "throughput": About("requests/s", "the requests per second", "throughput", more_is_better=True),
    "cpu_us": About("CPU/request", "the CPU time per request", "cpu"),
    "p99": About("p99", "the p99", "tail"),
    "pss_bytes": About("PSS", "the memory", "memory"),
    "lost": About(
        "lost/recycle", "the requests lost per replaced worker", "losses", none="neither lost a request"
    ),
    "start": About("worker start", "the time in which a new worker is ready", "start"),
    "stall": About("stall", "the longest time without an answer at a replacement", "stall"),
    "overlap": About(
        "overlapping", "the share of replacements that overlap another", "overlap",
        none="no two replacements overlapped on either side",
    ),
    "cpu_replacing": About(
        "CPU/request, replacing", "the CPU time per request while workers are replaced", "replacing"
    ),
    "lost_pause": About(
        "lost/pause", "the requests lost per pause around the keep-alive", "pauses",
        none="neither lost a request", occasions="pauses", of_connections=True,
    ),
    "lost_burst": About("lost/burst", "the requests lost per burst", "bursts", of_connections=True),
    "p99_burst": About("p99 of bursts", "the p99 of bursts", "bursts", of_connections=True),
    "p99_overload": About("p99 in overload", "the p99 in overload", "overload", of_connections=True),
    "answers_503": About(
        "503 in overload", "the answers with 503 in overload", "overload", of_connections=True
    ),
}  # fmt: skip


# By which of them a setting is chosen, by what comes first in a verdict.
OF_FIRST: dict[First, tuple[Measure, ...]] = {
    "throughput": ("throughput", "cpu_us"),
    "memory": ("pss_bytes",),
    "tail": ("p99",),
}
# What clients lose, which nothing that comes first makes up for.
LOSSES: tuple[Measure, ...] = ("lost", "lost_pause", "lost_burst", "answers_503")


@dataclass(frozen=True)
class Setting:
    """One measure of a variant, as `ratio` to its parent, and what that says of it alone.

    `expected` says whether the variant is expected to change it: its fate then decides what the setting is
    worth. Where neither lost a request, or had replacements that overlap, there is no ratio (NaN). Where it
    is over several loads, `loads` has that of each, by its scenario.
    """

    variant: str
    parent: str
    varies: str
    measure: Measure
    ratio: Ratio
    expected: bool
    loads: tuple[tuple[str, Ratio], ...] = ()

    @property
    def fate(self) -> Fate:
        """Better or worse where the whole interval is beyond `MATERIAL`, no different where it is within."""
        if self.ratio.within(MATERIAL):
            return "makes no difference"
        if not self.ratio.beyond(MATERIAL):
            return "not shown"
        more = self.ratio.low > MATERIAL
        return "worth it" if more == MEASURES[self.measure].more_is_better else "costs"

    @property
    def gain(self) -> float:
        """How many times as good as the parent it is on average; NaN where unknown."""
        ratio = self.ratio.ratio
        if MEASURES[self.measure].more_is_better:
            return ratio
        return math.inf if ratio == 0 else 1 / ratio

    @property
    def gains(self) -> tuple[float, float, float]:
        """`gain` with the bounds of its 95 % interval, which are NaN where there is none, or infinite."""
        if MEASURES[self.measure].more_is_better:
            return self.gain, self.ratio.low, self.ratio.high
        low, high = (math.inf if end == 0 else 1 / end for end in (self.ratio.high, self.ratio.low))
        return self.gain, low, high

    @property
    def size(self) -> float:
        """By how much it is better or worse, on a logarithm; 0 where unknown."""
        if math.isnan(self.gain):
            return 0.0
        return math.inf if self.gain in (0, math.inf) else abs(math.log(self.gain))

    @property
    def text(self) -> str:
        """The ratio in a sentence: "0.676x (0.65 to 0.703) the requests per second"."""
        about = MEASURES[self.measure]
        if math.isnan(self.ratio.ratio):
            return f"{about.none} in {self.ratio.rounds:,} {about.occasions} or more"
        return f"{self._times} {about.what}"

    @property
    def _times(self) -> str:
        """The ratio; where loads certainly differ, those of the two ends: their mean is true of none."""
        ends = sorted(self.loads, key=lambda load: load[1].ratio)
        if not ends or not ends[0][1].high < ends[-1][1].low:
            return times(self.ratio)
        (least, low), (most, high) = ends[0], ends[-1]
        return f"{times(low)} in {least} to {times(high)} in {most}"


def times(ratio: Ratio) -> str:
    """A ratio with its interval, "0.676x (0.65 to 0.703)"; an infinite one by its lower bound."""
    known = not (math.isinf(ratio.ratio) or math.isnan(ratio.low))
    return times_alone(ratio) + (f" ({figures(ratio.low)} to {figures(ratio.high)})" if known else "")


def times_alone(ratio: Ratio) -> str:
    """The same without the interval: "0.676x"."""
    return f"more than {figures(ratio.low)}x" if math.isinf(ratio.ratio) else f"{figures(ratio.ratio)}x"


@dataclass(frozen=True)
class Judged:
    """A variant, each of its measures that is known, and what they come to.

    `broken` says why it does not serve as its parent does, which is a cost whatever else was measured;
    `unmeasured` why nothing was.
    """

    name: str
    facts: Variant
    measured: tuple[Setting, ...]
    broken: str | None = None
    unmeasured: str | None = None

    @property
    def parent(self) -> str:
        return self.facts.of

    @property
    def expected(self) -> list[Setting]:
        """The measures that it is expected to change."""
        return [each for each in self.measured if each.expected]

    @property
    def lacking(self) -> list[str]:
        """What it is expected to change and nothing tells, by the heads of the measures."""
        known = {MEASURES[each.measure].expects for each in self.expected}
        if "cpu" in known:
            known.add("throughput")  # which nothing but a saturated server shows
        return [about.head for about in MEASURES.values() if about.expects in {*self.facts.expects} - known]

    @property
    def fate(self) -> Fate:
        """Worth it: better in something that it is expected to change, and worse in nothing of that.

        What it costs elsewhere is told beside a gain, and decides where there is none.
        """
        fates = {each.fate for each in self.expected}
        if self.broken or "costs" in fates:
            return "costs"
        if "worth it" in fates:
            return "worth it"
        if any(each.fate == "costs" for each in self.measured):
            return "costs"
        same = fates == {"makes no difference"} and not self.lacking
        return "makes no difference" if same else "not shown"

    def chosen_for(self, first: First | None) -> Setting | None:
        """What a command has it for: its largest gain in what comes first, else any that makes it worth it.

        None where a command should not have it: it is worth it in nothing, or worse in what comes first. In
        what comes first it may be better and cost something else, but no requests. `first` is None where
        nobody says what comes first, so that its fate decides.
        """
        gains = [each for each in self.expected if each.fate == "worth it"] if self.fate == "worth it" else []
        if first is not None:
            decides = [each for each in self.measured if each.measure in OF_FIRST[first]]
            lossy = any(each.fate == "costs" for each in self.measured if each.measure in LOSSES)
            if self.broken or lossy or any(each.fate == "costs" for each in decides):
                return None
            gains = [each for each in decides if each.fate == "worth it"] or gains
        return max(gains, key=lambda each: each.size, default=None)

    @property
    def claim(self) -> ClaimFate:
        """What became of what people say of it, by the measures that it is about.

        Answers of 503 are how a limit works, and no part of what it is said to be good for.
        """
        fates = {each.fate for each in self.expected if each.measure != "answers_503"} | (
            {"costs"} if self.broken else set()
        )
        better, worse = "worth it" in fates, "costs" in fates
        if better and worse:
            return "does not hold" if self.facts.says == "no difference" else "holds in part"
        if not better and not worse and (fates != {"makes no difference"} or self.lacking):
            return "not shown"
        found = "better" if better else "worse" if worse else "no difference"
        return "holds" if found == self.facts.says else "does not hold"

    @property
    def decisive(self) -> Setting | None:
        """The measure that decides: the largest gain or loss; of no known difference the first expected."""
        if self.fate in ("worth it", "costs"):
            told = self.expected if self.fate == "worth it" else self.measured
            deciding = [each for each in told if each.fate == self.fate]
            return max(deciding, key=lambda each: each.size, default=None)
        return next(iter(self.expected or self.measured), None)

    @property
    def figure(self) -> str:
        """What was measured, in a sentence."""
        told = [each.text for each in self.measured if each.expected or each.fate in ("worth it", "costs")]
        lacking = [f"{head} was not measured" for head in self.lacking]
        parts = [self.broken] if self.broken else [*told, *lacking]
        return f"{self.facts.change}: {self.unmeasured or '; '.join(parts)}"

    @property
    def remarks(self) -> str:
        """What its row leaves open: what changes, what speaks against its fate, what people say."""
        parts = [f"{self.facts.varies}: {self.facts.change}", self.unmeasured, self.broken]
        for fate, opposite, told in (("costs", "worth it", "better"), ("worth it", "costs", "worse")):
            heads = [MEASURES[each.measure].head for each in self.measured if each.fate == opposite]
            parts += [f"{told} in {listed(heads)}"] if heads and self.fate == fate else []
        silent = self.unmeasured or self.broken
        parts += [f"{listed(self.lacking)} not measured"] if self.lacking and not silent else []
        parts += [f"“{self.facts.claim.rstrip('.')}”: {self.claim}"] if self.facts.claim else []
        return "; ".join(part for part in parts if part)

    def rank(self, first: First | None) -> tuple[int, float]:
        """As `order`, by what comes first: gains in that, then the others."""
        gain = None if first is None else self.chosen_for(first)
        if first is None or gain is None:
            return self.order
        return -int(gain.measure in OF_FIRST[first]), -gain.size

    @property
    def order(self) -> tuple[int, float]:
        """What is worth it first, and the largest gain of these."""
        gain = self.decisive.gain if self.decisive else math.nan
        return FATES.index(self.fate), math.inf if math.isnan(gain) else -gain


@dataclass(frozen=True)
class Settings:
    """All variants of a run with their parents, server by server, of each the best first.

    `alone` says that the run measured nothing else: its settings are then what it is about. `whole` has what
    is worth it together beside the server's plain default, where both were measured.
    """

    judged: tuple[Judged, ...]
    alone: bool = False
    whole: tuple[Judged, ...] = ()

    @cached_property
    def rows(self) -> tuple[Setting, ...]:
        """Every measure of every variant."""
        return tuple(each for judged in self.judged for each in judged.measured)

    @property
    def parents(self) -> list[str]:
        """The servers, in the order of the catalogue."""
        return list(dict.fromkeys(each.parent for each in self.judged))

    @property
    def whole_gains(self) -> list[str]:
        """What is gained over each server's plain default, in sentences."""
        found = []
        for each in self.whole:
            saturated = any(setting.measure == "throughput" for setting in each.measured)
            told = ("throughput" if saturated else "cpu_us", "p99", "pss_bytes")
            texts = [setting.text for setting in each.measured if setting.measure in told]
            what = each.broken or each.unmeasured or (listed(texts) if texts else "nothing that is known")
            found.append(f"The whole gain: {each.name} has {what} of {each.parent}, the plain default.")
        return found

    @property
    def compared(self) -> int:
        """How many intervals there are, so that one knows how many may be beside the truth."""
        return sum(not math.isnan(each.ratio.low) for each in self.rows)

    def of(self, parent: str) -> list[Judged]:
        """The variants of a server."""
        return [each for each in self.judged if each.parent == parent]

    def worth(self, parent: str, first: First | None = None) -> list[str]:
        """The variants that a command should have, the best first (`Judged.chosen_for`).

        Of those that vary the same setting it is only the best; a server's plain default is none of them.
        """
        best: dict[str, str] = {}
        for each in sorted(self.of(parent), key=lambda judged: judged.rank(first)):
            if each.chosen_for(first) is not None and not each.facts.default:
                best.setdefault(each.facts.varies, each.name)
        return list(best.values())

    @property
    def finding(self) -> str:
        """How many settings are worth it, and what the dearest costs, in a sentence."""
        return found(self.judged)


def found(judged: Sequence[Judged]) -> str:
    """What some settings come to: how many have each fate, the largest gain, and the largest loss."""
    if not judged:
        return "No variant was measured beside its parent."
    by_fate = {fate: [each for each in judged if each.fate == fate] for fate in FATES}
    worth, same, open_, dear = by_fate.values()
    parts = []
    if worth:
        parts.append(f"{_verb(worth, 'is', 'are')} worth it, most of all {_named(max(worth, key=_size))}")
    if dear:
        parts.append(f"{_verb(dear, 'costs', 'cost')}, most of all {_named(max(dear, key=_size))}")
    if same:
        parts.append(f"{_verb(same, 'makes', 'make')} no difference")
    if open_:
        parts.append(f"{_verb(open_, 'is', 'are')} not shown")
    whose = listed(list(dict.fromkeys(each.parent for each in judged)))
    return f"Of {counted(len(judged), 'setting')} of {whose} {'; '.join(parts)}."


def _verb(some: Sequence[Judged], one: str, many: str) -> str:
    return f"{len(some)} {one if len(some) == 1 else many}"


def _named(judged: Judged) -> str:
    """A variant with the figure that decides."""
    if judged.decisive is None:
        return f"{judged.name}, because {judged.broken}"
    return f"{judged.name} with {judged.decisive.text}"


def _size(judged: Judged) -> float:
    """By how much it is better or worse; one that does not serve is the worst."""
    return math.inf if judged.decisive is None else judged.decisive.size
