"""What a run needs before it can start: its plan, its environments, its folder, its description."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import database, examination, host, narrowing, own_stack, plan, results, stacks
from bench import scenarios as scenario_files
from bench.cpus import CpuSplit
from bench.errors import UsageError, UserError
from bench.launchers import Kind
from bench.own_app import OwnApp
from bench.plan import Plan
from bench.processes import ROOT
from bench.results import METHODOLOGY, SCHEMA, RunFolder
from bench.scenarios import Scenario
from targets.configurations import Catalogue, Configuration, Stack
from targets.configurations import load as load_catalogue

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line; ``changes`` as ``narrowing.narrow`` takes them."""

    results: Path
    plan: str = "quick"
    changes: Mapping[str, Any] = field(default_factory=dict)
    resume: str | None = None
    fresh: bool = False
    seed: int | None = None
    port: int | None = None
    launcher: str | None = None
    allow_remote: bool = False


@dataclass(frozen=True)
class Environments:
    """The environments by stack, and what is unavailable here (as in ``run.json``).

    ``launcher`` is the one they are for, ``suite`` the versions of what the generator runs on, ``replaced``
    the packages of each stack whose version is not the pinned one but that of an app's requirements.
    """

    ready: dict[str, stacks.Environment]
    unavailable: list[dict[str, str]]
    launcher: str = "processes"
    suite: dict[str, Any] = field(default_factory=host.suite_versions)
    replaced: dict[str, dict[str, tuple[str, str | None]]] = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """The scenarios that are unavailable."""
        return [entry["scenario"] for entry in self.unavailable if "scenario" in entry]


def chosen_plan(request: Request) -> tuple[str, Plan]:
    """The name and the plan asked for: that of the run to resume, or a plan file narrowed."""
    if request.resume is None:
        return Path(request.plan).stem, _narrowed(plan.load(request.plan), request.changes)
    if request.changes:
        keys = ", ".join(request.changes)
        raise UsageError(f"--resume goes on with the plan of its run; it cannot change: {keys}")
    folder = results.find(request.results, request.resume)
    recorded = dict(results.read_run(folder)["plan"])
    return recorded.pop("name"), plan.validate(recorded, f"{folder}/run.json")


def _narrowed(chosen: Plan, changes: Mapping[str, Any]) -> Plan:
    """The plan as the command line asks; other locustfiles than the plan's are run under all of its loads."""
    others = changes.get("locustfiles")
    if others is not None and "scenarios" not in changes:
        changes = {**changes, "scenarios": list(scenario_files.load(Path(others)))}
    return narrowing.narrow(chosen, changes)


def plan_file(request: Request) -> str:
    """Where the plan asked for stands, for errors about it."""
    if request.resume is not None:
        return str(results.find(request.results, request.resume) / "run.json")
    return request.plan


def recorded_launcher(request: Request) -> str | None:
    """The launcher of the run to resume, if one is to be resumed: it goes on where it was begun."""
    if request.resume is None:
        return None
    launcher: str = results.read_run(results.find(request.results, request.resume))["launcher"]
    return launcher


def own_catalogue(chosen: Plan) -> Path | None:
    """The catalogue file of a plan that has its own."""
    return None if chosen.catalogue is None else ROOT / chosen.catalogue


def catalogue(chosen: Plan) -> Catalogue:
    """The catalogue a plan chooses from: its own, or the suite's; or an external server alone."""
    if chosen.external is not None:
        return chosen.external.catalogue()
    own = own_catalogue(chosen)
    return load_catalogue() if own is None else load_catalogue(own)


def files_read(chosen: Plan, catalogue: Catalogue, scenarios: Iterable[Path]) -> list[Path]:
    """What servers and generator read: the scenarios, and the plan's own catalogue and app."""
    own = own_catalogue(chosen)
    of_catalogue = [] if own is None else [own, *(s.requirements for s in catalogue.stacks.values())]
    of_app = [] if chosen.own_app is None else [chosen.own_app.path]
    return [*scenarios, *of_catalogue, *of_app]


def scenarios(chosen: Plan) -> dict[str, Scenario]:
    """The scenarios a plan chooses from, by name: those of its own folder, or the suite's."""
    return (
        scenario_files.load()
        if chosen.locustfiles is None
        else scenario_files.load(ROOT / chosen.locustfiles)
    )


def named(chosen: Plan, catalogue: Catalogue) -> dict[str, Configuration]:
    """Every configuration by name, and by the plan's aliases for it."""
    aliases = {alias: catalogue.get(original) for alias, original in chosen.aliases.items()}
    return catalogue.configurations | aliases


def environments(chosen: Plan, catalogue: Catalogue, kind: Kind, say: Say) -> Environments:
    """The environments of the stacks the plan uses, and of the generator, made when missing.

    Raises:
        UserError: an app of one's own cannot be served in them.
    """
    if chosen.external is not None:
        return Environments({}, [], kind.name, kind.suite(say))
    ready: dict[str, stacks.Environment] = {}
    replaced: dict[str, dict[str, tuple[str, str | None]]] = {}
    missing: dict[str, stacks.UnavailableError] = {}
    unavailable = []
    for name in chosen.configurations:
        stack = catalogue.stacks[catalogue.get(chosen.original(name)).stack]
        if stack.name not in ready and stack.name not in missing:
            try:
                if chosen.own_app is None:
                    ready[stack.name] = kind.environment(stack, say)
                else:
                    stack = chosen.own_app.over(stack)
                    ready[stack.name] = _of_own(chosen.own_app, stack, kind, say)
                    replaced[stack.name] = own_stack.replaced(stack, ready[stack.name])
            except stacks.UnavailableError as error:
                missing[stack.name] = error
        if stack.name in missing:
            why = missing[stack.name]
            unavailable.append({"configuration": name, "reason": why.reason, "remedy": why.remedy})
            say(f"{name} is unavailable: {why.reason}\n  to have it: {why.remedy}")
    # Without anything to serve, nothing is measured: the generator is not made for that.
    suite = kind.suite(say) if ready else {}
    return Environments(ready, unavailable, kind.name, suite, replaced)


def _of_own(own: OwnApp, stack: Stack, kind: Kind, say: Say) -> stacks.Environment:
    """The environment of an app of one's own, in which it can be imported; raises as ``environments``."""
    own_stack.check_before(stack)
    environment = kind.environment(stack, say)
    own_stack.check_after(stack, environment)
    instead = own_stack.replaced(stack, environment)
    if instead:
        said = ", ".join(f"{name} {theirs} (not {ours})" for name, (ours, theirs) in instead.items())
        say(f'of the app\'s requirements in the stack "{stack.name}": {said}')
    kind.suite(say)  # a launcher is not there without it
    examination.examine_app(own, stack, environment, kind, say)
    return environment


def database_source(
    launcher: str, needing: Collection[str], having: Environments, say: Say
) -> database.Source | None:
    """Where the database of a run comes from; scenarios that need one are noted as unavailable without.

    ``needing`` are the names of these scenarios; if there are none, no database is looked for.
    """
    if not needing:
        return None
    try:
        source = database.find(launcher, say)
    except stacks.UnavailableError as why:
        for name in sorted(needing):
            having.unavailable.append({"scenario": name, "reason": why.reason, "remedy": why.remedy})
        say(f"unavailable: {', '.join(sorted(needing))}: {why.reason}\n  to measure that: {why.remedy}")
        return None
    say(f"database: {source}")
    return source


def describe(
    name: str, chosen: Plan, catalogue: Catalogue, split: CpuSplit, having: Environments
) -> dict[str, Any]:
    """``run.json`` as far as it is known before anything runs."""
    shown = ("name", "summary", "stack", "recycle", "keep_alive_s", "backlog", "variant_of")
    entries = [{key: getattr(entry, key) for key in shown} for entry in catalogue.configurations.values()]
    if chosen.external is not None:
        entries = [chosen.external.entry()]
    for alias, original in chosen.aliases.items():
        (entry,) = [entry for entry in entries if entry["name"] == original]
        also = f"the same as {original}, under another name (A/A)"
        entries.append(entry | {"name": alias, "summary": also})
    return {
        "schema": SCHEMA,
        "methodology": METHODOLOGY,
        "plan": {"name": name, **chosen.model_dump()},
        "launcher": having.launcher,
        "host": host.facts(),
        "cpu_split": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(split).items()},
        "stacks": {
            key: {"python": environment.version, "packages": environment.packages}
            for key, environment in having.ready.items()
        },
        "suite": having.suite,
        "git": host.git_state(),
        "configurations": entries,
        "ceilings": [],
        "unavailable": having.unavailable,
        "database": None,
        **_own_app(chosen, having),
    }


def _own_app(chosen: Plan, having: Environments) -> dict[str, Any]:
    """What ``run.json`` has of an app of one's own beside the plan: nothing without one."""
    if chosen.own_app is None:
        return {}
    requirements = chosen.own_app.requirements
    digest = None if requirements is None else stacks.requirements_hash(ROOT / requirements)
    return {"own_app": {"requirements_sha256": digest, "replaced": having.replaced}}


def run_folder(request: Request, described: Mapping[str, Any], say: Say) -> Path:
    """The folder to write to: that of the run to go on with, or a new one.

    Raises:
        UserError: the run to resume was begun under other conditions.
    """
    if request.resume is not None:
        path = results.find(request.results, request.resume)
        differing = results.differences(results.read_run(path), described)
        if differing:
            raise UserError(
                f"{path.name} cannot go on here: {', '.join(differing)} differ from when it was begun, "
                "and unlike results are not merged.\nStart a new run instead: leave out --resume"
            )
        return path
    unfinished = None if request.fresh else results.unfinished(request.results, described, request.seed)
    if unfinished is None:
        return results.create(request.results, described["plan"]["name"])
    say(f"going on with {unfinished.name}, which was not finished (--fresh starts anew)")
    return unfinished


def begin(folder: RunFolder, described: dict[str, Any], seed: int | None) -> dict[str, Any]:
    """The ``run.json`` to run under: the recorded one of a run that goes on, else a new one."""
    if (folder.path / "run.json").exists():
        # What was unavailable then may be there now.
        now = {"unavailable": described["unavailable"]}
        return {"database": None} | folder.read() | now | {"status": "running", "ended": None}
    own = {
        "run": folder.path.name,
        "status": "running",
        "started": time.time(),
        "ended": None,
        "seed": random.randrange(1 << 32) if seed is None else seed,
        "cells_planned": 0,
        "wall_s": 0.0,
        "load_s": 0.0,
    }
    return described | own
