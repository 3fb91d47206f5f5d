"""A whole run: from what was asked for to a folder of results."""

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rich.console import Console

from bench import cpus, examination, files, host, launchers, plan, prepare, session
from bench.blocks import duration, estimate_s, expand, load_s, possible
from bench.ceiling import Rig, subjects
from bench.ceilings import kept_or_measured
from bench.ceilings_cache import Cache
from bench.cells import Block
from bench.cpus import CpuSplit
from bench.database import Database, needing
from bench.deployed import check_permission
from bench.errors import UsageError, UserError
from bench.launch import Launcher
from bench.launchers import Work
from bench.plan import Plan
from bench.prepare import Environments, Request
from bench.processes import INTERRUPTIONS
from bench.progress import RunProgress
from bench.results import RunFolder
from bench.run import Outcome, Runner, remaining, steps_taken
from bench.session import Session


@dataclass(frozen=True)
class Result:
    """Where the results are, what came of the cells, and whether the run was interrupted."""

    folder: Path
    outcome: Outcome
    interrupted: bool


def run(request: Request, console: Console) -> Result:
    """Run a plan, or go on with a run that was interrupted. Call it from the main thread.

    Raises:
        UserError: something the user has to mend first; finished cells are kept.
    """

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    name, chosen = prepare.chosen_plan(request)
    catalogue = prepare.catalogue(chosen)
    known = prepare.scenarios(chosen)
    chosen = plan.resolve(chosen, catalogue.configurations, known, prepare.plan_file(request))
    if chosen.own_app is not None:
        chosen.own_app.check(catalogue)
        chosen.own_app.values()
    if chosen.external is not None:
        check_permission(chosen.external.url, confirmed=request.allow_remote)
    host.allow_open_files(chosen.most_users)
    named = prepare.named(chosen, catalogue)
    split = cpus.split_beside_external() if chosen.workers is None else cpus.split_here(max(chosen.workers))
    if split.note:
        say(f"note: {split.note}")
    asked = request.launcher or prepare.recorded_launcher(request)
    kind, why = launchers.choose(asked, request.port, chosen.external)
    say(why)
    having = prepare.environments(chosen, catalogue, kind, say)
    # The database of an external server is its own affair.
    asking = [] if chosen.external else needing(known, chosen.loaded)
    source = prepare.database_source(kind.name, asking, having, say)
    described = prepare.describe(name, chosen, catalogue, split, having)
    available = {key: entry for key, entry in named.items() if chosen.external or entry.stack in having.ready}
    if not possible(expand(chosen, 0, named), available, having.lacking):
        raise UsageError(f"nothing to measure: {_why_nothing(chosen, having)}")
    paths = {key: known[key].path for key in chosen.loaded if key not in having.lacking}
    examination.examine_scenarios(chosen, list(paths.values()), kind, say)
    with RunFolder(prepare.run_folder(request, described, say)) as folder:
        record = prepare.begin(folder, described, request.seed)
        planned = possible(expand(chosen, record["seed"], named), available, having.lacking)
        todo = remaining(planned, folder)
        record["cells_planned"] = _known_cells(planned, folder)
        say(_announcement(folder, chosen, planned, todo))
        own = prepare.own_catalogue(chosen)
        read = prepare.files_read(chosen, catalogue, paths.values())
        launcher = kind.launcher(Work(having.ready, folder.path, say, own, read, request.port))
        if chosen.own_app is not None:
            chosen.own_app.tell(launcher)
        home = examination.session_folder(launcher, chosen)
        database = None
        if source is not None:
            stack = next(iter(having.ready))
            database = Database(source, launcher, asking, stack, folder.path, split.own)
        with RunProgress(console, todo, chosen) as progress:
            runner = Runner(
                folder=folder,
                plan=chosen,
                seed=record["seed"],
                configurations=available,
                scenarios=paths,
                cpus=split,
                launcher=launcher,
                database=database,
                session=generator(launcher, list(paths.values()), split, folder.path, home),
                host=host.HostSampler(),
                progress=progress,
            )
            return _carry_out(runner, todo, record)


def _carry_out(runner: Runner, todo: Sequence[Block], record: dict[str, Any]) -> Result:
    """Run the blocks and keep ``run.json`` true whatever happens."""
    folder = runner.folder
    started = time.monotonic()
    before = {key: record[key] for key in ("wall_s", "load_s")}

    def save(status: str) -> None:
        ended = None if status == "running" else time.time()
        measured = {
            "cells_planned": record["cells_planned"] + runner.outcome.steps,
            "wall_s": round(before["wall_s"] + time.monotonic() - started, 3),
            "load_s": round(before["load_s"] + runner.outcome.load_s, 3),
        }
        folder.write(record | measured | {"status": status, "ended": ended})

    status = "failed"
    try:
        save("running")
        with interruptible(), cpus.pinned(runner.cpus.own), runner.host:
            if todo:
                runner.run(
                    todo,
                    before_blocks=lambda: _before_blocks(runner, record),
                    after_block=lambda: save("running"),
                )
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
    except OSError as error:
        if files.is_full(error):
            raise files.no_space(folder.path) from error
        raise
    finally:
        # On a full disk the last run.json stays: it says "running", and nobody holds its lock.
        with contextlib.suppress(OSError):
            save(status)
    return Result(folder.path, runner.outcome, status == "interrupted")


def _before_blocks(runner: Runner, record: dict[str, Any]) -> None:
    """Complete ``run.json`` by what is known only when everything but a server runs."""
    if runner.database is not None:
        _note_database(runner.database, record)
    _note_ceilings(runner, record)


def _note_database(database: Database, record: dict[str, Any]) -> None:
    """Put the database into ``run.json``; raises ``UserError`` where an earlier sitting had another."""
    before, now = record["database"], database.facts
    if before not in (None, now):
        raise UserError(
            f"the run was begun with another database: {before['where']}, {before['version']}; "
            f"now it is {now['where']}, {now['version']}.\nStart a new run instead: --fresh"
        )
    record["database"] = now


def _note_ceilings(runner: Runner, record: dict[str, Any]) -> None:
    """Put what the generator itself can reach into ``run.json``, measured now where it is not known."""
    reference = next(name for name in runner.plan.configurations if name in runner.configurations)
    rig = Rig(
        launcher=runner.launcher,
        session=runner.session,
        split=runner.cpus,
        reference=runner.configurations[reference],
        suite=record["suite"],
        scratch=runner.folder.path,
    )
    wanted = subjects(runner.plan, runner.scenarios)
    say = runner.progress.say
    # What an external server or somebody's own app answers may be another thing in each run.
    ours = runner.plan.external is None and runner.plan.own_app is None
    cache = Cache(say) if ours else None
    ceilings = [c.model_dump() for c in kept_or_measured(rig, wanted, record["host"], cache, say)]
    before = record["ceilings"]  # of an earlier sitting
    record["ceilings"] = list({(c["scenario"], c["users"]): c for c in [*before, *ceilings]}.values())


def generator(
    launcher: Launcher, scenarios: Sequence[Path], split: CpuSplit, folder: Path, home: Sequence[str] = ()
) -> Session:
    """The load generator of a run for some scenarios, to be entered after its launcher.

    ``home`` is what tells it where its users are at home (``examination.session_folder``).
    """
    files_inside = [launcher.inside(path) for path in scenarios]
    words = session.arguments(files_inside, len(split.generator), home)
    return Session(words, split.generator, folder / "generator.log", start=launcher.suite)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP interrupt once; while things are put away they are ignored."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for each in INTERRUPTIONS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = {each: signal.signal(each, interrupt) for each in INTERRUPTIONS}
    try:
        yield
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)


def _known_cells(planned: Sequence[Block], folder: RunFolder) -> int:
    """The cells that are sure to be in the run: all loads, and the steps that searches have taken."""
    steps = (
        len(steps_taken(folder, block, scenario, search))
        for block in planned
        for scenario, search in block.searches
    )
    return sum(len(block.cells) for block in planned) + sum(steps)


def _announcement(folder: RunFolder, chosen: Plan, planned: Sequence[Block], todo: Sequence[Block]) -> str:
    """What is about to happen and how long it will take."""
    if not todo:
        return f"{folder.path}: every cell is finished, nothing is left to measure"
    cells = sum(len(block.cells) for block in todo)
    searches = sum(len(block.searches) for block in todo)
    expected = sum(block.expected_cells for block in todo)
    done = sum(len(block.cells) for block in planned) - cells
    seconds = estimate_s(chosen, todo)
    planning = _count(cells, "cell")
    if searches:
        steps = f"about {(expected - cells) / searches:.0f} steps"
        planning += f" and {_count(searches, 'search', 'searches')} of {steps}"
    kept = f" ({done} are finished and kept)" if done else ""
    return (
        f"{folder.path}: {planning} in {_count(len(todo), 'block')}{kept}, about {duration(seconds)}, "
        f"{load_s(chosen, todo) / seconds:.0%} of it under load"
    )


def _count(number: int, one: str, several: str | None = None) -> str:
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def _why_nothing(chosen: Plan, having: Environments) -> str:
    if set(having.lacking) == set(chosen.loaded):
        entry = next(entry for entry in having.unavailable if "scenario" in entry)
        return f"{', '.join(having.lacking)}: {entry['reason']}; {entry['remedy']}"
    missing = {u["configuration"]: u["reason"] for u in having.unavailable if "configuration" in u}
    workers = " or ".join(map(str, chosen.workers or []))
    reasons = [missing.get(name, f"{name} cannot have {workers} workers") for name in chosen.configurations]
    return "; ".join(dict.fromkeys(reasons))
