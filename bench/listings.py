"""The commands that tell what there is: configurations, scenarios, plans and this machine."""

from pathlib import Path

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bench import doctor as doctor_checks
from bench import plan, prepare
from bench import scenarios as scenario_files
from bench.blocks import duration, estimate_s, expand
from bench.processes import ROOT
from bench.terminal import ResultsOption, console, reports_errors
from targets.configurations import load as load_catalogue

app = typer.Typer()


@app.command()
@reports_errors
def configurations() -> None:
    """List the ways to serve the app that can be measured."""
    recycling = {
        "flag": "yes",
        "app": "yes, by the app",
        "respawn": "it exits, for a manager",
        "rss": "no, at a size in memory",
        "none": "no",
    }
    for entry in load_catalogue().configurations.values():
        stack = "" if entry.stack == "current" else f" (stack {entry.stack})"
        stack += f" (variant of {entry.variant_of})" if entry.variant_of else ""
        console.print(
            f"[bold]{entry.name}[/bold]{stack}; restarts after N requests: {recycling[entry.recycle]}"
        )
        console.print(Padding(escape(entry.summary), (0, 0, 0, 4)))


@app.command()
@reports_errors
def scenarios() -> None:
    """List the loads: the Locust files in locustfiles/."""
    table = Table("scenario", "file", "what it does", box=None)
    for entry in scenario_files.load().values():
        table.add_row(f"[bold]{entry.name}[/bold]", str(entry.path.relative_to(ROOT)), entry.summary)
    console.print(table)


@app.command()
@reports_errors
def plans() -> None:
    """List the plans: what is measured, how often and how long."""
    table = Table("plan", "cells", "takes about", "what it measures", box=None)
    for name in plan.names():
        entry = plan.load(name)
        catalogue = prepare.catalogue(entry)
        entry = plan.resolve(entry, catalogue.configurations, prepare.scenarios(entry), name)
        blocks = expand(entry, 0, prepare.named(entry, catalogue))
        cells = sum(block.expected_cells for block in blocks)
        searching = "~" if any(block.searches for block in blocks) else ""
        takes = duration(estimate_s(entry, blocks))
        table.add_row(f"[bold]{name}[/bold]", f"{searching}{cells}", takes, entry.summary)
    console.print(table)


@app.command()
@reports_errors
def doctor(results_folder: ResultsOption = Path("results")) -> None:
    """Say what this machine has and lacks: CPUs, interpreters, open files, steal, Docker.

    Exit status 1 if something cannot be measured here.
    """
    marks = {"ok": "[green]ok[/green]  ", "warn": "[yellow]warn[/yellow]", "bad": "[red]bad[/red] "}
    states = []
    for check in doctor_checks.examine(load_catalogue(), results_folder):
        advice = f"  → {check.advice}" if check.advice and check.state != "ok" else ""
        name = f"{marks[check.state]} [bold]{check.name}[/bold]"
        console.print(f"{name}: {escape(check.found + advice)}", soft_wrap=True)
        states.append(check.state)
    if "bad" in states:
        raise typer.Exit(1)
