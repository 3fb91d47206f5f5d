"""The answer in sentences: which configuration to use, how sure that is, what a longer run would add."""

from collections.abc import Iterator, Sequence

from analysis.recommend.evidence import Evidence, Known, Outcome, ReplacementPrice
from analysis.recommend.judging import CONNECTIONS, NOT_MEASURED
from analysis.recommend.standing import Standing
from analysis.recommend.verdict import Candidate, Versus
from analysis.words import counted, figures, listed
from bench.model.requirements import First, Requirements
from bench.stats.comparison import half_width

# What is said of the best of several, and of those that tie for it.
_BEST: dict[First, tuple[str, str]] = {
    "throughput": ("performs best", "tie for the best performance"),
    "memory": ("needs the least memory", "tie for the least memory"),
    "tail": ("has the lowest p99", "tie for the lowest p99"),
}


def times(performance: Versus, standings: Standing) -> str:
    """A ratio in words."""
    text = f"{figures(performance.ratio)}x"
    if performance.low is not None and performance.high is not None:
        text += f" ({figures(performance.low)} to {figures(performance.high)})"
    return f"{text} the {standings.what} of {performance.of}"


def finding(
    evidence: Evidence,
    candidates: Sequence[Candidate],
    recommended: Sequence[str],
    standings: Standing,
    good: Outcome,
) -> Iterator[str]:
    """The answer in a few sentences; `good` is the outcome of those that may be recommended."""
    passing = [each for each in candidates if each.outcome == good]
    if not passing:
        yield from _none(evidence, candidates, standings)
        return
    shown = good == "passed"
    if not recommended:
        meet = "meet" if shown else "are likely to meet"
        names = listed([each.configuration for each in passing])
        yield f"{names} {meet} the requirements, but nothing ranks them."
        return
    others = [each for each in passing if each.configuration not in recommended]
    behind = _behind(others, standings, good)
    if len(recommended) > 1:
        tie = "Nothing is clearly best" if shown else "Nothing is clearly best so far"
        likely = "" if shown else " are likely to"
        yield f"{tie}: {listed(list(recommended))}{likely} meet the requirements and tie{behind}."
        yield from _least(evidence, recommended)
    elif not shown:
        what = "it alone is" if len(passing) == 1 else "it is"
        yield f"Use {recommended[0]}, provisionally: {what} likely to meet the requirements{behind}."
    elif len(passing) == 1:
        yield f"Use {recommended[0]}: it alone is shown to meet the requirements."
    else:
        yield f"Use {recommended[0]}: it meets the requirements{behind}."
    yield from _ended(candidates, standings)


def _ended(candidates: Sequence[Candidate], standings: Standing) -> Iterator[str]:
    """What nothing but its age speaks against, and is certainly better than what is recommended."""
    for each in candidates:
        failed = [judgement.requirement for judgement in each.judgements if judgement.outcome == "failed"]
        versus = each.performance
        if failed != ["maintained"] or versus is None or versus.low is None or versus.high is None:
            continue
        if versus.low > 1 if standings.more_is_better else versus.high < 1:
            yield (
                f"{each.configuration} has {times(versus, standings)}, and gets no more fixes "
                "(--no-maintained leaves that out)."
            )


def _behind(others: Sequence[Candidate], standings: Standing, good: Outcome) -> str:
    """How far the next of those that are ranked is behind; `others` are in their order."""
    following = "the next that does" if good == "passed" else "the next that is likely to"
    for each in others:
        if each.rank is not None and each.performance is not None:
            behind = f"{times(each.performance, standings)} over {standings.where}"
            return f"; {each.configuration}, {following}, has {behind}"
    return ""


def _least(evidence: Evidence, recommended: Sequence[str]) -> Iterator[str]:
    """Of equals those that lost nothing at all, if others lost requests that may be sent again."""
    tied = [known for known in evidence.configurations if known.name in recommended and known.prices]
    clean = [known.name for known in tied if not any(price.retryable.lost for price in known.prices)]
    if clean and len(clean) < len(recommended):
        yield f"Of those that tie, only {listed(clean)} lost no request when workers were replaced."


def _none(evidence: Evidence, candidates: Sequence[Candidate], standings: Standing) -> Iterator[str]:
    """That nothing will do, which loses least, and which is best where no worker need be replaced."""
    undecided = [each.configuration for each in candidates if each.outcome == "not shown"]
    if undecided:
        yield f"No configuration is shown to meet the requirements; {listed(undecided)} may."
    else:
        yield "No configuration meets the requirements."
    replaces = [known for known in evidence.configurations if _replaces(known, candidates) and known.prices]
    if not replaces or not all(_worst(known).ran.lost for known in replaces):
        return
    least = min(replaces, key=lambda known: _worst(known).ran.per_1000)
    yield f"{least.name} loses least when workers are replaced: {lost(_worst(least))}."
    fastest = standings.places([str(name) for name in standings.scores], 0.0)
    first = [name for name, place in fastest.items() if place == 1]
    if len(fastest) > 1 and first:
        alone, tie = _BEST[standings.first]
        yield f"Where no worker need be replaced, {listed(first)} {alone if len(first) == 1 else tie}."


def _replaces(known: Known, candidates: Sequence[Candidate]) -> bool:
    """Whether workers are replaced in the way that is required."""
    return any(
        each.configuration == known.name and judgement.outcome == "passed"
        for each in candidates
        for judgement in each.judgements
        if judgement.requirement == "restart"
    )


def _worst(known: Known) -> ReplacementPrice:
    """What replacing workers costs where it costs most requests whose handler ran."""
    return max(known.prices, key=lambda price: (price.ran.per_1000, price.ran.high))


def lost(price: ReplacementPrice) -> str:
    """Requests lost although their handler ran, in words."""
    rate, over = price.ran, counted(price.recycles, "recycle")
    where = f"{counted(price.workers, 'worker')}, {CONNECTIONS[price.connections]}"
    if rate.lost == 0:
        return f"none in {over}, which leaves up to {figures(rate.high)} per 1000 possible ({where})"
    return (
        f"{counted(rate.lost, 'request')} whose handler ran in {over}, which is {figures(rate.per_1000)} per "
        f"1000 ({figures(rate.low)} to {figures(rate.high)}; {where})"
    )


def sure(
    evidence: Evidence, candidates: Sequence[Candidate], recommended: Sequence[str], standings: Standing
) -> Iterator[str]:
    """How sure the answer is, in words and figures; all bounds and intervals are of 95 %."""
    for known in evidence.configurations:
        if known.name in recommended and known.prices:
            yield f"{known.name}: requests lost although their handler ran: {lost(_worst(known))}."
    ratios = [each.performance for each in candidates if each.rank is not None and each.performance]
    widths = [
        half_width(ratio.low, ratio.high)
        for ratio in ratios
        if ratio.low is not None and ratio.high is not None and ratio.low > 0
    ]
    if widths:
        repeats = max(ratio.repeats for ratio in ratios)
        yield (
            f"Ratios of {standings.noun} between those that are ranked are known to ±{max(widths):.0%} or "
            f"better, over {counted(repeats, 'repeat')}."
        )


def longer(evidence: Evidence, recommended: Sequence[str], asked: Requirements) -> Iterator[str]:
    """What a whole run of recycling would add for those that are recommended."""
    chosen = [known for known in evidence.configurations if known.name in recommended]
    prices = [price for known in chosen for price in known.prices]
    if asked.restart == "none" or not prices:
        return
    adds = []
    if min(price.recycles for price in prices) < asked.enough_recycles:
        adds.append(f"{asked.enough_recycles} recycles of a kind instead of {_counts(prices)}")
    lacking = [words for kind, words in CONNECTIONS.items() if not any(p.connections == kind for p in prices)]
    adds += lacking
    if all(price.workers == 1 for price in prices):
        adds.append("several workers")
    adds += [
        what
        for what, seen in (
            ("whether memory stays bounded", [known.memory for known in chosen]),
            ("a worker killed", [known.killed for known in chosen]),
            ("a stop under load", [known.terminated for known in chosen]),
        )
        if all(each.text == NOT_MEASURED for each in seen)
    ]
    if adds:
        yield f"A run of recycling would add: {listed(adds)}."


def _counts(prices: Sequence[ReplacementPrice]) -> str:
    counts = sorted({price.recycles for price in prices})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
