"""Each requirement held against what is known of a configuration: passed, likely, failed or not shown.

Every question is answered for every configuration; where nothing is required, the figure is only told. No
judgement depends on another, so one more requirement can only let fewer pass.
"""

import math
from collections.abc import Iterator, Sequence

from analysis.findings.open_loop import REACHED
from analysis.recommend.evidence import (
    Connections,
    Known,
    Latency,
    Outcome,
    Rate,
    Recycled,
    ReplacementPrice,
    Seen,
)
from analysis.recommend.verdict import Judgement
from analysis.words import counted, duration, figures
from bench.model.requirements import Requirements
from bench.model.thresholds import ERROR_RATE, SATURATED

# What the catalogue's `recycle` can do.
BY_REQUESTS, BY_MEMORY = ("flag", "app", "respawn"), ("rss",)
WAYS = {"requests": BY_REQUESTS, "memory": BY_MEMORY, "any": BY_REQUESTS + BY_MEMORY}
CONNECTIONS: dict[Connections, str] = {"keep-alive": "keep-alive", "per-request": "a connection per request"}
NOT_MEASURED = "not measured"
# From bad to good: of several answers the first decides.
ORDER: tuple[Outcome, ...] = ("failed", "not shown", "likely", "passed")
# Fewer replacements without a loss say nothing; with so many up to 738 per 1000 remain possible.
FEW = 5


def judge(known: Known, asked: Requirements) -> tuple[Judgement, ...]:
    """All questions; those about replaced workers only where workers are to be replaced.

    Every configuration must answer at all, and what it needs be maintained; only one for which that is not so
    is told it.
    """
    return tuple(_judgements(known, asked))


def overall(judgements: Sequence[Judgement]) -> Outcome:
    """That of the worst; passed where nothing is required."""
    outcomes = [each.outcome for each in judgements if each.outcome is not None]
    return min(outcomes, key=ORDER.index, default="passed")


def within(rate: Rate, recycles: int, limit: float, enough: int) -> Outcome:
    """Whether a rate keeps a limit; not shown where its interval includes the limit.

    No number of replacements shows a rate of zero, so that `enough` of them without a loss have to do, and
    from `FEW` on they make it likely. One loss is enough to know that the rate is not zero.
    """
    if rate.low > limit or (limit == 0 and rate.lost > 0):
        return "failed"
    if rate.high <= limit or (rate.lost == 0 and recycles >= enough):
        return "passed"
    return "likely" if rate.lost == 0 and recycles >= FEW else "not shown"


def _judgements(known: Known, asked: Requirements) -> Iterator[Judgement]:
    if known.answers.outcome == "failed":
        yield _told("answers", known.answers, required=True)
    if known.ended is not None:
        yield _told("maintained", Seen("failed", f"no: {known.ended}"), required=asked.maintained)
    if asked.restart != "none":
        yield _restart(known, asked)
        yield _process_manager(known, asked)
        yield _lost("lost_per_1000", known, asked, asked.lost_per_1000)
        yield _lost("retryable_per_1000", known, asked, asked.retryable_per_1000)
        yield _stall(known, asked)
    yield _told("memory_bounded", known.memory, required=asked.memory_bounded)
    for scenario, limit_ms in asked.p99_ms.items():
        yield _p99(known, asked, scenario, limit_ms)
    yield _told("survive_kill", known.killed, required=asked.survive_kill)
    yield _told("graceful_stop", known.terminated, required=asked.graceful_stop)


def _restart(known: Known, asked: Requirements) -> Judgement:
    """Whether workers are replaced in the way that is required, in every cell that tells."""
    if known.recycle not in WAYS[asked.restart]:
        return _judgement("restart", "failed", _instead(known))
    cells = _counting(known, asked)
    wrong = [each for each in cells if each.outcome in ("broken", "not replaced")]
    right = [each for each in cells if each.outcome == "replaced"]
    some = wrong or right or cells
    if not some:
        return _judgement("restart", "not shown", NOT_MEASURED)
    outcome: Outcome = "failed" if wrong else "passed" if right else "not shown"
    told = "yes" if right and not wrong else some[0].outcome
    figure = f"{told} in {_where(some[0])}: {some[0].reason}"
    if len(some) > 1:
        figure += f" (and in {counted(len(some) - 1, 'more cell')})"
    return _judgement("restart", outcome, figure, some)


def _instead(known: Known) -> str:
    """What a configuration does instead of what is required."""
    if known.recycle in BY_MEMORY:
        return "replaces workers at a size in memory, not after N requests"
    if known.recycle in BY_REQUESTS:
        return "replaces workers after N requests, not at a size in memory"
    return "has no way to replace workers"


def _process_manager(known: Known, asked: Requirements) -> Judgement:
    """Whether something else must start the server again each time that it ends."""
    replaced = [each for each in _counting(known, asked) if each.outcome == "replaced"]
    several = [each for each in replaced if each.workers > 1]
    outcome: Outcome = "passed"
    figure, cells = "none is needed", several
    if known.recycle != "respawn":
        cells = []
    elif several:
        figure = "none is needed with several workers"
    elif replaced:
        outcome, figure, cells = (
            "failed",
            "needed: with one worker the server only ends",
            replaced,
        )
    else:
        outcome, figure = "not shown", NOT_MEASURED
    return _judgement("process_manager", None if asked.process_manager else outcome, figure, cells)


def _lost(requirement: str, known: Known, asked: Requirements, limit: float | None) -> Judgement:
    """What replacements cost, by the worst number of workers and kind of connection that counts."""
    kinds = [kind for kind in CONNECTIONS if asked.connections in ("both", kind)]
    prices = [each for each in known.prices if each.connections in kinds and asked.counts(each.workers)]
    prices.sort(key=lambda each: _known(_rate(requirement, each).high), reverse=True)
    if limit is None:
        if not prices:
            return _judgement(requirement, None, NOT_MEASURED)
        told = _judgement(requirement, None, _price(requirement, prices[0]), cells=prices[0].cells)
        return told.model_copy(update={"unwanted": _rate(requirement, prices[0]).lost > 0})
    found = [_limited(requirement, each, limit, asked.enough_recycles) for each in prices]
    missing = [kind for kind in kinds if not any(each.connections == kind for each in prices)]
    lacking = " or ".join(f"{NOT_MEASURED} with {CONNECTIONS[kind]}" for kind in missing)
    if not found:
        return _judgement(requirement, "not shown", lacking)
    worst = _worst(found)
    if not lacking or worst.outcome not in ("likely", "passed"):
        return worst
    # What was lost on the connections that were measured tells something of the others.
    figure = f"{worst.figure}; {lacking}"
    return worst.model_copy(update={"outcome": "likely", "figure": figure})


def _limited(requirement: str, price: ReplacementPrice, limit: float, enough: int) -> Judgement:
    rate = _rate(requirement, price)
    outcome = within(rate, price.recycles, limit, enough)
    figure = _price(requirement, price)
    if outcome in ("likely", "not shown") and rate.lost == 0:
        figure += f"; {enough} recycles without a loss would show it"
    elif outcome != "passed":
        figure += f"; allowed: {limit:g}"
    return _judgement(requirement, outcome, figure, cells=price.cells)


def _rate(requirement: str, price: ReplacementPrice) -> Rate:
    return price.ran if requirement == "lost_per_1000" else price.retryable


def _price(requirement: str, price: ReplacementPrice) -> str:
    """A rate in words, with the conditions that it was seen under."""
    rate = _rate(requirement, price)
    figure = f"{_figures(rate.per_1000)} per 1000 recycles ({_figures(rate.low)} to {_figures(rate.high)})"
    if rate.lost == 0:
        figure = f"0 of {counted(price.recycles, 'recycle')} (up to {_figures(rate.high)} per 1000)"
    return f"{figure} with {counted(price.workers, 'worker')}, {CONNECTIONS[price.connections]}"


def _stall(known: Known, asked: Requirements) -> Judgement:
    """The longest time without an answer while workers were replaced."""
    limit_s = asked.stall_s
    cells = [each for each in _counting(known, asked) if each.outcome == "replaced" and each.stall_s >= 0]
    if not cells:
        return _judgement("stall_s", None if limit_s is None else "not shown", NOT_MEASURED)
    worst = max(cells, key=lambda each: each.stall_s)
    figure = f"{duration(worst.stall_s)} at the longest, in {_where(worst)}"
    if limit_s is None:
        return _judgement("stall_s", None, figure, [worst])
    if worst.stall_s <= limit_s:
        return _judgement("stall_s", "passed", figure, [worst])
    return _judgement("stall_s", "failed", f"{figure}; allowed: {duration(limit_s)}", [worst])


def _p99(known: Known, asked: Requirements, scenario: str, limit_ms: float) -> Judgement:
    """The p99 from the schedule at every arrival rate that was measured; the worst decides."""
    loads = [each for each in known.latencies if each.scenario == scenario and asked.counts(each.workers)]
    if not loads:
        return _judgement("p99_ms", "not shown", f"{scenario} was not measured in an open loop")
    loads.sort(key=lambda each: _known(each.p99_ms), reverse=True)
    return _worst([_latency(each, limit_ms) for each in loads])


def _latency(load: Latency, limit_ms: float) -> Judgement:
    outcome, figure = _kept(load, limit_ms)
    where = f"{load.scenario} at {load.rate_per_s:,.0f} requests/s ({load.arrivals})"
    figure += f" in {where}, {counted(load.workers, 'worker')}; allowed: {limit_ms:g} ms"
    return _judgement("p99_ms", outcome, figure, cells=load.cells)


def _kept(load: Latency, limit_ms: float) -> tuple[Outcome, str]:
    """Whether a load was served within the limit, and the figure that says so."""
    if load.achieved < REACHED:
        # Where the server had CPU time to spare, the generator may have asked too late.
        outcome: Outcome = "failed" if load.busy >= SATURATED else "not shown"
        return outcome, f"only {load.achieved:.0%} of the arrivals were served"
    if load.error_rate > ERROR_RATE:
        return "failed", f"{load.error_rate:.2%} of the requests failed"
    if math.isnan(load.low_ms):
        return "not shown", "a p99 with an interval takes more repeats, or more requests in them"
    figure = f"{_figures(load.p99_ms)} ms ({_figures(load.low_ms)} to {_figures(load.high_ms)})"
    if load.low_ms > limit_ms:
        return "failed", figure
    return ("passed" if load.high_ms <= limit_ms else "not shown"), figure


def _told(requirement: str, seen: Seen, *, required: bool) -> Judgement:
    """An answer of the deciding table as it is."""
    told = _judgement(requirement, seen.outcome if required else None, seen.text, cells=seen.cells)
    return told.model_copy(update={"unwanted": not required and seen.outcome == "failed"})


def _judgement(
    requirement: str, outcome: Outcome | None, figure: str, cells: Sequence[Recycled | str] = ()
) -> Judgement:
    paths = tuple(each if isinstance(each, str) else each.cell for each in cells)
    return Judgement(requirement=requirement, outcome=outcome, figure=figure, cells=paths)


def _worst(found: Sequence[Judgement]) -> Judgement:
    """Of several answers to one question the one that decides, of equals the first."""
    return min(found, key=lambda each: ORDER.index(each.outcome or "passed"))


def _counting(known: Known, asked: Requirements) -> list[Recycled]:
    return [each for each in known.recycled if asked.counts(each.workers)]


def _where(cell: Recycled) -> str:
    return f"{cell.scenario}, {counted(cell.workers, 'worker')}"


def _known(value: float) -> float:
    """A number to sort by: what is unknown comes first where the largest does."""
    return math.inf if math.isnan(value) else value


def _figures(value: float) -> str:
    """Three significant digits, or that there are none."""
    return "unknown" if math.isnan(value) else figures(value)
