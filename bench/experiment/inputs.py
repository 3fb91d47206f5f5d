"""What is measured: a plan, and the configurations and scenarios that it names, read from their files."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from bench.experiment import results
from bench.launch.databases.database import needing
from bench.model import scenarios as scenario_files
from bench.model.errors import UsageError
from bench.model.files import ROOT
from bench.model.plans import naming, narrowing
from bench.model.plans import plan as plans
from bench.model.plans.own_app import BEFORE
from bench.model.plans.plan import Plan
from bench.model.scenarios import Scenario
from targets.catalogue.configurations import Catalogue, Configuration
from targets.catalogue.configurations import load as load_catalogue


@dataclass(frozen=True)
class Inputs:
    """A plan whose names all exist, and what it chooses from; ``scenarios`` are by name."""

    name: str
    plan: Plan
    catalogue: Catalogue
    scenarios: Mapping[str, Scenario]

    @classmethod
    def of(cls, name: str, plan: Plan, where: str) -> Self:
        """Read what a plan names; ``where`` the plan was found stands in errors about it.

        Raises:
            UsageError: a name does not exist.
            UserError: a file cannot be used, or the plan's own app is not there.
        """
        chosen_from, known = catalogue(plan), scenarios(plan)
        plan = naming.resolve(plan, chosen_from.configurations, known, where)
        if plan.own_app is not None:
            plan.own_app.check(chosen_from)
            plan.own_app.values()
            if plan.own_app.before is not None and plan.recycling is not None:
                raise UsageError("BASELINE= compares two versions by their closed loops: leave out recycling")
        return cls(name, plan, chosen_from, known)

    def with_plan(self, plan: Plan) -> Self:
        return replace(self, plan=plan)

    def on(self, cpus: int) -> Self:
        """The same where servers have so many CPUs, by which numbers of workers may go."""
        return replace(self, catalogue=self.catalogue.on(cpus))

    @property
    def configurations(self) -> dict[str, Configuration]:
        """Every configuration by name, and by the plan's aliases for it."""
        return configurations(self.plan, self.catalogue)

    @property
    def needing_database(self) -> frozenset[str]:
        """The plan's scenarios that need a database; an external server has its own."""
        return frozenset() if self.plan.external else needing(self.scenarios, self.plan.loaded)

    def paths(self, without: Collection[str] = ()) -> dict[str, Path]:
        """The files of the plan's scenarios by name, without some scenarios."""
        return {name: self.scenarios[name].path for name in self.plan.loaded if name not in without}

    def files(self, paths: Collection[Path]) -> list[Path]:
        """What servers and generator read: scenarios at some paths, the plan's own catalogue and app."""
        own = self.plan.own_app
        apps = [] if own is None else [own, own.before]
        of_app = [app.path for app in apps if app is not None]
        return [*paths, *self.catalogue.files, *of_app]


def narrowed(plan: str, changes: Mapping[str, Any]) -> Inputs:
    """A plan by its name or path, with ``changes`` as ``narrowing.narrow`` takes them.

    Other locustfiles than the plan's get all of its loads.
    """
    others = changes.get("locustfiles")
    if others is not None and "scenarios" not in changes:
        changes = {**changes, "scenarios": list(scenario_files.load(Path(others)))}
    return Inputs.of(Path(plan).stem, narrowing.narrow(plans.load(plan), changes), plan)


def recorded(results_folder: Path, run: str, changes: Mapping[str, Any]) -> Inputs:
    """The plan of a recorded run; only its limits can be changed."""
    others = [key for key in changes if key not in plans.LIMITS]
    if others:
        raise UsageError(f"--resume goes on with the plan of its run; it cannot change: {', '.join(others)}")
    folder = results.find(results_folder, run)
    plan, where = {**results.read_run(folder)["plan"], **changes}, f"{folder}/run.json"
    return Inputs.of(plan.pop("name", ""), plans.validate(plan, where), where)


def catalogue_file(plan: Plan) -> Path | None:
    """The catalogue file of a plan that has its own."""
    return None if plan.catalogue is None else ROOT / plan.catalogue


def catalogue(plan: Plan) -> Catalogue:
    """The catalogue a plan chooses from: its own, or the suite's; or an external server alone."""
    if plan.external is not None:
        return plan.external.catalogue()
    own = catalogue_file(plan)
    return load_catalogue() if own is None else load_catalogue(own)


def scenarios(plan: Plan) -> dict[str, Scenario]:
    """The scenarios a plan chooses from, by name: those of its own folder, or the suite's."""
    return scenario_files.load() if plan.locustfiles is None else scenario_files.load(ROOT / plan.locustfiles)


def configurations(plan: Plan, catalogue: Catalogue) -> dict[str, Configuration]:
    """Every configuration by name, and by the plan's aliases for it."""
    aliases = {alias: catalogue.get(original) for alias, original in plan.aliases.items()}
    return catalogue.configurations | aliases | befores(plan, catalogue)


def befores(plan: Plan, catalogue: Catalogue) -> dict[str, Configuration]:
    """The configurations that serve the baseline of the plan's app, in a stack of their own."""
    known = {name: catalogue.get(original) for name, original in plan.befores.items()}
    return {name: replace(entry, stack=f"{entry.stack}{BEFORE}") for name, entry in known.items()}
