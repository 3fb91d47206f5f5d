"""A whole run: from a plan to a folder of results."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.experiment import networks, results
from bench.experiment.blocks import duration, estimate_s, expand, load_s, possible
from bench.experiment.ceiling import subjects, why_none
from bench.experiment.ceilings import Cache, kept_or_measured, note
from bench.experiment.connections import starts
from bench.experiment.connections.starts import Connections
from bench.experiment.environments import Environments, database_source, make_environments
from bench.experiment.generator import generators, locustfiles
from bench.experiment.inputs import Inputs, narrowed, recorded
from bench.experiment.progress import Ahead, RunProgress
from bench.experiment.record import begin, describe
from bench.experiment.results import RunFolder
from bench.experiment.rig import Rig
from bench.experiment.rotation.schedule import Rotating, in_blocks
from bench.experiment.rotation.sittings import Rotation, arrange, begin_rotation
from bench.experiment.runner import Outcome, Runner, remaining, steps_taken
from bench.experiment.soak import soak as soaks
from bench.experiment.soak.soak import Soak
from bench.launch import proxy as proxies
from bench.launch.databases.database import Database
from bench.launch.launcher import Launcher
from bench.launch.local import Processes
from bench.launch.selection import choose_launcher
from bench.launch.stacks import Say
from bench.machine import host
from bench.machine.cpus import CpuSplit
from bench.model import files
from bench.model.cells import Block
from bench.model.errors import UsageError, UserError
from bench.model.plans.deployed import check_permission
from bench.model.plans.plan import Plan


@dataclass(frozen=True)
class Request:
    """The options of a run; ``changes`` are those of its plan, as ``narrowing.narrow`` takes them.

    ``address`` is where generators on other machines reach this one (``HOST[:PORT]``). With ``steered`` false
    a network of the run's own is not steered: it shows what steering does.
    """

    results: Path
    plan: str = "quick"
    changes: Mapping[str, Any] = field(default_factory=dict)
    resume: str | None = None
    fresh: bool = False
    seed: int | None = None
    port: int | None = None
    launcher: str | None = None
    allow_remote: bool = False
    address: str | None = None
    network: str | None = None
    steer_host: bool = False
    steered: bool = True


@dataclass(frozen=True)
class Result:
    """Where the results are, how the cells ended, and whether the run was interrupted."""

    folder: Path
    outcome: Outcome
    interrupted: bool


def run(request: Request, console: Console) -> Result:
    """Run a plan, or go on with a run that was interrupted. Call it from the main thread.

    Raises:
        UserError: the user has to mend something first; finished cells are kept.
    """

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    inputs = _inputs(request)
    resumed = None if request.resume is None else results.find(request.results, request.resume)
    _check_load(inputs.plan, request)
    launcher = _launcher(request, resumed, inputs.plan, say)
    asked = networks.Asked(request.network, request.steer_host, request.port, request.steered)
    networks.check(inputs.plan, launcher.name, asked)
    gathering = generators.gathering(inputs.plan, request.address, launcher, say)
    split = gathering.beside(_split(inputs, launcher, say), launcher, say)
    inputs = inputs.on(len(split.server))
    proxy = proxies.find(inputs.plan, split.own, launcher.find_proxy)
    environments = make_environments(inputs, launcher, say)
    refused: dict[str, str] = {}
    if environments.suite:
        plan, refused = locustfiles.examine(inputs.plan, inputs.paths(), launcher, say)
        inputs = inputs.with_plan(plan)
    source = database_source(launcher.name, inputs.needing_database, environments, say)
    inputs, sittings, rotating = arrange(
        inputs, environments, refused, split, _held(request, resumed, launcher), say
    )
    wanted = networks.wanted(inputs.plan, launcher.name, split, source, asked)
    _allow_open_files(inputs.plan, split.processes)
    plan, described = inputs.plan, describe(inputs, split, environments, proxy)
    if not sittings and not _planned(inputs, rotating, environments, seed=0):
        raise UsageError(f"nothing to measure: {_why_nothing(plan, environments)}")
    gathering.equip(plan, inputs.paths(without=environments.lacking))
    with RunFolder(_folder(request, resumed, described, say)) as folder:
        results.set_damaged_aside(folder, say)
        record = begin(folder, described, request.seed)
        rotation = begin_rotation(record, folder, sittings, rotating)
        planned = _planned(inputs, rotating, environments, record["seed"])
        available, held = environments.available(inputs), _held(request, resumed, launcher)
        soak = soaks.arrange(plan, planned, available, held, record["load_s"])
        todo = remaining(planned, folder) if soak is None else []
        record["cells_planned"] = _known_cells(planned, folder)
        about = None if soak is None else f"{folder.path}: {soak.announcement}"
        say(about or _announcement(folder, plan, planned, todo, rotation))
        further = starts.arrange(plan, environments.available(inputs), folder)
        if further is not None:
            say(further.announcement)
        ahead, unit = (Ahead() if rotation is None else rotation.ahead), "cells"
        if soak is not None:
            ahead, unit = soak.ahead, "min"
        with RunProgress(console, todo, plan, ahead, unit) as progress:
            paths = inputs.paths(without=environments.lacking)
            rig = Rig.of(
                inputs,
                launcher,
                environments,
                split,
                folder.path,
                progress.say,
                paths=paths,
                source=source,
                proxy=proxy,
                wanted=wanted,
                generator=soak is None,
                generators=gathering.expected(record.get("generators"), progress.say),
            )
            configurations = environments.available(inputs)
            runner = Runner(folder, plan, record["seed"], configurations, paths, rig, progress)
            return _carry_out(runner, rotation, todo, further, record, soak)


def _inputs(request: Request) -> Inputs:
    if request.resume is None:
        return narrowed(request.plan, request.changes)
    inputs = recorded(request.results, request.resume, request.changes)
    results.check_machine(results.find(request.results, request.resume), host.facts())
    return inputs


def _check_load(plan: Plan, request: Request) -> None:
    """Raise ``UserError`` where the load is not permitted, or this process may not open as many files."""
    if plan.external is not None:
        check_permission(plan.external.url, confirmed=request.allow_remote)
    _allow_open_files(plan)


def _allow_open_files(plan: Plan, processes: int = 0) -> None:
    """As ``host.allow_open_files``; where both ends of all connections are elsewhere, there are none here."""
    if plan.external is None or plan.generators is None:
        host.allow_open_files(plan.most_users, processes)


def _split(inputs: Inputs, launcher: Launcher, say: Say) -> CpuSplit:
    plan = inputs.plan
    if plan.workers is None:  # of an external server
        return launcher.split(1, say)
    own = {inputs.configurations[name].workers for name in plan.configurations}
    # A number that goes by the CPUs wants all that servers can have.
    most = [launcher.server_cpus if isinstance(each, str) else each or 1 for each in own]
    return launcher.split(max([*plan.workers, *most]), say)


def _launcher(request: Request, resumed: Path | None, plan: Plan, say: Say) -> Launcher:
    """The launcher of the run; a run goes on with the one that it was begun with."""
    begun_with = None if resumed is None else results.read_run(resumed)["launcher"]
    launcher, why = choose_launcher(
        request.launcher or begun_with or _launcher_of(plan),
        request.port,
        plan.external,
        packages=plan.packages,
        server=plan.server,
        say=say,
    )
    say(why)
    if (no_ceiling := why_none(plan)) is not None:
        say(f"no ceiling: {no_ceiling}")
    return launcher


def _launcher_of(plan: Plan) -> str | None:
    """The only launcher that a plan may have, if that is so.

    Generators elsewhere reach no container, and a baseline is served in none.
    """
    started_here = plan.external is None and plan.server is None
    baseline = plan.own_app is not None and plan.own_app.baseline is not None
    return Processes.name if started_here and (plan.generators is not None or baseline) else None


def _held(request: Request, resumed: Path | None, launcher: Launcher) -> dict[str, Any]:
    """What may keep servers from being alive at once, beside this machine."""
    here = launcher.servers_here
    return {
        "port": request.port if here else None,
        "before": None if resumed is None else results.read_run(resumed),
        "free": None if here else launcher.available_bytes,
    }


def _planned(inputs: Inputs, rotating: Rotating, environments: Environments, seed: int) -> list[Block]:
    """The blocks of the plan that can be measured here."""
    blocks = expand(in_blocks(inputs.plan, rotating), seed, inputs.configurations)
    return possible(blocks, environments.available(inputs), environments.lacking)


def _folder(request: Request, resumed: Path | None, described: Mapping[str, Any], say: Say) -> Path:
    """The folder to write to: that of the run to go on with, or a new one.

    Raises:
        UserError: the run to resume was begun under other conditions.
    """
    if resumed is not None:
        results.check_resumable(resumed, described)
        return resumed
    unfinished = None if request.fresh else results.unfinished(request.results, described, request.seed)
    if unfinished is None:
        return results.create(request.results, described["plan"]["name"])
    say(f"going on with {unfinished.name}, which was not finished (--fresh starts anew)")
    return unfinished


def _carry_out(
    runner: Runner,
    rotation: Rotation | None,
    todo: Sequence[Block],
    further: Connections | None,
    record: dict[str, Any],
    soak: Soak | None = None,
) -> Result:
    """Run sittings, blocks and connections, or a soak, and keep ``run.json`` up to date, whatever happens."""
    folder = runner.folder
    started = time.monotonic()
    before = {key: record[key] for key in ("wall_s", "load_s")}
    read_before = networks.clocks(record["network"])

    def save(status: str) -> None:
        ended = None if status == "running" else time.time()
        measured = {
            "cells_planned": record["cells_planned"]
            + runner.outcome.steps
            + (0 if rotation is None else rotation.cells),
            "wall_s": round(before["wall_s"] + time.monotonic() - started, 3),
            "load_s": round(before["load_s"] + runner.outcome.load_s, 3),
        }
        if rotation is not None:
            measured["rotation"] = rotation.facts
        if (elsewhere := runner.rig.generators) is not None:
            measured["generators"] = elsewhere.facts
        network = runner.rig.launcher.network or record["network"]  # the clock of another machine moves
        record["network"] = networks.with_clocks(network, [*read_before, *runner.rig.clocks])
        folder.write(record | measured | {"status": status, "ended": ended})

    status = "failed"
    try:
        save("running")
        soaks_on = soak is not None and soak.left_s > 0
        if todo or further or soaks_on or not (rotation is None or rotation.is_over):
            with runner.rig as rig:
                networks.note(rig.launcher.network, record, runner.progress.say)
                if rig.database is not None:
                    _note_database(rig.database, record)
                _note_ceilings(runner, record)
                if rotation is not None:
                    rotation.run(runner, after_sitting=lambda: save("running"))
                runner.run(todo, after_block=lambda: save("running"))
                if further is not None:
                    further.run(runner)
                if soak is not None:
                    soak.run(runner, save=lambda: save("running"))
        else:  # one that was killed at its very end
            runner.rig.launcher.remove_left(runner.progress.say)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
    except OSError as error:
        if files.is_full(error):
            raise files.no_space(folder.path) from error
        folder.check()
        raise
    finally:
        runner.discard_unfinished()
        # On a full disk the last run.json stays: it says "running", and its lock is free.
        with contextlib.suppress(OSError):
            save(status)
    return Result(folder.path, runner.outcome, status == "interrupted")


def _note_database(database: Database, record: dict[str, Any]) -> None:
    """Put the database into ``run.json``; raises ``UserError`` if the run was begun with another."""
    before, now = record["database"], database.facts
    if before not in (None, now):
        raise UserError(
            f"the run was begun with another database: {before['where']}, {before['version']}; "
            f"now it is {now['where']}, {now['version']}.\nStart a new run instead: --fresh"
        )
    record["database"] = now


def _note_ceilings(runner: Runner, record: dict[str, Any]) -> None:
    """Put what the generator itself can reach into ``run.json``; measure it if it is not known."""
    if why_none(runner.plan) is not None:
        return
    say = runner.progress.say
    plain = [each for name, each in runner.configurations.items() if name in runner.plan.configurations]
    plain = [each for each in plain if not each.tls]
    if not plain:
        say("no ceilings: the null server speaks no TLS")
        return
    # What an external server or somebody's own app answers may differ from run to run, as other machines may.
    own = (runner.plan.external, runner.plan.own_app, runner.plan.generators)
    ours = all(each is None for each in own)
    ceilings = kept_or_measured(
        runner.rig,
        plain[0],
        subjects(runner.plan, runner.scenarios),
        Cache(say) if ours else None,
        say,
    )
    note(record, ceilings)


def _known_cells(planned: Sequence[Block], folder: RunFolder) -> int:
    """How many cells the run has for certain: all loads, and the steps that searches have taken."""
    steps = (
        len(steps_taken(folder, block, scenario, search))
        for block in planned
        for scenario, search in block.searches
    )
    return sum(len(block.cells) for block in planned) + sum(steps)


def _announcement(
    folder: RunFolder,
    plan: Plan,
    planned: Sequence[Block],
    todo: Sequence[Block],
    rotation: Rotation | None,
) -> str:
    """What is about to happen and how long it will take."""
    ahead = None if rotation is None or rotation.is_over else rotation.announcement
    if not todo:
        return f"{folder.path}: {ahead or 'every cell is finished, nothing is left to measure'}"
    cells = sum(len(block.cells) for block in todo)
    searches = sum(len(block.searches) for block in todo)
    expected = sum(block.expected_cells for block in todo)
    done = sum(len(block.cells) for block in planned) - cells
    seconds = estimate_s(plan, todo)
    planning = _count(cells, "cell")
    if searches:
        steps = f"about {(expected - cells) / searches:.0f} steps"
        planning += f" and {_count(searches, 'search', 'searches')} of {steps}"
    kept = f" ({done} are finished and kept)" if done else ""
    sittings = "" if ahead is None else f"{ahead}; then "
    begin = f"{folder.path}: {sittings}"
    return (
        f"{begin}{planning} in {_count(len(todo), 'block')}{kept}, about {duration(seconds)}, "
        f"{load_s(plan, todo) / seconds:.0%} of it under load"
    )


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def _why_nothing(plan: Plan, environments: Environments) -> str:
    if set(environments.lacking) == set(plan.loaded):
        entry = next(entry for entry in environments.unavailable if "scenario" in entry)
        return f"{', '.join(environments.lacking)}: {entry['reason']}; {entry['remedy']}"
    missing = {u["configuration"]: u["reason"] for u in environments.unavailable if "configuration" in u}
    workers = " or ".join(map(str, plan.workers or []))
    reasons = [missing.get(name, f"{name} cannot have {workers} workers") for name in plan.configurations]
    return "; ".join(dict.fromkeys(reasons))
