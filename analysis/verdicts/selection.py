"""Which runs a verdict is made of, and the verdict on them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from analysis import schema
from analysis.errors import AnalysisError
from analysis.study import Study
from analysis.verdicts.decision import decide
from analysis.verdicts.model import Verdict
from analysis.verdicts.reading import kind, own_app, read
from analysis.verdicts.requirements import Requirements

# Repeats, from which on more of them only narrow intervals.
_ENOUGH = 3


@dataclass(frozen=True)
class _Found:
    """A run that a verdict may go by, its folder, and how many `configurations` it was to measure."""

    folder: Path
    run: schema.Run
    configurations: int

    @property
    def repeats(self) -> int:
        """How often, as far as that matters."""
        return min(_ENOUGH, int(self.run.plan.get("repeats", 1)))

    @property
    def width(self) -> tuple[int, int, int]:
        """What narrowing a plan makes smaller: configurations, what is done to each, and how often."""
        plan = self.run.plan
        loads = len(plan.get("scenarios", {})) * len(plan.get("workers") or []) + len(plan.get("probes", []))
        return self.configurations, loads, self.repeats

    @property
    def worth(self) -> tuple[int, int, float]:
        """To choose between plans: how many were measured, how often, and when."""
        return self.configurations, self.repeats, self.run.started


def latest(root: Path, machine_id: str) -> list[Path]:
    """The runs of the suite's app on a machine under `root` that a verdict goes by: of each kind one or none.

    It is the latest of those that measured the most (`_best`); the run of recycling is like that of
    performance.
    """
    every = [each for each in _usable(root, machine_id) if own_app(each.run) is None]
    fast = _best(each for each in every if kind(each.run) == "performance")
    recycling = (each for each in every if kind(each.run) == "recycling")
    like = _best(each for each in recycling if fast is None or not list(_unlike(fast.run, each.run)))
    return [each.folder for each in (fast, like) if each is not None]


def counterpart(folder: Path, run: schema.Run) -> Path | None:
    """The run beside `folder` that a verdict on the run in it goes by as well, of the other kind.

    It is one of the same app; what recycling costs may be told by one of the suite's.
    """
    every = _usable(folder.parent, run.host.machine_id)
    others = [each for each in every if kind(each.run) != kind(run) and not list(_unlike(run, each.run))]
    best = _best(each for each in others if own_app(each.run) == own_app(run))
    if best is None and kind(run) == "performance":
        best = _best(each for each in others if own_app(each.run) is None)
    return None if best is None else best.folder


def asks(run: schema.Run) -> bool:
    """Whether a run asks which configuration to use: of the suite's catalogue, which it starts itself."""
    return run.plan.get("catalogue") is None and run.plan.get("external") is None


def _of_a_database(run: schema.Run) -> bool:
    """Whether a run measured nothing but a database beside the server, which says little of the server."""
    return run.database is not None and set(run.plan.get("scenarios", {})) <= set(run.database.scenarios)


def _usable(root: Path, machine_id: str) -> Iterator[_Found]:
    """The finished runs of a machine that ask which configuration to use, in general."""
    found: list[tuple[Path, schema.Run]] = []
    for path in root.glob("*/run.json"):
        try:
            run = schema.read(path, schema.Run)
        except AnalysisError:  # of another version of the suite, or not whole
            continue
        mine = run.host.machine_id == machine_id and asks(run) and not _of_a_database(run)
        if run.status == "finished" and mine:
            found.append((path.parent, run))
    # Not every plan measures variants, and not every run says which of its configurations are some.
    variants = {each.name for _, run in found for each in run.configurations if each.variant_of}
    for folder, run in found:
        named = set(run.plan.get("configurations", [])) - set(run.plan.get("aliases", {})) - variants
        yield _Found(folder, run, len(named))


def _best(found: Iterable[_Found]) -> _Found | None:
    """The latest run that measured the most, so that no experiment on the side decides.

    Of a plan's runs only the widest count, as others were narrowed; of several plans that with the most
    configurations counts, of equals that with repeats to rank them by.
    """
    plans: dict[str, list[_Found]] = {}
    for each in found:
        plans.setdefault(str(each.run.plan.get("name")), []).append(each)
    whole = [
        each for runs in plans.values() for each in runs if each.width == max(other.width for other in runs)
    ]
    return max(whole, key=lambda each: each.worth, default=None)


def stated(studies: Sequence[Study]) -> dict[str, Mapping[str, Any]]:
    """The `[requirements]` that the plan of each run has, by the run's name."""
    plans = {study.results.run.run: study.results.run.plan for study in studies}
    return {run: plan.get("requirements") or {} for run, plan in plans.items()}


def judge(studies: Sequence[Study], asked: Requirements, *, across: bool = False) -> Verdict:
    """The verdict on one or two runs, one of each kind.

    Raises:
        AnalysisError: one measured an external server, two are of a kind, or of unlike hosts or methodology
            versions and not `across`.
    """
    of_kind: dict[str, Study] = {}
    for study in studies:
        if (url := study.results.run.external) is not None:
            raise AnalysisError(
                f"{study.results.run.run} measured what ran at {url}: nobody knows the command that serves "
                "it, so that it is no candidate. Give runs of the suite's configurations"
            )
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
