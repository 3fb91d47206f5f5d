"""From evidence to a verdict: who meets the requirements, who of these performs best, what is left open."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from analysis.verdicts import advice, judging
from analysis.verdicts.commands import command
from analysis.verdicts.evidence import Evidence
from analysis.verdicts.model import Candidate, Decision, Judgement, Ratio, Verdict
from analysis.verdicts.requirements import Requirements
from analysis.verdicts.standing import Standing, standing
from analysis.words import figures, listed


def decide(evidence: Evidence, asked: Requirements) -> Verdict:
    """The verdict; the same evidence and requirements always give the same."""
    standings = standing(evidence.performance, asked, evidence.server_cpus)
    judged = {known.name: judging.judge(known, asked) for known in evidence.configurations}
    passing = [name for name, judgements in judged.items() if judging.overall(judgements) == "passed"]
    places = standings.places(passing, asked.margin)
    recommended = _recommended(passing, places)
    field = _Field(standings, places, recommended)
    candidates = [field.candidate(name, judgements) for name, judgements in judged.items()]
    candidates.sort(key=field.order)
    commands = [command(known, asked) for known in evidence.configurations if known.name in recommended]
    told = advice.Situation(evidence, asked, standings, tuple(candidates), tuple(recommended))
    decision: Decision = "none" if not recommended else "tie" if len(recommended) > 1 else "recommended"
    return Verdict(
        decision=decision,
        finding=_finding(candidates, recommended, standings),
        recommended=tuple(recommended),
        commands=tuple(each for each in commands if each is not None),
        caveats=tuple(_caveats(candidates, recommended)),
        candidates=tuple(candidates),
        method=standings.method,
        not_covered=tuple(advice.not_covered(told)),
        measure=tuple(advice.measure(told)),
        requirements=asked,
        runs=evidence.runs,
    )


def _recommended(passing: list[str], places: Mapping[str, int]) -> list[str]:
    """Who alone passes needs no rank; of several, one that is compared with none is not the best."""
    if len(passing) == 1:
        return passing
    return [name for name in passing if len(places) > 1 and places.get(name) == 1]


@dataclass(frozen=True)
class _Field:
    """All candidates together: what says of each why it is, or is not, the one to use."""

    standings: Standing
    places: Mapping[str, int]
    recommended: Sequence[str]

    @property
    def best(self) -> str | None:
        """Whom the others are compared with: of those recommended the one with the highest mean."""
        return max(self.recommended, key=self.standings.mean, default=None)

    def candidate(self, name: str, judgements: tuple[Judgement, ...]) -> Candidate:
        outcome = judging.overall(judgements)
        performance = self._performance(name)
        if outcome == "passed":
            # What it loses by the way is told of it, too, though nobody requires that it does not.
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
        """By outcome, of those that passed by rank, and then by performance."""
        group = -judging.ORDER.index(candidate.outcome)
        return group, candidate.rank or math.inf, -self.standings.mean(candidate.configuration)

    def _performance(self, name: str) -> Ratio | None:
        versus = None if self.best in (None, name) else self.standings.versus(name, str(self.best))
        if versus is None:
            return None
        low, high = (None if math.isnan(bound) else bound for bound in (versus.low, versus.high))
        return Ratio(of=str(self.best), ratio=versus.ratio, low=low, high=high, repeats=versus.rounds)

    def _why(self, name: str, performance: Ratio | None) -> str:
        """Of one that passed."""
        if name in self.recommended:
            return "recommended" if len(self.recommended) == 1 else "ties for the best"
        if name in self.places and performance is not None:
            return times(performance, self.standings)
        return f"not ranked: {self._unranked(name)}"

    def _unranked(self, name: str) -> str:
        standings = self.standings
        if standings.missing:
            return f"{listed(list(standings.missing))} was not measured"
        if name in standings.left_out:
            return standings.left_out[name]
        lacking = [each.scenario for each in standings.performance if name not in each.values]
        if lacking or not standings.performance:
            return f"its performance was not measured{f' in {listed(lacking)}' if lacking else ''}"
        if name in self.places:
            return "there is no other to compare it with"
        return "that takes two repeats without errors, better three"


def _lost(judgements: Sequence[Judgement]) -> Iterator[str]:
    """What is lost although no limit says how much may be."""
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
                    yield f"{each.configuration}: {judgement.text} (require otherwise with {option})"


def times(performance: Ratio, standings: Standing) -> str:
    """A ratio in words."""
    text = f"{figures(performance.ratio)}x"
    if performance.low is not None and performance.high is not None:
        text += f" ({figures(performance.low)} to {figures(performance.high)})"
    return f"{text} the {standings.what} of {performance.of}"


def _finding(candidates: Sequence[Candidate], recommended: Sequence[str], standings: Standing) -> str:
    """The answer in a sentence or two."""
    passing = [each for each in candidates if each.outcome == "passed"]
    if not passing:
        undecided = [each.configuration for each in candidates if each.outcome == "not shown"]
        if not undecided:
            return "No configuration meets the requirements."
        return f"No configuration is shown to meet the requirements; {listed(undecided)} may."
    if not recommended:
        names = listed([each.configuration for each in passing])
        return f"{names} meet the requirements, and nothing ranks them."
    if len(passing) == 1:
        return f"Use {recommended[0]}: it alone is shown to meet the requirements."
    behind = _behind([each for each in passing if each.configuration not in recommended], standings)
    if len(recommended) == 1:
        return f"Use {recommended[0]}: it meets the requirements{behind}."
    return f"Nothing is clearly best: {listed(list(recommended))} meet the requirements and tie{behind}."


def _behind(others: Sequence[Candidate], standings: Standing) -> str:
    """How far the next of those that pass is behind; `others` are in their order."""
    for each in others:
        if each.rank is not None and each.performance is not None:
            behind = f"{times(each.performance, standings)} over {standings.where}"
            return f"; {each.configuration}, the next that does, has {behind}"
    return ""
