"""Which runs a verdict is made of, and the verdict on them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from analysis.reading.results import finished
from analysis.recommend.decision import decide
from analysis.recommend.evidence import Kind
from analysis.recommend.reading import kinds, of_kind, read
from analysis.recommend.tuning import runs_of_settings
from analysis.recommend.verdict import Behind, Verdict
from analysis.study import Study, study
from bench.model import matching
from bench.model.errors import UserError
from bench.model.plans.recycling import DEPLOYS
from bench.model.records.run import Run
from bench.model.requirements import Requirements, combined

# Repeats, from which on more of them only narrow intervals.
_ENOUGH = 3


@dataclass(frozen=True)
class _Found:
    """A run that a verdict may go by, its folder, and how many `configurations` it was to measure."""

    folder: Path
    run: Run
    configurations: int

    def loads(self, kind: Kind) -> int:
        """How many loads of a kind each configuration has."""
        plan = self.run.plan
        key = "open" if plan.get("recycling") and kind == "recycling" else "users"
        scenarios = plan.get("scenarios", {}).values()
        # Open loops and searches compare servers as well where nothing is recycled.
        counted = sum(bool(loads.get(key)) or not plan.get("recycling") for loads in scenarios)
        probes = plan.get("probes", []) if kind == "recycling" else []
        return counted * len(plan.get("workers") or []) + len(probes)

    def often(self, kind: Kind) -> int:
        """How often, as far as that matters: repeats or sittings, or the replacements of a cell."""
        plan = self.run.plan
        if kind == "recycling":
            table = plan.get("recycling") or {}
            return int(table.get("replacements", 1)) * int(table.get("repeats") or plan.get("repeats", 1))
        rotation = plan.get("rotation")
        return min(_ENOUGH, int(rotation["sittings"] if rotation else plan.get("repeats", 1)))

    def width(self, kind: Kind) -> tuple[int, int, int]:
        """What narrowing a plan makes smaller: configurations, what is done to each, and how often."""
        return self.configurations, self.loads(kind), self.often(kind)

    def worth(self, kind: Kind) -> tuple[int, int, int, float]:
        """To choose between plans: how many were measured, how often, of recycling in how many ways, when."""
        ways = self.loads(kind) if kind == "recycling" else 0
        return self.configurations, self.often(kind), ways, self.run.started


def latest(root: Path, machine_id: str, behind: str | None = None) -> list[Path]:
    """The runs of the suite's app on a machine under `root` that a verdict goes by: of each kind one or none.

    What replacing workers costs is that of clients `behind` a proxy (None: of those that go to the server).

    It is the latest of those that measured the most (`_best`); the run of recycling is like that of
    performance. Where that replaced workers as well, a run of recycling alone, which replaces more, goes
    before it.
    """
    usable = [found for found in _usable(root, machine_id) if found.run.app is None]
    fast = _best(_of_way(usable, "performance", behind), "performance")
    like = _beside(None if fast is None else fast.run, _of_way(usable, "recycling", behind))
    return [found.folder for found in (fast, like) if found is not None]


def _of_way(usable: Sequence[_Found], kind: Kind, behind: str | None) -> list[_Found]:
    """The runs whose clients went that way; where none measured performance so, those without a proxy."""
    mine = [one for one in usable if one.run.behind == behind]
    if kind == "performance" and not any(kind in kinds(one.run) for one in mine):
        return [one for one in usable if one.run.behind is None]
    return mine


def _beside(fast: Run | None, usable: Sequence[_Found]) -> _Found | None:
    """The run of recycling that goes with one of performance, or stands alone."""
    alike = [one for one in usable if fast is None or (one.run.run != fast.run and _alike(fast, one.run))]
    alone = _best([one for one in alike if kinds(one.run) == ("recycling",)], "recycling")
    if alone is not None or (fast is not None and "recycling" in kinds(fast)):
        return alone
    return _best(alike, "recycling")


def counterpart(folder: Path, run: Run, behind: str | None = None) -> Path | None:
    """The run beside `folder` that a verdict on the run in it goes by as well, of the other kind.

    It measured the same app; where none did, a run of the suite's app tells what recycling costs. With
    `behind` it is what it costs clients behind that proxy, whichever way those of the run went.
    """
    behind = behind or run.behind
    usable = list(_usable(folder.parent, run.host.machine_id))
    same = [one for one in usable if one.run.app == run.app]
    if "performance" not in kinds(run):
        fast = _of_way(same, "performance", behind)
        best = _best([one for one in fast if _alike(run, one.run)], "performance")
    else:
        best = _beside(run, _of_way(same, "recycling", behind))
        if best is None and "recycling" not in kinds(run):
            suites = [one for one in usable if one.run.app is None]
            best = _beside(run, _of_way(suites, "recycling", behind))
    return None if best is None else best.folder


def asks(run: Run) -> bool:
    """Whether a run asks which configuration to use: of the suite's catalogue, which it starts itself.

    One that compares two versions of an app asks whether that became worse, one that tries settings what
    these are worth, one that only deploys what that costs.
    """
    compares = (run.plan.get("own_app") or {}).get("baseline")
    probes = [probe["kind"] for probe in run.plan.get("probes", [])]
    deploys = not run.plan.get("scenarios") and probes and set(probes) <= set(DEPLOYS)
    otherwise = compares or run.plan.get("settings") or deploys
    return run.plan.get("catalogue") is None and run.plan.get("external") is None and not otherwise


def _of_a_database(run: Run) -> bool:
    """Whether a run measured nothing but a database beside the server, which says little of the server."""
    return run.database is not None and set(run.plan.get("scenarios", {})) <= set(run.database.scenarios)


def _usable(root: Path, machine_id: str) -> Iterator[_Found]:
    """The finished runs of a machine that ask which configuration to use, in general."""
    found: list[tuple[Path, Run]] = []
    for folder, run in finished(root):
        if run.host.machine_id == machine_id and asks(run) and not _of_a_database(run):
            found.append((folder, run))
    # Not every plan measures variants, and not every run says which of its configurations are some.
    variants = {each.name for _, run in found for each in run.configurations if each.variant_of}
    for folder, run in found:
        named = set(run.plan.get("configurations", [])) - set(run.plan.get("aliases", {})) - variants
        yield _Found(folder, run, len(named))


def _best(usable: Iterable[_Found], kind: Kind) -> _Found | None:
    """The latest run that measured the most of a kind, so that no experiment on the side decides.

    Of a plan's runs only the widest count, as others were narrowed; of several plans that with the most
    configurations counts, of equals that with repeats to rank them by, or with the most replacements.
    """
    plans: dict[str, list[_Found]] = {}
    for one in usable:
        if kind in kinds(one.run):
            plans.setdefault(str(one.run.plan.get("name")), []).append(one)
    whole = [
        one
        for runs in plans.values()
        for one in runs
        if one.width(kind) == max(run.width(kind) for run in runs)
    ]
    return max(whole, key=lambda one: one.worth(kind), default=None)


def stated(studies: Sequence[Study]) -> dict[str, Mapping[str, Any]]:
    """The `[requirements]` that the plan of each run has, by the run's name."""
    plans = {analysed.results.run.run: analysed.results.run.plan for analysed in studies}
    return {run: plan.get("requirements") or {} for run, plan in plans.items()}


def judge(
    studies: Sequence[Study], asked: Requirements, *, tried: Sequence[Study] = (), across: bool = False
) -> Verdict:
    """The verdict on some runs, of each kind one at most; one run may be of both kinds.

    What settings are worth is known from the runs that `tried` some, the latest first.

    Raises:
        UserError: one measured an external server, two are of the same kind, or of unlike hosts or
            methodology versions and not `across`.
    """
    for analysed in studies:
        if (url := analysed.results.run.external) is not None:
            raise UserError(
                f"{analysed.results.run.run} measured the server at {url}. Its command is unknown, so it "
                "cannot be recommended: give runs of the suite's configurations"
            )
    for one, other in pairwise(sorted(studies, key=lambda each: kinds(each.results.run))):
        if kinds(one.results.run) == kinds(other.results.run):
            both = f"{one.results.run.run} and {other.results.run.run}"
            name = " and ".join(kinds(one.results.run))
            raise UserError(f"{both} are both runs of {name}: give one of each kind")
    runs = [analysed.results.run for analysed in studies]
    unlike = "; ".join(
        text for one, other in pairwise(runs) for text in matching.unlike(one, other, setup=False)
    )
    if unlike and not across:
        names = " and ".join(run.run for run in runs)
        raise UserError(
            f"{names} were measured under unlike conditions: {unlike}. "
            "judge by both nevertheless with --across"
        )
    behind = _behind(runs)
    fast, recycling = of_kind(studies, "performance"), of_kind(studies, "recycling")
    if behind is not None:  # losses on the other way are those of nobody who is asked for
        recycling = tuple(each for each in recycling if each.results.run.behind == behind.proxy)
    evidence = read(fast[0] if fast else None, *recycling, tried=tried, first=asked.given().get("first"))
    if unlike:
        warning = f"The runs were measured under unlike conditions: {unlike}."
        evidence = replace(evidence, gaps=(warning, *evidence.gaps))
    return decide(evidence, asked).model_copy(update={"behind": behind})


def _behind(runs: Sequence[Run]) -> Behind | None:
    """The proxy before the servers of some runs, if any; raises ``UserError`` where they have two."""
    found = {
        run.behind: Behind(proxy=run.behind, version=run.proxy.version, configuration=run.proxy.configuration)
        for run in runs
        if run.behind is not None and run.proxy is not None
    }
    if len(found) > 1:
        raise UserError(f"the runs were measured behind {' and '.join(found)}: give runs behind one of them")
    return next(iter(found.values()), None)


def _alike(one: Run, other: Run) -> bool:
    """Whether two runs are evidence about one machine."""
    return not list(matching.unlike(one, other, setup=False))


def of_run(analysed: Study, say: Callable[[str], None]) -> Verdict | None:
    """The verdict in the report of a run, and of the other kind of run beside it, where there is one.

    The requirements of the run's own plan go before those of the other's. None where the run does not ask
    which configuration to use. `say` gets a line on what is being read.

    Raises:
        UserError: its plan requires what is impossible.
    """
    run = analysed.results.run
    if not asks(run):
        return None
    folder = counterpart(analysed.results.directory, run)
    others: list[Study] = []
    unread: tuple[str, ...] = ()
    if folder is not None:
        say(f"reading {folder.name} for the verdict")
        try:
            others.append(study(folder))
        except UserError as error:
            # The run can be reported without it.
            unread = (f"{folder.name} was not read: {error}",)
    asked = combined(stated(others), stated([analysed])[run.run])
    tried = runs_of_settings(analysed.results.directory.parent, run)
    verdict = judge([analysed, *others], asked, tried=tried)
    return verdict.model_copy(update={"not_covered": (*unread, *verdict.not_covered)})
