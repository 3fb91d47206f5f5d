"""The commands that hold the load generator against others: ``bench yardsticks`` and ``bench self``."""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.options import ResultsOption, words
from bench.cli.terminal import console, reports_errors, say, show
from bench.experiment import networks
from bench.experiment.progress import Progress
from bench.launch import stacks
from bench.launch.network import Wanted
from bench.machine import cpus, host
from bench.machine.cpus import CpuSplit
from bench.model import documents, files
from bench.model.documents import ShownTable
from bench.model.errors import UsageError, UserError
from bench.model.files import ROOT
from bench.studies.self_check import measure, tables
from bench.studies.self_check.readings import FAST_HTTP_USER, HTTP_USER, SWARM, Arm, Reading, Readings
from bench.studies.self_check.tools import TOOLS, WRK, Tool
from targets.catalogue.configurations import Catalogue
from targets.catalogue.configurations import load as load_catalogue
from targets.catalogue.tables import ConfigurationError

app = typer.Typer()

SCHEMA = 1
DOCUMENT = documents.TRUST
CONFIGURATIONS = ("sanic", "uvicorn", "gunicorn-uvicorn")
USERS = 64
# The blocks of the document, and where their tables come from.
TOOLS_BLOCK, LOCUST_BLOCK, COST_BLOCK = "yardsticks", "naive locust", "cost of measuring"
# Only with steering does no server pay for the manner of its generator.
SERVERS_BLOCK = "servers by generator"
SELF_BLOCK = "make bench-self"
# The connections of one generator process beside which its memory is measured.
MANY = 10_000
# What an arm takes beyond its seconds, and a round beyond its arms: for the first estimate.
_ARM_S, _ROUND_S = 1.1, 4.0

SecondsOption = Annotated[int, typer.Option(min=1, help="Measured seconds of each reading.")]
RoundsOption = Annotated[int, typer.Option(min=1, help="How often everything is measured.")]


@app.command()
@reports_errors
def yardsticks(
    rounds: RoundsOption = 5,
    seconds: SecondsOption = 3,
    seed: Annotated[int | None, typer.Option(help="Seed of the random order in each round.")] = None,
    results_folder: ResultsOption = Path("results"),
    chosen: Annotated[
        str | None,
        typer.Option("--configurations", help="Servers to load, e.g. sanic,granian, in place of three."),
    ] = None,
    steer_host: Annotated[
        bool,
        typer.Option(
            "--steer-host-loopback",
            help="Have the generators' CPUs process what this machine's loopback device receives, as in "
            "runs; needs root, and is put back.",
        ),
    ] = False,
    update_docs: Annotated[
        bool,
        typer.Option(
            "--update-docs",
            help="Put the tables into bench/studies/README.md: steered, how servers compare; else the rest.",
        ),
    ] = False,
) -> None:
    """Measure the suite beside wrk, hey and Locust's FastHttpUser, and what metering and recording cost.

    Every server is loaded by each of them in turn, several times over. It takes about six minutes, and
    results/yardsticks-TIME.json keeps every reading.

    Exit status: 0 everything was measured; 1 something was not; 130 interrupted.

    For example: `bench yardsticks --rounds 3 --seconds 5`
    """
    if update_docs:
        documents.check(DOCUMENT, [SERVERS_BLOCK] if steer_host else [TOOLS_BLOCK, LOCUST_BLOCK, COST_BLOCK])
    results_folder.mkdir(parents=True, exist_ok=True)
    began = datetime.now(UTC)
    seed = random.randrange(1 << 32) if seed is None else seed
    tools = _installed()
    split = cpus.split_here(2, say)
    catalogue = load_catalogue()
    configurations = tuple(dict.fromkeys(words(chosen) or CONFIGURATIONS))
    measuring = measure.rounds(
        catalogue.configurations,
        _environments(catalogue, configurations),
        split,
        say,
        users=USERS,
        seconds=seconds,
        random=random.Random(seed),
        network=Wanted(split.generator, own=False, steer_host=True) if steer_host else None,
    )
    with _nothing_kept(), measuring as measures:
        network = measures.rig.launcher.network
        if network is not None:
            say(f"network: {networks.shown(network)}" + (f" ({network['note']})" if network["note"] else ""))
        readings = _measure(measures, arms(tools, configurations), rounds)
    path = results_folder / f"yardsticks-{began:%Y%m%d-%H%M%S}.json"
    facts = {
        "rounds": rounds,
        "seconds": seconds,
        "seed": seed,
        "tools": {tool.name: tool.version() for tool in tools},
        "network": network,
    }
    files.write_json(path, _document(began, facts, split, readings))
    blocks = _blocks(Readings(readings), tools, configurations)
    for block in blocks.values():
        show(block)
    say(f"every reading: {path}")
    if update_docs:
        options = (["--configurations", ",".join(configurations)] if chosen else []) + (
            ["--steer-host-loopback"] if steer_host else []
        )
        provenance = _provenance(began, facts, options)
        documents.replace(
            DOCUMENT,
            {
                name: documents.markdown(block[-1:], provenance)  # of figures and their ratios the ratios
                for name, block in blocks.items()
                if (name == SERVERS_BLOCK) == steer_host
            },
        )
        say(f"updated: {DOCUMENT.relative_to(ROOT)}")


@app.command("self")
@reports_errors
def bench_self(
    users: Annotated[int, typer.Option(min=1, help="Connections of each generator.")] = USERS,
    seconds: SecondsOption = 3,
    rounds: RoundsOption = 5,
    readme: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Put the result into this document, too.")
    ] = None,
) -> None:
    """Measure how fast the load generator itself is, beside FastHttpUser, HttpUser and wrk.

    Each of them loads a null server, which does next to nothing, on one CPU from another one, in random order
    and several times over; then the suite's own user does with 10,000 connections. What counts are the
    ratios, taken within each round: machines drift, and all of a round share its moment.

    Exit status: 0 everything was measured; 1 something was not; 130 interrupted.

    For example: `bench self --rounds 3`
    """
    if readme is not None:
        documents.check(readme, [SELF_BLOCK])
    host.allow_open_files(MANY)
    todo = [tables.OURS, tables.FAST, tables.HTTP, tables.BARE, *([tables.BY_WRK] if WRK.installed else [])]
    title = (
        f"{datetime.now(UTC):%Y-%m-%d}, {host.facts()['cpu']}, {host.facts()['cpus']} CPUs, "
        f"Python {host.suite_versions()['python']}, {users} closed-loop connections, {rounds} rounds of "
        f"{seconds} s"
    )
    measuring = measure.rounds(
        {},
        {},
        cpus.split_here(1, say),
        say,
        users=users,
        seconds=seconds,
        random=random.Random(),
        also=(FAST_HTTP_USER, HTTP_USER),
    )
    with _nothing_kept(), measuring as measures:
        readings = _measure(measures, todo, rounds)
        with measures.afresh(MANY) as of_many:
            (many,) = of_many.measure([tables.OURS], 1)
    table = replace(tables.generators(Readings(readings), many, MANY, users), title=title)
    show([table])
    if readme is not None:
        documents.replace(
            readme, {SELF_BLOCK: documents.markdown([table], f"{title}, by `make bench-self`.")}
        )


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Say so when it is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        say("interrupted; nothing was kept")
        raise typer.Exit(130) from None


def _measure(measures: measure.Rounds, todo: Sequence[Arm], rounds: int) -> list[Reading]:
    """Measure every arm so many times, with a line for each round."""
    total = rounds * len(todo)
    estimate_s = total * (measures.seconds + _ARM_S) + rounds * _ROUND_S
    readings: list[Reading] = []
    with Progress(console, "readings", total, estimate_s) as progress:
        progress.say(f"{total} readings, {progress.left}")
        for number in range(1, rounds + 1):
            for reading in measures.measure(todo, number, progress.begin):
                readings.append(reading)
                progress.done()
            progress.say(f"[{number}/{rounds}] rounds measured; {progress.left}")
    return readings


def _installed() -> list[Tool]:
    """The tools that are there; says which are not."""
    for tool in TOOLS.values():
        if not tool.installed:
            say(f"{tool.label} is not installed ({tool.remedy}): its figures are left out")
    return [tool for tool in TOOLS.values() if tool.installed]


def arms(tools: Sequence[Tool], configurations: Sequence[str] = CONFIGURATIONS) -> list[Arm]:
    """Everything that ``bench yardsticks`` measures once in each round."""
    generators = [SWARM, *(tool.name for tool in tools)]
    beside = [Arm(configuration, 1, name) for configuration in configurations for name in generators]
    metering = [
        Arm("sanic", 1, SWARM, metered=False),
        Arm("sanic", 2, SWARM),
        Arm("sanic", 2, SWARM, metered=False),
    ]
    recording = [Arm("sanic", 1, SWARM, recorded=False), tables.OURS, tables.BARE]
    return [*beside, *metering, *recording]


def _environments(catalogue: Catalogue, configurations: Sequence[str]) -> dict[str, stacks.Environment]:
    try:
        # What meters and records is measured with Sanic's own server.
        names = {catalogue.get(name).stack for name in ("sanic", *configurations)}
    except ConfigurationError as error:
        raise UsageError(str(error)) from error
    try:
        return {name: stacks.ensure(catalogue.stacks[name], say) for name in sorted(names)}
    except stacks.UnavailableError as error:
        raise UserError(f"the servers cannot be run: {error.reason}\n{error.remedy}") from error


def _document(
    began: datetime, facts: Mapping[str, Any], split: CpuSplit, readings: Sequence[Reading]
) -> dict[str, Any]:
    """The file of all readings (docs/results.md)."""
    return {
        "schema": SCHEMA,
        "started": began.timestamp(),
        "ended": time.time(),
        "host": host.facts(),
        "cpu_split": split.record(),
        "suite": host.suite_versions(),
        "git": host.git_state(),
        "users": USERS,
        **facts,
        "readings": [asdict(reading) for reading in readings],
    }


def _blocks(
    readings: Readings, tools: Sequence[Tool], configurations: Sequence[str]
) -> dict[str, list[ShownTable]]:
    names = [tool.name for tool in tools]
    return {
        TOOLS_BLOCK: tables.beside_tools(readings, configurations, names),
        SERVERS_BLOCK: tables.between_servers(readings, configurations, names),
        LOCUST_BLOCK: tables.naive(readings, configurations),
        COST_BLOCK: tables.cost(readings),
    }


def _provenance(began: datetime, facts: Mapping[str, Any], options: Sequence[str]) -> str:
    machine = host.facts()
    versions = ", ".join(f"{name} {version}" for name, version in facts["tools"].items() if version)
    command = "make yardsticks" + (f' ARGUMENTS="{" ".join(options)}"' if options else "")
    return (
        f"Measured on {began:%Y-%m-%d} by `{documents.shown_command(command)}` on {machine['cpu']}, "
        f"{machine['cpus']} CPUs, {machine['system']}. {USERS} users in a closed loop, {facts['rounds']} "
        f"rounds of {facts['seconds']} s; medians, ratios taken within each round, with their range."
        + (f" {versions}." if versions else "")
    )
