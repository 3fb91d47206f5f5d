"""The command ``bench yardsticks``."""

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import cpus, files, host, marked, stacks
from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch_processes import Processes
from bench.processes import ROOT
from bench.steps import Steps
from bench.terminal import ResultsOption, console, reports_errors
from bench.yardsticks import measure, report
from bench.yardsticks.readings import SWARM, Arm, Reading
from bench.yardsticks.report import Readings, Table
from bench.yardsticks.shown import show
from bench.yardsticks.tools import TOOLS, Tool
from targets.configurations import Catalogue
from targets.configurations import load as load_catalogue

app = typer.Typer()

SCHEMA = 1
DOCUMENT = ROOT / "docs" / "methodology.md"
CONFIGURATIONS = ("sanic", "uvicorn", "gunicorn-uvicorn")
USERS = 64
# The blocks of the document, and where their tables come from.
TOOLS_BLOCK, LOCUST_BLOCK, COST_BLOCK = "yardsticks", "naive locust", "cost of measuring"
# What an arm takes beyond its seconds, and a round beyond its arms: for the first estimate.
_ARM_S, _ROUND_S = 0.7, 4.0


@app.command()
@reports_errors
def yardsticks(
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="Measured seconds of each reading.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Of the random order in each round.")] = None,
    results_folder: ResultsOption = Path("results"),
    update_docs: Annotated[
        bool, typer.Option("--update-docs", help="Put the tables into docs/methodology.md.")
    ] = False,
) -> None:
    """Measure the suite beside wrk, hey and Locust's FastHttpUser, and what metering and recording cost.

    Takes about six minutes. Every reading is kept in results/yardsticks-<time>.json.
    """
    if update_docs:
        marked.check(DOCUMENT, [TOOLS_BLOCK, LOCUST_BLOCK, COST_BLOCK])
    results_folder.mkdir(parents=True, exist_ok=True)
    began = datetime.now(UTC)
    order = random.randrange(1 << 32) if seed is None else seed
    tools = _installed()
    split = cpus.split_here(2)
    if split.note:
        console.print(f"note: {split.note}")
    try:
        readings = _measure(load_catalogue(), split, tools, rounds, seconds, order)
    except KeyboardInterrupt:
        console.print("interrupted; nothing was kept")
        raise typer.Exit(130) from None
    path = results_folder / f"yardsticks-{began:%Y%m%d-%H%M%S}.json"
    facts = {
        "rounds": rounds,
        "seconds": seconds,
        "seed": order,
        "tools": {t.name: t.version() for t in tools},
    }
    files.write_json(path, _document(began, facts, split, readings))
    blocks = _blocks(Readings(readings), tools)
    for tables in blocks.values():
        show(tables)
    console.print(f"every reading: {path}", markup=False, soft_wrap=True)
    if update_docs:
        provenance = _provenance(began, facts, split)
        marked.replace(DOCUMENT, {name: report.markdown(blocks[name], provenance) for name in blocks})
        console.print(f"updated: {DOCUMENT.relative_to(ROOT)}")


def _installed() -> list[Tool]:
    """The tools that are there; says which are not."""
    for tool in TOOLS.values():
        if not tool.installed:
            console.print(f"{tool.label} is not installed ({tool.remedy}): its figures are left out")
    return [tool for tool in TOOLS.values() if tool.installed]


def arms(tools: Sequence[Tool]) -> list[Arm]:
    """Everything that is measured once in each round."""
    generators = [SWARM, *(tool.name for tool in tools)]
    beside = [Arm(configuration, 1, name) for configuration in CONFIGURATIONS for name in generators]
    metering = [
        Arm("sanic", 1, SWARM, metered=False),
        Arm("sanic", 2, SWARM),
        Arm("sanic", 2, SWARM, metered=False),
    ]
    recording = [
        Arm("sanic", 1, SWARM, recorded=False),
        Arm(None, 1, SWARM),
        Arm(None, 1, SWARM, recorded=False),
    ]
    return [*beside, *metering, *recording]


def _measure(
    catalogue: Catalogue, split: CpuSplit, tools: Sequence[Tool], rounds: int, seconds: int, seed: int
) -> list[Reading]:
    environments = _environments(catalogue)
    host.allow_open_files(USERS)
    todo = arms(tools)
    readings: list[Reading] = []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whichworker-yardsticks-")))
        stack.enter_context(cpus.pinned(split.own))
        progress = stack.enter_context(
            Steps("readings", rounds * len(todo), rounds * (len(todo) * (seconds + _ARM_S) + _ROUND_S))
        )
        launcher = stack.enter_context(Processes(environments))
        null_server = stack.enter_context(measure.null_server(split.for_workers(1)))
        session, generator = stack.enter_context(measure.generator(split.generator, null_server, scratch))
        measuring = measure.Rounds(
            arms=todo,
            configurations=catalogue.configurations,
            split=split,
            launcher=launcher,
            session=session,
            generator=generator,
            null_server=null_server,
            users=USERS,
            seconds=seconds,
            scratch=scratch,
            random=random.Random(seed),
            on_arm=progress.begins,
        )
        for number in range(1, rounds + 1):
            for reading in measuring.measure(number):
                readings.append(reading)
                progress.done()
            progress.part(number, rounds, "rounds measured")
    return readings


def _environments(catalogue: Catalogue) -> dict[str, stacks.Environment]:
    names = {catalogue.get(configuration).stack for configuration in CONFIGURATIONS}
    try:
        return {name: stacks.ensure(catalogue.stacks[name], console.print) for name in sorted(names)}
    except stacks.UnavailableError as error:
        raise UserError(f"the servers cannot be run: {error.reason}\n{error.remedy}") from error


def _document(
    began: datetime, facts: Mapping[str, Any], split: CpuSplit, readings: Sequence[Reading]
) -> dict[str, Any]:
    """The file of all readings (docs/contracts.md)."""
    return {
        "schema": SCHEMA,
        "started": began.timestamp(),
        "ended": time.time(),
        "host": host.facts(),
        "cpu_split": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(split).items()},
        "suite": host.suite_versions(),
        "git": host.git_state(),
        "users": USERS,
        **facts,
        "readings": [asdict(reading) for reading in readings],
    }


def _blocks(readings: Readings, tools: Sequence[Tool]) -> dict[str, list[Table]]:
    names = [tool.name for tool in tools]
    return {
        TOOLS_BLOCK: report.beside_tools(readings, CONFIGURATIONS, names),
        LOCUST_BLOCK: report.naive(readings, CONFIGURATIONS),
        COST_BLOCK: report.cost(readings),
    }


def _provenance(began: datetime, facts: Mapping[str, Any], split: CpuSplit) -> str:
    machine = host.facts()
    versions = ", ".join(f"{name} {version}" for name, version in facts["tools"].items() if version)
    return (
        f"Measured on {began:%Y-%m-%d} by `make yardsticks` on {machine['cpu']}, "
        f"{machine['cpus']} CPUs, {machine['system']}: server on CPU {_list(split.server)}, generators "
        f"on CPU {_list(split.generator)}. {USERS} users in a closed loop, {facts['rounds']} rounds of "
        f"{facts['seconds']} s; medians, ratios taken within each round, with their range."
        + (f" {versions}." if versions else "")
    )


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
