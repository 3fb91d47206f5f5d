"""An account of what the old benchmark really measured, computed from the data of a replay."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, combinations

from bench.replay import causes
from bench.replay.measure import COMPARED
from bench.replay.summary import PINNED, SPLITS, UNPINNED, Summary, Way, loop, ratio, span
from bench.replay.tables import OLD_RATIO

# The share of the CPUs that other programs may take before figures suffer.
_QUIET = 0.1

Part = Callable[[Summary, Way], Iterator[str]]


def account(summary: Summary) -> list[str]:
    """The paragraphs of the account."""
    paragraphs = [
        validity(summary),
        causes.limits(summary, UNPINNED),
        causes.limits(summary, PINNED),
        chain(causes.connections(summary), _both(causes.first_requests, summary)),
        _both(causes.start_up, summary),
        causes.own_clients(summary),
        _both(causes.simultaneous, summary),
        _both(order, summary),
        pair(summary),
    ]
    return [text for sentences in paragraphs if (text := " ".join(sentences))]


def _both(part: Part, summary: Summary) -> Iterator[str]:
    return chain(part(summary, UNPINNED), part(summary, PINNED))


def validity(summary: Summary) -> Iterator[str]:
    """What is missing or failed, and what the recording cost."""
    replay = summary.replay
    if replay.status != "finished":
        yield "The replay was not finished: this is about what there is."
    failures = [each for each in replay.executions if each.failures]
    if failures:
        count = sum(sum(each.failures.values()) for each in failures)
        kinds = ", ".join(sorted({kind for each in failures for kind in each.failures}))
        yield (
            f"{count} requests failed ({kinds}) in {len(failures)} of {len(replay.executions)} executions, "
            "which therefore have no figures."
        )
    elif replay.executions:
        yield f"No request failed in {len(replay.executions)} executions."
    for failed in replay.failed:
        where = f"{failed.configuration}, {failed.block}, repeat {failed.repeat}"
        yield f"Not measured: {where}: {_first_line(failed.reason)}."
    for missing in replay.unavailable:
        yield f"Unavailable: {missing['configuration']}: {_first_line(missing['reason'])}."
    if replay.repeats < 2:
        yield "There was one repeat: whether another would say the same cannot be told."
    yield from _others(summary)
    fewer = [each for each in replay.executions if each.figures and each.figures.processes < replay.processes]
    if fewer:
        yield f"In {len(fewer)} executions a process of the pool did the work of two."
    costs = [
        cost.middle
        for name in summary.configurations
        for way in (UNPINNED, PINNED)
        if (cost := ratio(summary.series(name, way.recording, loop), summary.series(name, way, loop)))
    ]
    if costs:
        yield (
            f"Recording made the mean {span(costs, '{:.2f}')} times as long; only the steps of requests, "
            "connections and what was under way at once are taken from recorded executions."
        )


def _others(summary: Summary) -> Iterator[str]:
    """Whether the machine was quiet."""
    if not summary.replay.executions:
        return
    most = max(each.others_busy for each in summary.replay.executions)
    if most > _QUIET:
        yield (
            f"Other programs, or a hypervisor, took up to {most:.0%} of the CPUs during an execution: times "
            "and busy shares say little; quiet the machine and measure again."
        )
    else:
        yield f"Other programs took at most {most:.0%} of the CPUs."


def _first_line(text: str) -> str:
    return text.partition("\n")[0].rstrip(".:")


def order(summary: Summary, way: Way) -> Iterator[str]:
    """Do the old benchmark and the suite put the configurations in the same order?"""
    suite = summary.medians_beside(lambda of: 1e3 / of.requests_per_s)
    old = {name: value for name, value in summary.medians(way, loop).items() if name in suite}
    if len(old) < 2:
        yield f"{SPLITS[way.split]}: too few configurations were measured both ways to compare their order."
        return
    both = {name: suite[name] for name in old}
    pairs = list(combinations(old, 2))
    alike = sum((old[one] < old[other]) == (both[one] < both[other]) for one, other in pairs)
    yield (
        f"{SPLITS[way.split]}, by the old mean {_extremes(old)}; by the time per request that the suite "
        f"measures {_extremes(both)}. Of {len(pairs)} pairs of configurations {alike} come in the same order."
    )


def _extremes(values: Mapping[str, float]) -> str:
    low, high = min(values, key=lambda name: values[name]), max(values, key=lambda name: values[name])
    return f"{high} takes {values[high] / values[low]:.2f} times as long as {low}"


def pair(summary: Summary) -> Iterator[str]:
    """The two workers that the old answer decided between."""
    one, other = COMPARED
    suite = ratio(
        summary.beside(one, lambda of: 1 / of.requests_per_s),
        summary.beside(other, lambda of: 1 / of.requests_per_s),
    )
    replayed = {
        split: found
        for split, way in ((SPLITS["unpinned"], UNPINNED), (SPLITS["pinned"], PINNED))
        if (found := ratio(summary.series(one, way, loop), summary.series(other, way, loop)))
    }
    if suite is None or not replayed:
        yield f"{one} and {other} were not measured both ways: which of them is faster cannot be told here."
        return
    texts = " and ".join(f"{found} {split.lower()}" for split, found in replayed.items())
    yield (
        f"The old mean of {one} is {texts} times that of {other}; the suite measures {suite} times the time "
        f"per request. The two means of the old answer were {OLD_RATIO:.2f} apart."
    )
    for split, found in replayed.items():
        if summary.replay.repeats > 1 and found.low <= 1 <= found.high:
            yield f"{split}, the repeats do not agree on which of the two has the lower mean."
