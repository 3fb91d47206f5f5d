"""The commands for a new machine: ``bench doctor`` says what it lacks, ``bench setup`` makes environments."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from bench.cli import machines
from bench.cli.options import ResultsOption
from bench.cli.terminal import console, reports_errors, say
from bench.launch import network, proxy, stacks
from bench.launch.containers import engine as docker
from bench.launch.databases import database
from bench.launch.network import Wanted
from bench.machine import cpus, host, topology
from bench.model.errors import UsageError
from bench.model.plans.proxy import PROXIES
from targets.catalogue.configurations import Catalogue
from targets.catalogue.configurations import load as load_catalogue

app = typer.Typer()

# Shares of CPU time beyond which measurements become unsteady.
_STEAL_LIMIT = 0.01
_BUSY_LIMIT = 0.10
_FREE_BYTES = 1 << 30
_OPEN_FILES = 4096


@dataclass(frozen=True)
class Check:
    """One fact; ``bad`` means that something cannot be measured here, ``warn`` that it suffers."""

    name: str
    state: Literal["ok", "warn", "bad"]
    found: str
    advice: str = ""


@app.command()
@reports_errors
def doctor(
    imagined: Annotated[
        int | None,
        typer.Option(
            "--cpus",
            min=2,
            max=4096,
            help="Show instead how a machine of so many would be shared out.",
        ),
    ] = None,
    sockets: Annotated[
        int | None, typer.Option(min=1, max=64, help="Of that machine; each has memory of its own.")
    ] = None,
    threads_per_core: Annotated[int | None, typer.Option(min=1, max=8, help="Of that machine.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Check this machine: CPUs, other load, network, open files, disk, Python interpreters, database, Docker.

    Exit status: 0 everything can be measured here; 1 something cannot.

    For example: `bench doctor`, `bench doctor --cpus 64 --sockets 2 --threads-per-core 2`
    """
    if imagined is not None:
        machines.show(imagined, sockets or 1, threads_per_core or 1)
        return
    if sockets is not None or threads_per_core is not None:
        raise UsageError("--sockets and --threads-per-core are of a machine that --cpus imagines")
    marks = {"ok": "[green]ok[/green]  ", "warn": "[yellow]warn[/yellow]", "bad": "[red]bad[/red] "}
    states = []
    for check in examine(load_catalogue(), results_folder):
        advice = f"  → {check.advice}" if check.advice and check.state != "ok" else ""
        name = f"{marks[check.state]} [bold]{check.name}[/bold]"
        console.print(f"{name}: {escape(check.found + advice)}", soft_wrap=True)
        states.append(check.state)
    if "bad" in states:
        raise typer.Exit(1)


@app.command()
@reports_errors
def setup() -> None:
    """Make the environment of every stack now; otherwise `bench run` makes the ones that it needs.

    Those that only variants need are left to the run that measures them.

    A stack whose Python this machine lacks is left out, with a line on how to get it.

    Exit status: 0 all others are ready; 1 one could not be installed.
    """
    failed = False
    for stack in load_catalogue().pinned.values():
        try:
            environment = stacks.ensure(stack, console.print)
        except stacks.UnavailableError as error:
            # Without its Python a stack is only unavailable; one that cannot be installed is an error.
            failed = failed or stacks.find_interpreter(stack.pythons) is not None
            say(f"{stack.name}: {error.reason}\n  {error.remedy}")
        else:
            console.print(f"{stack.name}: ready (Python {environment.version})")
    if failed:
        raise typer.Exit(1)


def examine(catalogue: Catalogue, results: Path) -> Iterator[Check]:
    """All checks, one after the other; takes a little more than a second."""
    yield _cpus()
    yield from _activity()
    yield _network()
    yield _open_files()
    yield _disk(results)
    for stack in catalogue.pinned.values():
        users = [c.name for c in catalogue.declared.values() if c.stack == stack.name]
        yield _interpreter(stack.name, stack.pythons, users)
    yield _database()
    yield _proxies()
    yield _docker()


def _cpus() -> Check:
    split = cpus.split_here(workers=1)
    limit = cpus.quota()
    usable = topology.described(topology.read(os.sched_getaffinity(0)))
    found = f"{os.cpu_count()} in the machine, usable: {usable}"
    found += "" if limit is None else f", time for {limit:g} of them"
    server, generator = (topology.ranges(side) for side in (split.server, split.generator))
    found += f"; server on {server}, generator on {generator} (with one worker)"
    if not split.trusted:
        return Check("CPUs", "warn", found, f"{split.note}; the numbers are not to be trusted")
    return Check("CPUs", "warn" if split.note else "ok", found, split.note or "")


def _activity() -> Iterator[Check]:
    """Steal and other load over a second, during which this process sleeps."""
    before = host.cpu_times()
    time.sleep(1.0)
    after = host.cpu_times()
    used = [_difference(one, other) for one, other in zip(before, after, strict=True)]
    spent = [sum(values) for values in zip(*used, strict=True)]
    total = sum(spent)
    _, _, idle, iowait, _, _, steal = spent
    busy = (total - idle - iowait - steal) / total
    yield Check(
        "CPU steal",
        "warn" if steal / total > _STEAL_LIMIT else "ok",
        f"{steal / total:.1%} over a second",
        "other machines on this host take CPU time; expect wider intervals",
    )
    yield Check(
        "other load",
        "warn" if busy > _BUSY_LIMIT else "ok",
        f"{busy:.0%} of the CPU time is in use",
        "end other programs before you measure",
    )


def _difference(before: tuple[int, Sequence[float]], after: tuple[int, Sequence[float]]) -> tuple[float, ...]:
    return tuple(b - a for a, b in zip(before[1], after[1], strict=True))


def _network() -> Check:
    """Whether no server has to pay for waking the generator: what arrives is processed by its CPUs."""
    generator = cpus.split_here(workers=1).generator
    with ExitStack() as stack:
        found = network.enter(Wanted(generator), stack).facts
    assert found is not None
    whose = "a run has one of its own" if found["namespace"] else "runs use this machine's"
    if found["steered_to"] is not None:
        return Check("network", "ok", f"{whose}, steered to CPUs {found['steered_to']}")
    return Check(
        "network", "warn", f"{whose}, not steered: servers pay for waking the generator", found["note"]
    )


def _open_files() -> Check:
    soft, hard = host.open_file_limits()
    found = f"{soft} now, up to {hard} when a run needs them"
    state: Literal["ok", "bad"] = "ok" if hard < 0 or hard >= _OPEN_FILES else "bad"
    return Check("open files", state, found, f"raise the hard limit: ulimit -Hn {_OPEN_FILES}")


def _disk(results: Path) -> Check:
    folder = next(path for path in (results, *results.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    return Check(
        "disk space",
        "warn" if free < _FREE_BYTES else "ok",
        f"{free / 1e9:.1f} GB free for {results}",
        "environments need about 1 GB, a quick run some 10 MB",
    )


def _interpreter(name: str, versions: tuple[str, ...], configurations: Sequence[str]) -> Check:
    found = stacks.find_interpreter(versions)
    wanted = " or ".join(versions)
    title = f'stack "{name}"'
    if found is None:
        lost = ", ".join(configurations)
        return Check(title, "bad", f"no Python {wanted}", f"unavailable without it: {lost}")
    return Check(title, "ok", f"Python {wanted}: {found}")


def _database() -> Check:
    """Where local processes would have a database from, for the scenarios that need one."""
    source = database.at_hand("processes", lambda _: None)
    later = "no PostgreSQL here; a plan that needs it installs a wheel of it (70 MB) in .venvs/postgres"
    return Check("database", "ok", later if source is None else str(source))


def _proxies() -> Check:
    """Which proxies can be put before local processes; runs without ``PROXY=`` need none."""
    found = ", ".join(filter(None, map(proxy.installed, PROXIES)))
    return Check("proxies", "ok", found or f"none; PROXY= needs {' or '.join(PROXIES)}")


def _docker() -> Check:
    """Whether runs will use containers; the suite does well without."""
    try:
        engine = docker.find()
    except docker.EngineError as error:
        why, *advice = str(error).splitlines()
        advice.append("not needed: servers run as local processes")
        return Check("Docker", "ok", why, "; ".join(advice))
    compose = " ".join(engine.compose_command)
    found = f"engine {engine.version}, {compose} {engine.compose_version}: runs use containers"
    return Check("Docker", "ok", found)
