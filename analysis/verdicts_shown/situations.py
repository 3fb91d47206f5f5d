"""The same evidence under other requirements: what to use where more, less or something else is asked for."""

from collections.abc import Iterator, Sequence
from typing import Any

from analysis.study import Study
from analysis.verdicts import judge, requirements, stated

# What people require, by the options of `bench verdict` that ask for it.
_SITUATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "workers are replaced after N requests, and nothing is lost whose handler ran": ("", {}),
    "the same, and another worker comes for one that was killed": ("--survive-kill", {"survive_kill": True}),
    "the first, and nothing is lost before a handler ran either": (
        "--retryable-per-1000 0",
        {"retryable_per_1000": 0.0},
    ),
    "all three": (
        "--survive-kill --retryable-per-1000 0",
        {"survive_kill": True, "retryable_per_1000": 0.0},
    ),
    "the first, and 99 % of awaited I/O (`sleep`, 10 ms) within 50 ms, at every rate measured": (
        "--p99-ms sleep=50",
        {"p99_ms": {"sleep": 50.0}},
    ),
    "workers are replaced at a size in memory": ("--restart memory", {"restart": "memory"}),
    "no worker need be replaced: speed alone": ("--restart none", {"restart": "none"}),
    "speed alone, awaited I/O (`sleep`) counting three times as much as `index`, and nothing else": (
        "--restart none --weights sleep=3,index=1",
        {"restart": "none", "weights": {"sleep": 3.0, "index": 1.0}},
    ),
}


def lines(studies: Sequence[Study]) -> Iterator[str]:
    """A table in Markdown: what is required, what to use then, and the options that ask for it.

    Limits on latency are left out where no open loop was measured, which alone can tell.
    """
    opened = {
        scenario for study in studies if study.recycling is None for scenario in study.rates["scenario"]
    }
    yield "| if you require that | then | `make verdict ARGUMENTS=` |"
    yield "|---|---|---|"
    for required, (options, instead) in _SITUATIONS.items():
        if not opened.issuperset(instead.get("p99_ms", ())):
            continue
        verdict = judge(studies, requirements(stated(studies), instead))
        yield f"| {required} | {verdict.finding} | {f'`{options}`' if options else ''} |"
