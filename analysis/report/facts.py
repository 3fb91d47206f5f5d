"""How and what was measured, and which cells failed, as the page tells it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from analysis.cells import sittings
from analysis.study import Study
from analysis.words import assignments
from bench.model.records.hosts import CpuSplit, Host
from bench.model.records.run import Database, Run
from bench.model.records.schema import SCHEMA

# Where a command says its port: "127.0.0.1:8000", "--port 8000".
_PORT = re.compile(r"(?<=\d:)\d+|(?<=--port )\d+")


def facts(run: Run, cells: pd.DataFrame) -> dict[str, str]:
    """How it was measured, as label and text; `cells` is `Results.cells`."""
    finished = cells[cells["status"] == "finished"]
    engines = ", ".join(sorted(finished["engine"].unique()))
    engine = f" (engine: {engines})" if engines else ""
    loops = " and ".join(f"{kind} loop" for kind in sorted(cells["load_kind"].unique()))
    told = {
        "Machine": _machine(run.host),
        **({} if run.server_host is None else {"Servers on": _machine(run.server_host)}),
        "CPU split": cpus(run.cpu_split) + (f": {run.cpu_split.note}" if run.cpu_split.note else ""),
        "Launcher": launcher(run),
        "Load": f"Locust {run.suite.packages.get('locust', '')}{engine}, {loops}",
        "Plan": f"{run.plan.get('name', 'unnamed')}, seed {run.seed}",
        "Cells": f"{len(finished)} finished of {run.cells_planned} planned",
        "Suite": f"Python {run.suite.python}, {_packages(run.suite.packages)}",
    }
    if network := sittings.network(run):
        told["Network"] = network.rstrip(".")
    if run.proxy:
        set_to = f" ({', '.join(run.proxy_settings)})" if run.proxy_settings else ""
        told["Proxy"] = f"{run.behind} {run.proxy.version}{set_to} on CPU {_numbers(run.proxy.cpus)}"
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


def _machine(host: Host) -> str:
    memory = f", {host.memory_bytes / 2**30:.1f} GiB" if host.memory_bytes else ""
    container = " (in a container)" if host.container else ""
    return f"{host.hostname}: {host.cpu}, {host.cpus} CPUs{memory}, {host.system}{container}"


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


@dataclass(frozen=True)
class Failure:
    """A failed cell; `reason` is its first line, `rest` what follows, mostly the server's last words.

    `log` is the address of its server's log as seen from the page, None where there is none.
    """

    path: str
    reason: str
    rest: str
    log: str | None


def failures(directory: Path, cells: pd.DataFrame) -> list[Failure]:
    """The failed ones of `cells` (`Results.cells`) of the run in `directory`."""
    broken = cells[cells["status"] == "failed"]
    return [
        _failure(directory, str(path), reason)
        for path, reason in zip(broken["path"], reasons(broken), strict=True)
    ]


def reasons(broken: pd.DataFrame) -> list[str]:
    """Why each of some cells failed; the server's last words, if any, begin in the second line."""
    return [str(reason).strip() for reason in broken["reason"].fillna("no reason was recorded")]


def _failure(directory: Path, path: str, reason: str) -> Failure:
    first, _, rest = reason.partition("\n")
    log = f"{path}/server.log"
    there = (directory / log).is_file()
    return Failure(path, first, rest, f"../{quote(log)}" if there else None)
