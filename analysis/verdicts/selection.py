"""Which runs a verdict is made of, and the verdict on them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from analysis import schema
from analysis.errors import AnalysisError
from analysis.study import Study
from analysis.verdicts.decision import decide
from analysis.verdicts.model import Verdict
from analysis.verdicts.reading import kind, read
from analysis.verdicts.requirements import Requirements


def latest(root: Path, machine_id: str) -> list[Path]:
    """The latest finished run of each kind of a machine under `root`: of none, one or both.

    Runs of a catalogue of their own are left out: they ask other questions than which configuration to use.
    """
    runs: list[tuple[float, Path, str]] = []
    for path in root.glob("*/run.json"):
        try:
            run = schema.read(path, schema.Run)
        except AnalysisError:  # of another version of the suite, or not whole
            continue
        theirs = run.host.machine_id != machine_id or run.plan.get("catalogue") is not None
        if run.status == "finished" and not theirs:
            runs.append((run.started, path.parent, kind(run)))
    last = {name: folder for _, folder, name in sorted(runs)}
    return [last[name] for name in ("performance", "recycling") if name in last]


def stated(studies: Sequence[Study]) -> dict[str, Mapping[str, Any]]:
    """The `[requirements]` that the plan of each run has, by the run's name."""
    plans = {study.results.run.run: study.results.run.plan for study in studies}
    return {run: plan.get("requirements") or {} for run, plan in plans.items()}


def judge(studies: Sequence[Study], asked: Requirements, *, across: bool = False) -> Verdict:
    """The verdict on one or two runs, one of each kind.

    Raises:
        AnalysisError: two of a kind, or of unlike hosts or methodology versions and not `across`.
    """
    of_kind: dict[str, Study] = {}
    for study in studies:
        name = kind(study.results.run)
        if name in of_kind:
            both = f"{of_kind[name].results.run.run} and {study.results.run.run}"
            raise AnalysisError(f"{both} are both runs of {name}: give one of each kind")
        of_kind[name] = study
    runs = [study.results.run for study in studies]
    unlike = "; ".join(text for one, other in pairwise(runs) for text in _unlike(one, other))
    if unlike and not across:
        names = " and ".join(run.run for run in runs)
        raise AnalysisError(
            f"{names} were measured under unlike conditions: {unlike}. "
            "Judge by both all the same with --across"
        )
    evidence = read(of_kind.get("performance"), of_kind.get("recycling"))
    if unlike:
        warning = f"The runs were measured under unlike conditions: {unlike}."
        evidence = replace(evidence, gaps=(warning, *evidence.gaps))
    return decide(evidence, asked)


def _unlike(one: schema.Run, other: schema.Run) -> Iterator[str]:
    """What keeps two runs from being evidence about one machine."""
    if one.host.machine_id != other.host.machine_id:
        yield f"host {one.host.hostname} and {other.host.hostname}"
    if one.host.cpu != other.host.cpu:
        yield f"CPU {one.host.cpu} and {other.host.cpu}"
    if one.methodology != other.methodology:
        yield f"methodology {one.methodology} and {other.methodology}"
