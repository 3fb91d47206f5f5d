"""The ceilings of a whole plan: those that are kept from before, and the rest measured now."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.ceiling import Ceiling, NoCeilingError, Outcome, Rig, Subject, estimate_s, measure
from bench.ceilings_cache import Cache, key

Say = Callable[[str], None]


def kept_or_measured(
    rig: Rig, wanted: Sequence[Subject], machine: Mapping[str, Any], cache: Cache | None, say: Say
) -> list[Ceiling]:
    """The ceilings of a run; one that cannot be had is told and left out.

    ``machine`` is the ``host`` of ``run.json``; without a ``cache`` they hold for this run only. ``say``
    hears what is measured and how long it takes.

    Raises:
        UserError: the port asked for is in use.
    """
    kept = {} if cache is None else cache.read()
    keys = {subject: key(subject, rig, machine) for subject in wanted}
    found = {subject: kept[keys[subject]] for subject in wanted if keys[subject] in kept}
    missing = [subject for subject in wanted if subject not in found]
    if missing:
        say(
            f"measuring what the generator itself can reach, {_loads(len(missing))} against a null server: "
            f"about {estimate_s(len(missing)):.0f} s{', once for this machine and version' if cache else ''}"
        )
        found |= measure_all(rig, missing, machine, cache, say)
    return [found[subject] for subject in wanted if subject in found]


def measure_all(
    rig: Rig, wanted: Sequence[Subject], machine: Mapping[str, Any], cache: Cache | None, say: Say
) -> dict[Subject, Ceiling]:
    """Measure ceilings, keep them in the ``cache``, and tell of each; raises as ``kept_or_measured``."""
    measured: dict[Subject, Ceiling] = {}
    lasting: dict[str, Ceiling] = {}

    def done(subject: Subject, outcome: Outcome) -> None:
        if isinstance(outcome, NoCeilingError):
            say(f"  {subject}: no ceiling: {outcome}")
            return
        measured[subject] = outcome.ceiling
        busy = ""
        if outcome.disturbed:
            kept = "" if cache is None else "not kept for later: "
            busy = f" ({kept}something else took {outcome.others:.0%} of the CPUs)"
        else:
            lasting[key(subject, rig, machine)] = outcome.ceiling
        say(f"  {subject}: {rate(outcome.ceiling)} requests/s{busy}")

    try:
        measure(rig, wanted, done)
    finally:
        if cache is not None:
            cache.add(lasting)
    return measured


def rate(ceiling: Ceiling) -> str:
    """Its requests per second, for people."""
    return f"{'at least ' if ceiling.at_least else ''}{ceiling.requests_per_s:,.0f}"


def _loads(count: int) -> str:
    return f"{count} load{'s' if count > 1 else ''}"
