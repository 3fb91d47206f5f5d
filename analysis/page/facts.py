"""How and what was measured, as the page tells it."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.schema import SCHEMA, CpuSplit, Database, Run
from analysis.study import Study
from analysis.words import assignments

# Where a command says its port: "127.0.0.1:8000", "--port 8000".
_PORT = re.compile(r"(?<=127\.0\.0\.1:)\d+|(?<=--port )\d+")


def facts(run: Run, cells: pd.DataFrame) -> dict[str, str]:
    """How it was measured, as label and text; `cells` is `Results.cells`."""
    finished = cells[cells["status"] == "finished"]
    host = run.host
    memory = f", {host.memory_bytes / 2**30:.1f} GiB" if host.memory_bytes else ""
    engines = ", ".join(sorted(finished["engine"].unique()))
    engine = f" (engine: {engines})" if engines else ""
    loops = " and ".join(f"{kind} loop" for kind in sorted(cells["load_kind"].unique()))
    told = {
        "Machine": f"{host.hostname}: {host.cpu}, {host.cpus} CPUs{memory}, {host.system}"
        + (" (in a container)" if host.container else ""),
        "CPU split": cpus(run.cpu_split) + (f": {run.cpu_split.note}" if run.cpu_split.note else ""),
        "Launcher": launcher(run),
        "Load": f"Locust {run.suite.packages.get('locust', '')}{engine}, {loops}",
        "Plan": f"{run.plan.get('name', 'unnamed')}, seed {run.seed}",
        "Cells": f"{len(finished)} finished of {run.cells_planned} planned",
        "Suite": f"Python {run.suite.python}, {_packages(run.suite.packages)}",
    }
    if run.database:
        told["Database"] = _database(run.database)
    if run.wall_s and run.load_s:
        told["Time"] = f"{run.wall_s:.0f} s, {run.load_s / run.wall_s:.0%} of them under load"
    for name, stack in run.stacks.items():
        told[f"Stack {name}"] = f"Python {stack.python}, {_packages(stack.packages)}"
    if run.git and run.git.revision:
        told["Revision"] = run.git.revision[:12] + (" with local changes" if run.git.dirty else "")
    told["Results"] = f"{run.run}, schema {SCHEMA}, methodology {run.methodology}"
    return told


def _database(database: Database) -> str:
    """Which database it was, whose, on which CPUs, and which scenarios asked it."""
    whose = {"given": "that of DATABASE_URL", "private": "the run's own", "compose": "in a container"}
    pinned = f" on CPU {_numbers(database.cpus)}" if database.cpus else ""
    return f"{database.version}, {whose[database.where]}{pinned}, asked by {', '.join(database.scenarios)}"


def configurations(analysed: Study) -> list[dict[str, Any]]:
    """Every measured configuration with its exact commands; of those that differ in their port one."""
    cells = analysed.results.finished
    return [
        {
            "about": configuration,
            "commands": _commands(cells[cells["configuration"] == configuration.name]),
            "serves_with": _serves_with(analysed, configuration.name),
        }
        for configuration in analysed.results.run.configurations
        if (cells["configuration"] == configuration.name).any()
    ]


def _commands(cells: pd.DataFrame) -> list[str]:
    """The first of each command, behind the variables that its configuration sets.

    Where every cell has a server of its own, each has another port.
    """
    first: dict[str, str] = {}
    known = cells[cells["command"].notna()]
    for command, environment in zip(known["command"], known["environment"], strict=True):
        line = " ".join([*assignments(environment or {}), command])
        first.setdefault(_PORT.sub("", line), line)
    return list(first.values())


def _serves_with(analysed: Study, name: str) -> str:
    """The event loop and HTTP parser the server said it uses."""
    cells = analysed.results.finished
    first = cells[cells["configuration"] == name].iloc[0]
    parts = [f"{label} {first[label]}" for label in ("loop", "parser") if not pd.isna(first[label])]
    return ", ".join(parts)


def launcher(run: Run) -> str:
    """What started the servers."""
    if run.external is None:
        return run.launcher
    return f"{run.launcher}: what ran at {run.external} was neither started nor metered"


def _packages(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(packages.items()))


def cpus(split: CpuSplit) -> str:
    """Who ran on which CPUs."""
    server = f"server on CPU {_numbers(split.server)}" if split.server else "server on CPUs that are unknown"
    return f"{server}, generator on CPU {_numbers(split.generator)}"


def _numbers(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))
