"""What the evidence of a verdict does not cover, and the commands that would close its gaps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.verdicts.evidence import Evidence, Known
from analysis.verdicts.judging import within
from analysis.verdicts.model import Candidate
from analysis.verdicts.requirements import Requirements
from analysis.verdicts.standing import Standing
from analysis.words import counted, listed

# The replacements that the recycle plan wants of each cell, the seconds that it gives them, and the most
# that a cell can have.
_PLANNED, _SECONDS, _LONGEST_S = 20, 120, 3600
# Four times as many replacements halve an interval.
_TO_HALVE = 4
# Repeats that may tell apart what three could not.
_REPEATS = 10


@dataclass(frozen=True)
class Situation:
    """All that a verdict was made of; `candidates` in their order."""

    evidence: Evidence
    asked: Requirements
    standing: Standing
    candidates: tuple[Candidate, ...]
    recommended: tuple[str, ...]

    def read(self, kind: str) -> bool:
        """Whether there is a run of this kind."""
        return any(source.kind == kind for source in self.evidence.runs)

    @property
    def own(self) -> tuple[str, ...]:
        """The variables of `make` that bring in what was measured instead of the suite's app and loads."""
        return next((source.own for source in self.evidence.runs if source.own), ())

    def undecided(self, *, p99: bool) -> list[str]:
        """Who may still pass: the requirement that is not shown is `p99_ms`, or one of the others."""
        return [
            each.configuration
            for each in self.candidates
            if each.outcome == "not shown"
            and any(
                judgement.outcome == "not shown" and (judgement.requirement == "p99_ms") == p99
                for judgement in each.judgements
            )
        ]

    @property
    def unranked(self) -> list[str]:
        """Who passed and has no rank, where there is something to rank."""
        passed = [each for each in self.candidates if each.outcome == "passed"]
        return [each.configuration for each in passed if each.rank is None] if len(passed) > 1 else []


def not_covered(told: Situation) -> Iterator[str]:
    """What nobody should take the verdict for."""
    if not told.read("recycling"):
        yield "No run of recycling was read: nothing is known of replaced, killed or stopped workers."
    if not told.read("performance"):
        yield "No run of performance was read: nothing is known of speed."
    yield from _scenarios(told)
    yield from _workers(told)
    yield from _filled_in(told)
    undecided = [each.configuration for each in told.candidates if each.outcome == "not shown"]
    if told.recommended and undecided:
        yield f"May meet the requirements as well, which is not shown: {', '.join(undecided)}."
    if told.recommended and told.unranked:
        yield f"May perform better than the recommended, and could not be ranked: {', '.join(told.unranked)}."
    yield from told.evidence.gaps


def _scenarios(told: Situation) -> Iterator[str]:
    ranked = [each.scenario for each in told.standing.performance]
    recycled = {each.scenario for known in told.evidence.configurations for each in known.recycled}
    parts = [f"performance in {listed(ranked)}"] if ranked else []
    parts += [f"replaced workers in {listed(sorted(recycled))}"] if recycled else []
    own = {each.app for each in told.evidence.runs if each.app}
    others = f"other apps than {listed(sorted(own))}" if own else "an app of yours"
    if parts:
        yield f"Measured were {', '.join(parts)}: no handlers but these, and none of {others}."
    if own and not all(each.app for each in told.evidence.runs):
        suites = [str(each.kind) for each in told.evidence.runs if each.app is None]
        yield f"The run of {listed(suites)} was one of the suite's own app: there yours may do otherwise."


def _workers(told: Situation) -> Iterator[str]:
    """With how many workers performance was compared, and workers were replaced."""
    ranked = {each.workers for each in told.standing.performance}
    recycled = {each.workers for known in told.evidence.configurations for each in known.recycled}
    parts = [f"performance was compared with {_counts(ranked)}"] if ranked else []
    parts += [f"workers were replaced with {_counts(recycled)}"] if recycled else []
    if parts:
        text = " and ".join(parts)
        yield f"{text[0].upper()}{text[1:]}; with other numbers of workers both may differ."


def _filled_in(told: Situation) -> Iterator[str]:
    """What the recommended command has that nobody measured."""
    if not told.recommended:
        return
    known = [each for each in told.evidence.configurations if each.name in told.recommended]
    measured = {cell.max_requests for each in known for cell in each.recycled} - {None}
    if told.asked.restart != "none" and measured and told.asked.max_requests not in measured:
        counts = listed([f"{count:,}" for count in sorted(filter(None, measured))])
        yield (
            f"Workers were replaced after {counts} requests, so that many could be seen; with the "
            f"{told.asked.max_requests:,} of the command nothing was measured."
        )
    if told.asked.workers is None:
        yield "The command has as many workers as were measured: fill in yours with --workers."


def _counts(workers: set[int]) -> str:
    *others, last = sorted(workers)
    return " and ".join([*map(str, others), counted(last, "worker")])


def measure(told: Situation) -> Iterator[str]:
    """Commands in the order in which they help; each can be typed as it is."""
    lacking = told.undecided(p99=False)
    if told.asked.restart != "none" and not told.read("recycling"):
        yield " ".join(["make recycle", *told.own])
    elif lacking:
        yield _recycle(told, lacking)
    if not told.read("performance"):
        yield " ".join(["make bench", *told.own])
        return
    ranked = list(told.standing.weights)
    late = told.undecided(p99=True)
    if late:
        # The plan that has closed loops, which rank, and open ones, by which this is judged.
        yield _bench(told, late, [*told.asked.p99_ms, *ranked], plan="full")
    if len(told.recommended) > 1:
        repeats = max(_REPEATS, 2 * len(told.standing.scores))
        yield _bench(told, told.recommended, ranked, repeats=repeats)
    elif told.unranked:
        passed = [each.configuration for each in told.candidates if each.outcome == "passed"]
        yield _bench(told, passed, ranked, repeats=_REPEATS)


def _recycle(told: Situation, names: Sequence[str]) -> str:
    """The recycle plan for some configurations, with as many replacements as it takes."""
    known = [each for each in told.evidence.configurations if each.name in names]
    wanted = max([_PLANNED, *(count for each in known for count in _replacements(each, told.asked))])
    line = " ".join(["make recycle", *told.own, f"CONFIGURATIONS={','.join(names)}"])
    if wanted > _PLANNED:
        line += f" REPLACEMENTS={wanted} DURATION={min(_LONGEST_S, _SECONDS * wanted // _PLANNED)}"
    return line


def _replacements(known: Known, asked: Requirements) -> Iterator[int]:
    """Replacements in each cell that would decide what is lost, if it stays as it is."""
    for price in known.prices:
        limits = ((asked.lost_per_1000, price.ran), (asked.retryable_per_1000, price.retryable))
        for limit, rate in limits:
            if limit is None or within(rate, price.recycles, limit, asked.enough_recycles) != "not shown":
                continue
            yield asked.enough_recycles if rate.lost == 0 else _TO_HALVE * price.recycles


def _bench(
    told: Situation,
    names: Sequence[str],
    scenarios: Sequence[str],
    *,
    plan: str | None = None,
    repeats: int | None = None,
) -> str:
    # A locustfile of one's own is the only scenario.
    theirs = any(each.startswith("SCENARIO=") for each in told.own)
    variables = {
        "PLAN": plan,
        "CONFIGURATIONS": ",".join(names),
        "SCENARIOS": None if theirs else ",".join(dict.fromkeys(scenarios)),
        "WORKERS": told.asked.workers,
        "REPEATS": repeats,
    }
    given = (f"{name}={value}" for name, value in variables.items() if value)
    return " ".join(["make bench", *told.own, *given])
