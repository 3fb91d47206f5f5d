"""What the runs of a verdict leave open themselves, in sentences."""

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from analysis.study import Study
from analysis.words import counted
from bench.model.records.run import Run


def gaps(studies: Sequence[Study], considered: Collection[str]) -> Iterator[str]:
    """Sentences; `considered` are the configurations that have a cell in any of the runs."""
    for study in studies:
        yield _conditions(study.results.run)
    yield from _differences([study.results.run for study in studies])
    absent = {entry.configuration for study in studies for entry in study.results.run.unavailable}
    every = dict.fromkeys(name for study in studies for name in _choices(study.results.run))
    never = [name for name in every if name not in considered and name not in absent]
    if never:
        yield f"Not measured: {', '.join(never)}."
    for study in studies:
        yield from _mistrusted(study)


def _choices(run: Run) -> Iterator[str]:
    """The configurations of the catalogue, without aliases."""
    aliases = run.plan.get("aliases", {})
    return (entry.name for entry in run.configurations if entry.name not in aliases)


def _conditions(run: Run) -> str:
    split = run.cpu_split
    version = "" if run.proxy is None else f" {run.proxy.version}"
    proxy = "no proxy" if run.behind is None else f"behind {run.behind}{version}"
    served = run.served_by
    apart = run.server_host is not None
    way = f"over a network from {run.host.hostname}" if apart else "over loopback: no network"
    return (
        f"{run.run}: {served.hostname}, {served.cpu}, {counted(served.cpus, 'CPU')} "
        f"({len(split.server)} for the server), launcher {run.launcher}, {way}, no TLS, {proxy}."
    )


def _differences(runs: Sequence[Run]) -> Iterator[str]:
    """What differed between two runs of one machine."""
    for one, other in pairwise(runs):
        if one.behind != other.behind:
            ways = " and ".join(f"behind {run.behind or 'no proxy'} ({run.run})" for run in (one, other))
            yield f"Performance and losses were measured in different ways: {ways}."
        if one.launcher != other.launcher:
            yield f"The runs had different launchers: {one.launcher} and {other.launcher}."
        for stack in one.stacks.keys() & other.stacks.keys():
            before, after = (
                {"Python": run.stacks[stack].python, **run.stacks[stack].packages} for run in (one, other)
            )
            changed = [
                f"{name} {before[name]} and {after[name]}"
                for name in sorted(before.keys() & after.keys())
                if before[name] != after[name]
            ]
            if changed:
                yield f"The runs had different versions in the stack {stack}: {', '.join(changed)}."


def _mistrusted(study: Study) -> Iterator[str]:
    """What is wrong with the whole of a run, and how much with single cells."""
    name = study.results.run.run
    for finding in study.findings:
        if finding.scenario is None:
            yield f"{name}: {finding.message.rstrip('.')}."
    single = sum(finding.scenario is not None and finding.severity == "warning" for finding in study.findings)
    if single:
        yield f"{name}: its report has {counted(single, 'warning')} about single scenarios."
