"""The command ``bench settings``."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from bench.cli import measuring
from bench.cli.measuring import with_request
from bench.cli.options import NoReportOption
from bench.cli.results import report as report_command
from bench.cli.terminal import console, reports_errors, say, show_listing
from bench.experiment import inputs, results
from bench.experiment import run as experiment
from bench.experiment.inputs import Inputs
from bench.experiment.run import Request, Result
from bench.model.errors import UsageError
from bench.model.files import shown
from bench.model.plans import plan
from bench.model.requirements import First, of_options
from bench.studies.settings import combination, second, servers
from bench.studies.settings.combination import Combination
from targets.inside import in_app

if TYPE_CHECKING:
    from analysis.settings import Settings

app = typer.Typer()

PLAN = "settings"


@app.command()
@reports_errors
@with_request
def settings(
    plan_name: Annotated[
        str | None,
        typer.Option(
            "--plan", "-p", help="A plan with `settings = true`, or a .toml file; settings if left out."
        ),
    ] = None,
    *,
    request: Request,
    first: Annotated[
        str | None,
        typer.Option(
            help="What comes first: throughput, memory or tail. The second run combines what gains that; "
            "if left out, what is worth it."
        ),
    ] = None,
    no_combination: Annotated[
        bool,
        typer.Option("--no-combination", help="Leave out the second run, of all that is worth it together."),
    ] = False,
    no_report: NoReportOption = False,
) -> None:
    """Say what each setting of a server is worth: measure it beside variants with one thing changed.

    A variant (`bench configurations --variants`) is a configuration with another flag, variable, package or
    Python. All of them are alive at once with what they are variants of, and the load goes round: that tells
    requests per second, CPU time and memory. Where a change is expected to move the tail of latency, requests
    arrive by a schedule; where it is expected to lose requests, workers are replaced. Keep-alives, backlogs
    and limits meet connections that pause, come in bursts, or are too many. Each setting is *worth it*,
    *makes no difference* (within 2 %), *costs*, or that is *not shown*.

    Then a second run measures what is worth it, together, beside the configuration as it is, and beside the
    server's plain default: effects do not simply add up.

    Without --configurations it takes the two best of the last verdict among your results. A configuration
    brings all of its variants, a variant what it is one of. docs/settings.md says how to read the answer, and
    how to write variants of your own.

    Exit status: 0 everything was measured; 1 something was not, or no variant could be; 2 wrong names or
    options; 130 interrupted.

    For example:

    ```
    bench settings                                          # the two best: a quarter of an hour
    bench settings --configurations sanic,uvicorn --sittings 12
    bench settings --configurations uvicorn-access-log      # one setting, beside uvicorn
    bench settings --first memory                           # together: what saves memory
    bench settings --app service.main:app --app-dir ../my-service --locustfile ../my-service/locustfile.py
    bench settings --plan mine.toml                         # with a catalogue of your own
    ```
    """
    given: First | None = of_options({"first": first}).given().get("first")
    request = _of_settings(plan_name, request)
    measured = experiment.run(request, console)
    if measured.interrupted:
        raise measuring.interrupted(measured, "settings")
    found = _settings(measured.folder)
    good = found is not None and bool(found.parents)
    combinations: list[Combination] = []
    again: Path | None = None
    if found is None or not found.parents:
        say("no variant was measured beside its parent: there is nothing to compare")
    elif not no_combination:
        given = given or _stated(measured.folder)
        combinations = _worth_it(measured.folder, found, given)
    if combinations:
        again, good = _together(measured.folder, request, combinations, given)
    if no_report:
        console.print(f"no report, as asked; to make it: make report RUN={measured.folder.name}")
    else:
        good &= report_command.render(measured.folder) is not None
    if again is not None:
        _show_together(again, combinations, given)
    if not measuring.succeeded(measured, "settings") or not good:
        raise typer.Exit(1)


def _of_settings(plan_name: str | None, request: Request) -> Request:
    """The first run: of a plan of settings, and of the best servers where nobody says which."""
    if request.resume is not None:
        if plan_name is not None:
            raise UsageError("--resume goes on with the plan of its run; leave out --plan")
        folder = results.find(request.results, request.resume)
        if not results.read_run(folder)["plan"].get("settings"):
            raise UsageError(
                f"{folder.name} is no run of settings: make bench RUN={folder.name} goes on with it"
            )
        return request
    chosen = plan.load(plan_name or PLAN)
    if not chosen.settings:
        raise UsageError(f"the plan {plan_name} compares no variants: it needs `settings = true`")
    changes = dict(request.changes)
    if plan_name is None and "configurations" not in changes:
        found = servers.chosen(request.results, inputs.catalogue(chosen).configurations)
        why = f"as the plan has them, for there is no verdict in {request.results}"
        if found is not None:
            changes["configurations"], where = found
            why = f"the best of the last verdict that have variants ({where})"
        names = changes.get("configurations", chosen.configurations)
        say(f"servers: {', '.join(names)}, {why}; others: CONFIGURATIONS=")
    if "locustfiles" in changes and "rates_per_s" not in changes:
        say("note: no tail is measured without RATES=: how many requests a second may your app get?")
    return replace(request, plan=plan_name or PLAN, changes=changes)


def _stated(folder: Path) -> First | None:
    """What comes first by the plan of a run; None where it does not say."""
    stated: First | None = (results.read_run(folder)["plan"].get("requirements") or {}).get("first")
    return stated


def _worth_it(folder: Path, found: "Settings", first: First | None) -> list[Combination]:
    """What is worth it of each server of the first run, together; tells where that is nothing."""
    catalogue = inputs.recorded(folder.parent, str(folder), {}).catalogue
    combinations = []
    for parent in found.parents:
        worth = found.worth(parent, first)
        if not worth:
            say(f"{parent}: no setting is shown to be worth it, so there is nothing to combine")
            continue
        combined = combination.combine(parent, worth, catalogue)
        for name, why in combined.left_out.items():
            say(f"note: {name} does not go together with what is better, and is left out: {why}")
        combinations.append(combined)
    return combinations


def _settings(folder: Path) -> "Settings | None":
    """What is known of each setting; ``None`` where nothing could be measured."""
    from analysis.reading.results import NothingFinished
    from analysis.study import study

    try:
        return study(folder).settings
    except NothingFinished:
        return None


def _together(
    folder: Path, request: Request, combinations: Sequence[Combination], first: First | None
) -> tuple[Path, bool]:
    """Measure combinations beside what they change, unless that was done.

    Returns the folder of that run, and whether all of it was measured.
    """
    recorded = inputs.recorded(folder.parent, str(folder), {})
    written = second.prepare(folder, recorded, combinations, first)
    before = None if request.fresh else second.finished(written, combinations)
    if before is not None:
        return before, True
    for each in combinations:
        say(f"\nsecond run: {each.words}, beside {each.parent} as it is")
    launcher = results.read_run(folder)["launcher"]
    done = experiment.run(second.request(request, written, launcher), console)
    if done.interrupted:
        say(f"interrupted; the first run is whole\ngo on:  make settings RUN={folder.name}")
        say(f"report: make report RUN={folder.name}")
        raise typer.Exit(130)
    return done.folder, _said(done)


def _said(done: Result) -> bool:
    """Whether all of a second run was measured; tells what was not."""
    if done.outcome.failed:
        say(f"{done.outcome.failed} cells of the second run failed, see above")
    return not done.outcome.failed


def _show_together(folder: Path, combinations: Sequence[Combination], first: First | None) -> None:
    """Print what is gained by all that is worth it, and the command that has it."""
    from analysis.settings.table import tables

    found = _settings(folder)
    if found is None:
        say(f"what is worth it could not be measured together: see {shown(folder)}")
        return
    console.print("\n[bold]All that is worth it, together, beside the configuration as it is[/bold]")
    for table in tables(found):
        show_listing(table)
    for text in found.whole_gains:
        console.print(f"\n[bold]{escape(text)}[/bold]")
    cpus = results.read_run(folder)["cpu_split"]["server"]
    measured = inputs.recorded(folder.parent, str(folder), {}).on(len(cpus))
    judged = {each.name: each for each in found.judged}
    for each in combinations:
        if each.name in judged and judged[each.name].chosen_for(first) is not None:
            say(f"\n{each.words}:\n\n  {_command(each.name, measured)}\n")
            for line in in_app.lines(measured.catalogue.get(each.name).environment):
                say(f"  {line}")
        else:
            say(f"\n{each.words}: together that is not shown to be worth it; keep {each.parent} as it is")
    say(f"second run: {shown(folder)}; its report: python -m bench report {shown(folder)}")


def _command(name: str, measured: Inputs) -> str:
    """A configuration as one types it, for the app and as many workers as were measured."""
    from analysis.words import assignments

    entry, own = measured.catalogue.get(name), measured.plan.own_app
    workers = entry.serving(max(measured.plan.workers or [1]))
    app_name = "app:app" if own is None else own.app
    words = entry.command(host="127.0.0.1", port=8000, workers=workers, app=app_name)
    return " ".join([*assignments(in_app.of_shell(entry.environment)), shlex.join(words)])
