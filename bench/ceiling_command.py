"""The command ``bench ceiling``."""

import contextlib
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from bench import cpus, host, launchers, plan, prepare
from bench.ceiling import Ceiling, Rig, Subject, estimate_s, subjects
from bench.ceilings import measure_all
from bench.ceilings_cache import Cache
from bench.database import needing
from bench.errors import UsageError, UserError
from bench.examination import session_folder
from bench.experiment import generator, interruptible
from bench.launchers import Work
from bench.prepare import Request
from bench.terminal import LauncherOption, console, errors, numbers, reports_errors, words

app = typer.Typer()


@app.command()
@reports_errors
def ceiling(
    plan_name: Annotated[
        str, typer.Option("--plan", "-p", help="Whose loads: a plan (see `bench plans`) or a .toml file.")
    ] = "quick",
    scenario_names: Annotated[
        str | None, typer.Option("--scenarios", help="Only these, e.g. index,sleep (see `bench scenarios`).")
    ] = None,
    users: Annotated[str | None, typer.Option(help="Concurrencies for every scenario, e.g. 8,64.")] = None,
    launcher: LauncherOption = None,
) -> None:
    """Measure what the load generator itself can reach, against a server that does next to nothing.

    A run measures what it needs by itself, once for each machine and version; this measures anew and keeps
    the result for the next runs.

    Exit status: 0 every ceiling was measured; 1 some could not be; 2 wrong names; 130 interrupted.

    For example: `bench ceiling --scenarios index,upload --users 1,64`
    """
    asked: dict[str, Any] = {"scenarios": words(scenario_names), "users": numbers("--users", users)}
    changes = {key: value for key, value in asked.items() if value is not None}
    request = Request(Path("results"), plan_name, changes, launcher=launcher)
    try:
        wanted, measured = _measured(request)
    except KeyboardInterrupt:
        console.print("interrupted; what was measured before is kept")
        raise typer.Exit(130) from None
    if measured:
        console.print(_table(measured))
    if len(measured) < len(wanted):
        errors.print(f"{len(wanted) - len(measured)} of {len(wanted)} could not be measured, see above")
        raise typer.Exit(1)


def _measured(request: Request) -> tuple[list[Subject], list[Ceiling]]:
    """What was to be measured of a plan, and what was."""

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    _, chosen = prepare.chosen_plan(request)
    catalogue, scenarios = prepare.catalogue(chosen), prepare.scenarios(chosen)
    chosen = plan.resolve(chosen, catalogue.configurations, scenarios, request.plan)
    asking = needing(scenarios, chosen.scenarios)
    if asking:
        say(f"left out, as they need a database, which a run has: {', '.join(sorted(asking))}")
    paths = {name: scenarios[name].path for name in chosen.scenarios if name not in asking}
    wanted = subjects(chosen, paths)
    if not wanted:
        raise UsageError("nothing to measure: only scenarios of probes, whose rate is low, or of a database")
    host.allow_open_files(max(subject.users for subject in wanted))
    assert chosen.workers is not None  # there is no server but the suite's
    machine, split = host.facts(), cpus.split_here(max(chosen.workers))
    if split.note:
        say(f"note: {split.note}")
    kind, why = launchers.choose(request.launcher)
    say(why)
    for name in chosen.configurations:
        only = chosen.model_copy(update={"configurations": [name]})
        having = prepare.environments(only, catalogue, kind, say)
        if having.ready:
            break
    else:
        raise UserError("none of the plan's configurations is available, and one must answer the scenarios")
    own, read = prepare.own_catalogue(chosen), prepare.files_read(chosen, catalogue, paths.values())
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="whichworker-ceiling-")))
        stack.enter_context(interruptible())
        stack.enter_context(cpus.pinned(split.own))
        launcher = stack.enter_context(kind.launcher(Work(having.ready, folder, say, own, read)))
        if chosen.own_app is not None:
            chosen.own_app.tell(launcher)
        home = session_folder(launcher, chosen)
        session = stack.enter_context(generator(launcher, list(paths.values()), split, folder, home))
        say(f"{len(wanted)} loads against a null server, about {estimate_s(len(wanted)):.0f} s")
        reference = prepare.named(chosen, catalogue)[name]
        rig = Rig(launcher, session, split, reference, having.suite, folder)
        cache = Cache(say) if chosen.own_app is None else None
        return wanted, list(measure_all(rig, wanted, machine, cache, say).values())


def _table(measured: list[Ceiling]) -> Table:
    table = Table("scenario", box=None)
    headings = (
        "users",
        "processes",
        "requests/s",
        "",
        "generator busy",
        "null server busy",
        "CPU µs/request",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if not heading else "right")
    for entry in measured:
        table.add_row(
            f"[bold]{entry.scenario}[/bold]",
            str(entry.users),
            str(entry.processes),
            f"{entry.requests_per_s:,.0f}",
            "at least" if entry.at_least else "",
            f"{entry.generator_busy:.0%}",
            f"{entry.server_busy:.0%}",
            f"{entry.cpu_us:.1f}",
        )
    return table
