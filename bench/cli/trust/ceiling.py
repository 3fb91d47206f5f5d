"""The command ``bench ceiling``."""

from typing import Annotated, Any

import typer

from bench.cli.options import LauncherOption, numbers, words
from bench.cli.terminal import console, errors, reports_errors, say, show
from bench.experiment import networks
from bench.experiment.ceiling import Ceiling, Subject, estimate_s, subjects
from bench.experiment.ceilings import Cache, measure_all
from bench.experiment.environments import Environments, make_environments
from bench.experiment.inputs import Inputs, narrowed
from bench.experiment.rig import Rig
from bench.launch.launcher import Launcher
from bench.launch.selection import choose_launcher
from bench.machine import cpus, host
from bench.model import folders
from bench.model.documents import ShownTable
from bench.model.errors import UsageError, UserError
from targets.catalogue.configurations import Configuration

app = typer.Typer()


@app.command()
@reports_errors
def ceiling(
    plan_name: Annotated[
        str,
        typer.Option(
            "--plan", "-p", help="The plan whose loads are measured (see `bench plans`), or a .toml file."
        ),
    ] = "quick",
    scenario_names: Annotated[
        str | None, typer.Option("--scenarios", help="Only these, e.g. index,sleep (see `bench scenarios`).")
    ] = None,
    users: Annotated[str | None, typer.Option(help="Numbers of users for every scenario, e.g. 8,64.")] = None,
    launcher: LauncherOption = None,
) -> None:
    """Measure what the load generator itself can reach, against a server that does next to nothing.

    A run measures the ceilings that it needs, once for each machine and version. This command measures them
    again and keeps them for the next runs.

    Exit status: 0 every ceiling was measured; 1 some could not be; 2 wrong names; 130 interrupted.

    For example: `bench ceiling --scenarios index,upload --users 1,64`
    """
    asked: dict[str, Any] = {"scenarios": words(scenario_names), "users": numbers("--users", users)}
    changes = {key: value for key, value in asked.items() if value is not None}
    try:
        wanted, measured = _measured(narrowed(plan_name, changes), launcher)
    except KeyboardInterrupt:
        console.print("interrupted; what was measured before is kept")
        raise typer.Exit(130) from None
    if measured:
        show([_table(measured)])
    if len(measured) < len(wanted):
        errors.print(f"{len(wanted) - len(measured)} of {len(wanted)} could not be measured, see above")
        raise typer.Exit(1)


def _measured(inputs: Inputs, launcher_name: str | None) -> tuple[list[Subject], list[Ceiling]]:
    """What was to be measured of a plan, and what was."""
    left_out = inputs.needing_database
    if left_out:
        say(f"left out, as they need a database, which a run has: {', '.join(sorted(left_out))}")
    wanted = subjects(inputs.plan, inputs.paths(without=left_out))
    if not wanted:
        raise UsageError("nothing to measure: only scenarios of probes, whose rate is low, or of a database")
    host.allow_open_files(max(subject.users for subject in wanted))
    assert inputs.plan.workers is not None  # there is no external server
    split = cpus.split_here(max(inputs.plan.workers), say)
    launcher, why = choose_launcher(launcher_name, packages=inputs.plan.packages)
    say(why)
    reference, environments = _reference(inputs, launcher)
    paths = {subject.scenario: subject.path for subject in wanted}
    wanted_network = networks.wanted(inputs.plan, launcher.name, split, None)
    with (
        folders.temporary("whichworker-ceiling-") as folder,
        Rig.of(inputs, launcher, environments, split, folder, say, paths=paths, wanted=wanted_network) as rig,
    ):
        say(f"{len(wanted)} loads against a null server, about {estimate_s(len(wanted)):.0f} s")
        cache = Cache(say) if inputs.plan.own_app is None else None
        return wanted, list(measure_all(rig, reference, wanted, cache, say).values())


def _reference(inputs: Inputs, launcher: Launcher) -> tuple[Configuration, Environments]:
    """The first configuration of a plan that is available, and its environment; raises ``UserError``."""
    for name in inputs.plan.configurations:
        only = inputs.with_plan(inputs.plan.model_copy(update={"configurations": [name]}))
        environments = make_environments(only, launcher, say)
        if environments.ready:
            return inputs.configurations[name], environments
    raise UserError("none of the plan's configurations is available, and one must answer the scenarios")


def _table(measured: list[Ceiling]) -> ShownTable:
    headings = ["scenario", "users", "processes", "requests/s"]
    headings += ["generator busy", "null server busy", "CPU µs/request"]
    rows = [
        [
            ceiling.scenario,
            str(ceiling.users),
            str(ceiling.processes),
            f"{'≥ ' if ceiling.at_least else ''}{ceiling.requests_per_s:,.0f}",
            f"{ceiling.generator_busy:.0%}",
            f"{ceiling.server_busy:.0%}",
            f"{ceiling.cpu_us:.1f}",
        ]
        for ceiling in measured
    ]
    return ShownTable("", headings, rows)
