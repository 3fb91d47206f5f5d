"""The command ``bench yardsticks``."""

import random
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table as Shown

from bench import cpus, files, host, marked, stacks
from bench.cpus import CpuSplit
from bench.errors import UserError
from bench.launch_processes import Processes
from bench.processes import ROOT
from bench.terminal import ResultsOption, console, reports_errors
from bench.yardsticks import measure, report
from bench.yardsticks.readings import SWARM, Arm, Reading
from bench.yardsticks.report import Readings, Table
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
        _show(tables)
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
            _Progress(rounds * len(todo), rounds * (len(todo) * (seconds + _ARM_S) + _ROUND_S))
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
            progress.round_done(number, rounds)
    return readings


def _environments(catalogue: Catalogue) -> dict[str, stacks.Environment]:
    names = {catalogue.get(configuration).stack for configuration in CONFIGURATIONS}
    try:
        return {name: stacks.ensure(catalogue.stacks[name], console.print) for name in sorted(names)}
    except stacks.UnavailableError as error:
        raise UserError(f"the servers cannot be run: {error.reason}\n{error.remedy}") from error


class _Progress:
    """What is being measured and how long the rest takes: a bar on a terminal, elsewhere a line a round."""

    def __init__(self, readings: int, estimate_s: float) -> None:
        self._total = readings
        self._estimate_s = estimate_s
        self._done = 0
        self._started = time.monotonic()
        # Drawn only when something happens: a thread of its own would take time from the generator.
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=readings, left="")

    def __enter__(self) -> "_Progress":
        console.print(f"{self._total} readings, {self._left()}")
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begins(self, arm: Arm) -> None:
        """An arm begins."""
        self._bar.update(self._task, description=str(arm), left=self._left(), refresh=True)

    def done(self) -> None:
        """An arm was measured."""
        self._done += 1
        self._bar.update(self._task, completed=self._done, left=self._left(), refresh=True)

    def round_done(self, number: int, rounds: int) -> None:
        """A round is over."""
        console.print(f"[{number}/{rounds}] rounds measured; {self._left()}", markup=False)

    def _left(self) -> str:
        """By the pace so far; at first by the estimate."""
        spent_s = time.monotonic() - self._started
        share = self._done / self._total
        left_s = spent_s / share * (1 - share) if share else self._estimate_s
        minutes, seconds = divmod(round(left_s), 60)
        return f"about {minutes}:{seconds:02d} left"


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


def _show(tables: Sequence[Table]) -> None:
    for table in tables:
        shown = Shown(title=table.title, title_justify="left", box=None, pad_edge=False)
        for number, heading in enumerate(table.headings):
            shown.add_column(heading, justify="right" if number else "left")
        for row in table.rows:
            shown.add_row(*map(_marked_up, row))
        console.print("", shown, *table.notes, sep="\n")


def _marked_up(text: str) -> str:
    """A cell as the terminal shows it: bold in Markdown is bold there."""
    return re.sub(r"^\*\*(.*)\*\*$", r"[bold yellow]\1[/]", escape(text))


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
