"""What a run needs before it can start: its plan, its environments, its folder, its description."""

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench import database, host, narrowing, plan, results, stacks
from bench import scenarios as scenario_files
from bench.cpus import CpuSplit
from bench.errors import UsageError, UserError
from bench.launchers import Kind
from bench.plan import Plan
from bench.processes import ROOT
from bench.results import METHODOLOGY, SCHEMA, RunFolder
from bench.scenarios import Scenario
from targets.configurations import Catalogue, Configuration
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


@dataclass(frozen=True)
class Environments:
    """The environments by stack, and what is unavailable here (as in ``run.json``).

    ``launcher`` is the one they are for, ``suite`` the versions of what the generator runs on.
    """

    ready: dict[str, stacks.Environment]
    unavailable: list[dict[str, str]]
    launcher: str = "processes"
    suite: dict[str, Any] = field(default_factory=host.suite_versions)

    @property
    def lacking(self) -> list[str]:
        """The scenarios that are unavailable."""
        return [entry["scenario"] for entry in self.unavailable if "scenario" in entry]


def chosen_plan(request: Request) -> tuple[str, Plan]:
    """The name and the plan asked for: that of the run to resume, or a plan file narrowed."""
    if request.resume is None:
        return Path(request.plan).stem, narrowing.narrow(plan.load(request.plan), request.changes)
    if request.changes:
        keys = ", ".join(request.changes)
        raise UsageError(f"--resume goes on with the plan of its run; it cannot change: {keys}")
    folder = results.find(request.results, request.resume)
    recorded = dict(results.read_run(folder)["plan"])
    return recorded.pop("name"), plan.validate(recorded, f"{folder}/run.json")


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
    """The catalogue a plan chooses from: its own, or the suite's."""
    own = own_catalogue(chosen)
    return load_catalogue() if own is None else load_catalogue(own)


def files_read(chosen: Plan, catalogue: Catalogue, scenarios: Iterable[Path]) -> list[Path]:
    """The files that servers and generator read: the scenarios, and a catalogue of the plan's own."""
    own = own_catalogue(chosen)
    of_catalogue = [] if own is None else [own, *(s.requirements for s in catalogue.stacks.values())]
    return [*scenarios, *of_catalogue]


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
    """The environments of the stacks the plan uses, and of the generator, made when missing."""
    ready: dict[str, stacks.Environment] = {}
    missing: dict[str, stacks.UnavailableError] = {}
    unavailable = []
    for name in chosen.configurations:
        stack = catalogue.stacks[catalogue.get(chosen.original(name)).stack]
        if stack.name not in ready and stack.name not in missing:
            try:
                ready[stack.name] = kind.environment(stack, say)
            except stacks.UnavailableError as error:
                missing[stack.name] = error
        if stack.name in missing:
            why = missing[stack.name]
            unavailable.append({"configuration": name, "reason": why.reason, "remedy": why.remedy})
            say(f"{name} is unavailable: {why.reason}\n  to have it: {why.remedy}")
    # Without anything to serve, nothing is measured: the generator is not made for that.
    suite = kind.suite(say) if ready else {}
    return Environments(ready, unavailable, kind.name, suite)


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
    }


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
