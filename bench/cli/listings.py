"""The commands that list what there is: configurations, scenarios, plans, findings, the folder of a run."""

from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from bench.cli.options import ResultsOption
from bench.cli.terminal import console, reports_errors
from bench.experiment import results
from bench.experiment.blocks import duration, estimate_s, expand, possible
from bench.experiment.inputs import Inputs
from bench.experiment.rotation.schedule import Sittings, in_blocks, planned_s, rotating, with_control
from bench.model import scenarios as scenario_files
from bench.model.files import ROOT
from bench.model.plans import plan
from targets.catalogue.configurations import Catalogue
from targets.catalogue.configurations import load as load_catalogue

app = typer.Typer()


@app.command()
@reports_errors
def configurations(
    variants: Annotated[
        bool, typer.Option("--variants", help="List the variants of each: one setting changed.")
    ] = False,
) -> None:
    """List the configurations: the ways to serve the app that can be measured."""
    catalogue = load_catalogue()
    if variants:
        _list_variants(catalogue)
        return
    recycling = {
        "flag": "yes",
        "app": "yes, by the app",
        "respawn": "it exits, for a manager",
        "rss": "no, at a size in memory",
        "none": "no",
    }
    for entry in catalogue.declared.values():
        stack = "" if entry.stack == "current" else f" (stack {entry.stack})"
        count = len(catalogue.variants(entry.name))
        stack += f" ({count} variants)" if count else ""
        console.print(
            f"[bold]{entry.name}[/bold]{stack}; restarts after N requests: {recycling[entry.recycle]}"
        )
        console.print(Padding(escape(entry.summary), (0, 0, 0, 4)))


def _list_variants(catalogue: Catalogue) -> None:
    """Each variant below its parent: the setting, what changes, what people say, what it may change."""
    for parent in catalogue.declared:
        variants = catalogue.variants(parent)
        if not variants:
            continue
        console.print(f"[bold]{parent}[/bold]")
        for name, entry in variants.items():
            about = entry.variant
            assert about is not None
            console.print(
                f"    [bold]{name}[/bold]; {escape(f'{about.varies}: {about.change}')}", soft_wrap=True
            )
            expected = f"Expected to change: {', '.join(about.expects)}."
            console.print(Padding(escape(f"{about.claim} {expected}".strip()), (0, 0, 0, 8)))
            if about.source:  # on a line of its own: terminals open what is not broken
                console.print(f"        {escape(about.source)}", soft_wrap=True)


@app.command()
@reports_errors
def scenarios() -> None:
    """List the scenarios: the loads in locustfiles/."""
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
        cells, takes = _extent(Inputs.of(name, plan.load(name), name))
        table.add_row(f"[bold]{name}[/bold]", cells, takes, plan.load(name).summary)
    console.print(table)


def _extent(inputs: Inputs) -> tuple[str, str]:
    """How many cells a plan has, "~" before a guess, and how long it takes, in words."""
    entry, known = inputs.plan, inputs.configurations
    found = rotating(entry, inputs.scenarios, {})
    blocks = possible(expand(in_blocks(entry, found), 0, known), known, ())
    cells = sum(block.expected_cells for block in blocks)
    seconds, guessed = estimate_s(entry, blocks), any(block.searches for block in blocks)
    if entry.rotation is not None and found.scenarios:
        inputs = inputs.with_plan(with_control(entry, known, known))
        sittings = Sittings(inputs.plan, tuple(found.scenarios), inputs.configurations)
        cells += sum(len(sitting.cells) for sitting in sittings.first())
        seconds += planned_s(sittings)
        guessed |= entry.rotation.precision is not None
    return f"{'~' if guessed else ''}{cells}", duration(seconds)


@app.command()
@reports_errors
def findings() -> None:
    """List what a report may find wrong with a run: each with its threshold, and why that is there."""
    # Imported here: it brings pandas, which most commands do not need.
    from analysis.findings import KINDS
    from analysis.recycling.limits import RULES

    listed: list[tuple[str, ...]] = [
        (kind.section, kind.title, kind.threshold, kind.why) for kind in KINDS.values()
    ]
    listed += [("Verdicts on recycling", *rule) for rule in RULES]
    for section, entries in groupby(listed, key=itemgetter(0)):
        console.print(f"\n[bold]{escape(section)}[/bold]")
        for _, title, threshold, why in entries:
            console.print(f"[bold]{escape(title)}[/bold]: {escape(threshold)}")
            console.print(Padding(escape(why), (0, 0, 0, 4)))


@app.command()
@reports_errors
def latest(
    name: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's name or folder.")] = None,
    results_folder: ResultsOption = Path("results"),
) -> None:
    """Print the folder of a run, for scripts: of the latest one unless you name another."""
    print(results.find(results_folder, name).resolve())  # noqa: T201  (rich would wrap it)
