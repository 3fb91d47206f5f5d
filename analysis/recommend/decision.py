"""From evidence to a verdict: what meets the requirements, what of that performs best, what is left open."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.recommend import advice, answer, judging
from analysis.recommend.evidence import Evidence, Outcome
from analysis.recommend.standing import Standing, standing
from analysis.recommend.verdict import Candidate, Decision, Judgement, Verdict, Versus
from analysis.words import listed
from bench.model.requirements import Requirements


def decide(evidence: Evidence, asked: Requirements) -> Verdict:
    """The verdict; the same evidence and requirements always give the same."""
    standings = standing(evidence.ranked_by(asked.first), asked, evidence.server_cpus)
    judged = {known.name: judging.judge(known, asked) for known in evidence.configurations}
    good: Outcome = "passed"
    passing = _with_outcome(good, judged)
    if not passing:
        good = "likely"
        passing = _with_outcome(good, judged)
    places = standings.places(passing, asked.margin)
    recommended = _recommended(passing, places)
    field = _Field(standings, places, recommended, good)
    candidates = [field.candidate(name, judgements) for name, judgements in judged.items()]
    candidates.sort(key=field.order)
    commands = [
        advice.command(known, asked) for known in evidence.configurations if known.name in recommended
    ]
    grounds = advice.Grounds(evidence, asked, standings, tuple(candidates), tuple(recommended))
    decision: Decision = "none" if not recommended else "tie" if len(recommended) > 1 else "recommended"
    return Verdict(
        decision=decision,
        provisional=bool(recommended) and good == "likely",
        finding=" ".join(answer.finding(evidence, candidates, recommended, standings, good)),
        sure=tuple(answer.sure(evidence, candidates, recommended, standings)),
        longer=tuple(answer.longer(evidence, recommended, asked)),
        recommended=tuple(recommended),
        commands=tuple(each for each in commands if each is not None),
        caveats=tuple(_caveats(candidates, recommended)),
        candidates=tuple(candidates),
        method=standings.method,
        not_covered=tuple(advice.not_covered(grounds)),
        measure=tuple(advice.measure(grounds)),
        requirements=asked,
        runs=evidence.runs,
    )


def _with_outcome(outcome: Outcome, judged: Mapping[str, tuple[Judgement, ...]]) -> list[str]:
    return [name for name, judgements in judged.items() if judging.overall(judgements) == outcome]


def _recommended(passing: list[str], places: Mapping[str, int]) -> list[str]:
    """The only one that passes needs no rank; of several, one that is compared with none is not the best."""
    if len(passing) == 1:
        return passing
    return [name for name in passing if len(places) > 1 and places.get(name) == 1]


@dataclass(frozen=True)
class _Field:
    """All candidates together: they say of each why it is, or is not, the one to use.

    `good` is the outcome of those that are ranked.
    """

    standings: Standing
    places: Mapping[str, int]
    recommended: Sequence[str]
    good: Outcome

    @property
    def best(self) -> str | None:
        """What the others are compared with: of those recommended the one with the best mean."""
        return max(self.recommended, key=self.standings.merit, default=None)

    def candidate(self, name: str, judgements: tuple[Judgement, ...]) -> Candidate:
        outcome = judging.overall(judgements)
        performance = self._performance(name)
        if outcome == self.good:
            # What it loses is told as well, although no limit says how much may be lost.
            why = "; ".join([self._why(name, performance), *_lost(judgements)])
        else:
            why = next(each.text for each in judgements if each.outcome == outcome)
        return Candidate(
            configuration=name,
            outcome=outcome,
            rank=self.places.get(name),
            performance=performance,
            why=why,
            judgements=judgements,
        )

    def order(self, candidate: Candidate) -> tuple[int, float, float]:
        """By outcome, of those that passed by rank, and then by what they are ranked by."""
        group = -judging.ORDER.index(candidate.outcome)
        return group, candidate.rank or math.inf, -self.standings.merit(candidate.configuration)

    def _performance(self, name: str) -> Versus | None:
        versus = None if self.best in (None, name) else self.standings.versus(name, str(self.best))
        if versus is None:
            return None
        low, high = (None if math.isnan(bound) else bound for bound in (versus.low, versus.high))
        return Versus(of=str(self.best), ratio=versus.ratio, low=low, high=high, repeats=versus.rounds)

    def _why(self, name: str, performance: Versus | None) -> str:
        """Of one that is ranked, if it can be."""
        if name in self.recommended:
            told = "recommended" if len(self.recommended) == 1 else "ties for the best"
            return told if self.good == "passed" else f"{told}, provisionally"
        if name in self.places and performance is not None:
            return answer.times(performance, self.standings)
        return f"not ranked: {self._unranked(name)}"

    def _unranked(self, name: str) -> str:
        standings = self.standings
        if standings.missing:
            return f"{listed(list(standings.missing))} was not measured"
        if name in standings.left_out:
            return standings.left_out[name]
        lacking = [each.scenario for each in standings.performance if name not in each.values]
        if lacking or not standings.performance:
            return f"its {standings.noun} was not measured{f' in {listed(lacking)}' if lacking else ''}"
        if name in self.places:
            return "there is nothing to compare it with"
        return "a rank takes two repeats without errors, better three"


def _lost(judgements: Sequence[Judgement]) -> Iterator[str]:
    """What is lost where no limit says how much may be."""
    for each in judgements:
        if each.unwanted and each.requirement == "retryable_per_1000":
            yield each.text


def _caveats(candidates: Sequence[Candidate], recommended: Sequence[str]) -> Iterator[str]:
    """What speaks against the recommended, although it was not required."""
    for each in candidates:
        if each.configuration in recommended:
            for judgement in each.judgements:
                if judgement.unwanted:
                    option = f"--{judgement.requirement.replace('_', '-')}"
                    yield (
                        f"{each.configuration}: {judgement.text} (not one of your requirements; {option} "
                        "makes it one)"
                    )
